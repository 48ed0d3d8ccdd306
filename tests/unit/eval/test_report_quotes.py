"""Quotes in their documents, and tables with cited cells."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.domain import PaperIds, Quote
from labwright.eval.report_parts import paper_links
from labwright.eval.report_quotes import WHOLE, anchor, quote_view, segments
from labwright.eval.report_tables import same, table_view

TEXT = "one two three four five six seven"


def span(start: int, end: int, document: str = TEXT) -> Quote:
    return Quote(paper="p", start=start, end=end, text=document[start:end])


@given(st.lists(st.tuples(st.integers(0, len(TEXT) - 1), st.integers(1, len(TEXT))), max_size=6))
def test_segments_are_the_document_and_mark_what_is_quoted(spans: list[tuple[int, int]]) -> None:
    quotes = [span(a, b) for a, b in spans if a < b]
    pieces = segments(TEXT, quotes)
    assert "".join(p.text for p in pieces) == TEXT
    marked = sum(len(p.text) for p in pieces if p.marked)
    assert marked == len({i for q in quotes for i in range(q.start, q.end)})
    anchors = [name for p in pieces for name in p.anchors]
    assert len(anchors) == len(set(anchors)) == len({(q.start, q.end) for q in quotes})


def test_long_document_is_cut_around_its_quotes() -> None:
    document = "".join(f"sentence {i}. " for i in range(WHOLE // 8))
    pieces = segments(document, [span(60_000, 60_050, document), span(100, 140, document)])
    assert sum(len(p.text) for p in pieces) + sum(p.left_out for p in pieces) == len(document)
    assert sum(len(p.text) for p in pieces) < 5_000
    assert sum(p.marked for p in pieces) == 2


@pytest.mark.parametrize(
    ("quote", "document", "status"),
    [
        (span(4, 7), TEXT, "verified"),
        (span(4, 7).model_copy(update={"text": "2"}), TEXT, "mismatch"),
        (Quote(paper="p", start=900, end=903, text="two"), TEXT, "mismatch"),
        (span(4, 7), None, "no document"),
    ],
)
def test_quote_status(quote: Quote, document: str | None, status: str) -> None:
    assert quote_view(quote, document).status == status


def test_anchors_of_different_names_differ() -> None:
    assert anchor("a", "b c") != anchor("a", "b", "c") != anchor("a", "b-c")
    assert anchor("a", "\ud800<>").startswith("a-")


def test_only_well_formed_identifiers_become_links() -> None:
    assert paper_links(PaperIds(doi="javascript:alert(1)", pmid="1 onclick=")) == []
    odd = paper_links(PaperIds(doi='10.1000/a"><b>', pmid="123"))
    assert [address for _, address in odd] == [
        "https://doi.org/10.1000/a%22%3E%3Cb%3E",
        "https://pubmed.ncbi.nlm.nih.gov/123/",
    ]


@pytest.mark.parametrize(
    ("text", "value", "equal"),
    [
        ("3", 3.0, True),
        ("0.1234567891", 0.12345678912, True),
        ("0.12", 0.13, False),
        ("True", True, True),
        ("NA", None, False),
        ("x", 10**400, False),
    ],
)
def test_cell_and_value(text: str, value: object, equal: bool) -> None:
    assert same(text, value) is equal


def cited(column: str, **row: object) -> dict[str, object]:
    return {"id": "f", "file": "t.csv", "value": 1, "where": {"row": row, "column": column}}


def test_ambiguous_and_absent_rows_hold_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("g,p\na,1\na,2\nb,3\n", encoding="utf-8")
    assert table_view(path, "t.csv", "task", [cited("p", g="a")]).held == {}
    assert table_view(path, "t.csv", "task", [cited("p", g="z")]).held == {}
    assert table_view(path, "t.csv", "task", [cited("q", g="b")]).held == {}
    assert table_view(path, "t.csv", "task", [cited("p", g="b")]).held == {"f": "3"}


def test_ragged_table_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("g,p\na\nb,3,4\n\n", encoding="utf-8")
    view = table_view(path, "t.csv", "task", [])
    assert [len(row.cells) for row in view.rows] == [2] * view.n_rows
