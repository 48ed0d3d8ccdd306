"""Europe PMC against a local server.

The replies are written after the service's documented format (REST, release 6, `resultType=core`): they are not
recorded ones.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import SourceUnavailable
from labwright.tools.europe_pmc import EuropePmcSource, service
from labwright.tools.transport import Transport

spec = importlib.util.spec_from_file_location("ncbi_server", Path(__file__).with_name("ncbi_server.py"))
assert spec is not None
assert spec.loader is not None
ncbi_server = sys.modules["ncbi_server"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ncbi_server)

RECORD: dict[str, Any] = {
    "id": "31000001", "source": "MED", "pmid": "31000001", "pmcid": "PMC6500001", "doi": "10.1/abc",
    "title": "On <i>TP53</i> in cells.",
    "authorString": "Doe J, The Group.",
    "authorList": {"author": [
        {"fullName": "Doe J", "firstName": "Jane", "lastName": "Doe", "initials": "J"},
        {"collectiveName": "The Group"},
    ]},
    "journalInfo": {"yearOfPublication": 2019, "journal": {"title": "Journal of Cells"}},
    "pubYear": "2019", "abstractText": "<h4>Background</h4>p &lt; 0.05 in <b>12</b> mice.",
    "pubTypeList": {"pubType": ["Journal Article", "research-article"]},
    "meshHeadingList": {"meshHeading": [{"majorTopic_YN": "N", "descriptorName": "Mice"}]},
    "isOpenAccess": "Y", "inEPMC": "Y",
}  # fmt: skip
JATS = (
    b"<article><front><article-meta><article-id pub-id-type='pmcid'>PMC6500001</article-id><title-group>"
    b"<article-title>On TP53 in cells.</article-title></title-group></article-meta></front>"
    b"<body><sec><title>Methods</title><p>We used 12 mice.</p></sec></body></article>"
)


@pytest.fixture
def server() -> Iterator[Any]:
    with ncbi_server.serving() as fake:
        yield fake


@pytest.fixture
def source(server: Any) -> EuropePmcSource:
    transport = Transport(
        service(server.base_url, "a@b.org"), sleep=lambda seconds: None, today=lambda: date(2026, 1, 2)
    )
    return EuropePmcSource(transport)


def page(*records: dict[str, Any], hits: int | None = None, cursor: str | None = None) -> str:
    body = {"version": "6.9", "hitCount": len(records) if hits is None else hits, "resultList": {"result": records}}
    return json.dumps(body | ({"nextCursorMark": cursor} if cursor else {}))


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {**RECORD, "id": str(number), "pmid": str(number), "pmcid": f"PMC{number}", **fields}


def test_a_record_becomes_a_paper_and_its_open_full_text_a_document(server: Any, source: EuropePmcSource) -> None:
    server.answer(page(RECORD)).answer(JATS)
    (paper,) = source.search("tp53", 5)
    assert (paper.id, paper.ids.pmcid, paper.ids.doi, paper.year) == ("pmid31000001", "PMC6500001", "10.1/abc", 2019)
    assert paper.title == "On TP53 in cells."
    assert paper.abstract == "Background: p < 0.05 in 12 mice."
    assert paper.authors == ("Doe, Jane", "The Group")
    assert (paper.mesh, paper.journal, paper.kind) == (("Mice",), "Journal of Cells", "full_text")
    assert (paper.retraction.status, paper.retraction.checked_at) == ("none", "2026-01-02")
    assert "Methods\n\nWe used 12 mice." in source.text(paper)
    tool, params = server.asked[0]
    assert tool == "search"
    assert (params["resultType"], params["cursorMark"], params["email"]) == (["core"], ["*"], ["a@b.org"])
    assert server.asked[1][0] == "fullTextXML"


def test_what_is_not_open_access_is_not_fetched(server: Any, source: EuropePmcSource) -> None:
    server.answer(page(record(1, isOpenAccess="N")))
    (paper,) = source.search("x", 5)
    assert paper.kind == "abstract"
    assert source.text(paper).startswith("On TP53 in cells.\n\nAbstract\n\n")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"pubTypeList": {"pubType": ["retracted publication"]}}, "retracted"),
        ({"pubTypeList": {"pubType": ["Retraction of Publication"]}}, "notice"),
        ({"commentCorrectionList": {"commentCorrection": [{"type": "Retraction in", "id": "9", "reference": "J"}]}}, "retracted"),
        ({"commentCorrectionList": {"commentCorrection": [{"type": "Expression of concern in", "id": "9"}]}}, "concern"),
        ({"commentCorrectionList": {"commentCorrection": [{"type": "Retraction of", "id": "9"}]}}, "notice"),
        ({"commentCorrectionList": {"commentCorrection": [{"type": "Erratum in", "id": "9"}]}}, "none"),
    ],
)  # fmt: skip
def test_the_standing_is_read(server: Any, source: EuropePmcSource, fields: dict[str, Any], status: str) -> None:
    server.answer(page(record(1, **fields)))
    (paper,) = source.search("x", 5)
    assert paper.retraction.status == status
    assert ("PMID 9" in paper.retraction.detail) == ("commentCorrectionList" in fields and status != "none")


def test_pages_follow_the_cursor_and_a_record_on_two_pages_counts_once(server: Any, source: EuropePmcSource) -> None:
    first = [record(i) for i in range(1, 201)]
    second = [record(i) for i in range(200, 301)]
    server.answer(page(*first, hits=301, cursor="AoE=")).answer(page(*second, hits=301, cursor="AoF="))
    assert [p.ids.pmid for p in source.search("x", 1000)] == [str(i) for i in range(1, 301)]
    assert [params["cursorMark"] for _, params in server.asked] == [["*"], ["AoE="]]


def test_a_limit_is_kept_over_pages(server: Any, source: EuropePmcSource) -> None:
    server.answer(page(*(record(i) for i in range(200)), hits=999, cursor="b"))
    server.answer(page(*(record(i) for i in range(200, 250)), hits=999, cursor="c"))
    assert len(source.search("x", 250)) == 250
    assert [params["pageSize"] for _, params in server.asked] == [["200"], ["50"]]


def test_a_list_that_ends_early_is_an_error_not_a_shorter_list(server: Any, source: EuropePmcSource) -> None:
    server.answer(page(record(1), hits=3))
    with pytest.raises(SourceUnavailable, match=r"^Europe PMC ended its list after 1 of 3 hits; ask again$"):
        source.search("x", 10)


def test_nothing_found_is_an_empty_list(server: Any, source: EuropePmcSource) -> None:
    server.answer(page())
    assert source.search("qqq", 5) == []


@pytest.mark.parametrize("fault", [
    (429, b""), (500, b""), (200, b""), (200, page(RECORD)[:200]), (200, b"<html>"), (200, b"null"), (200, b"[]"),
    (200, page(RECORD).encode().replace(b"Journal", b"\xff\xfe", 1)), (200, b'{"hitCount": 3}'),
    (200, page({"id": "1", "source": "MED", "authorList": "x"})), (200, b'{"hitCount": 1, "resultList": {"result": ["x"]}}'),
])  # fmt: skip
def test_one_fault_costs_a_second_try(server: Any, source: EuropePmcSource, fault: tuple[int, bytes]) -> None:
    server.answer(fault[1], fault[0]).answer(page(RECORD))
    assert len(source.search("x", 5)) == 1
    assert len(server.asked) == 2


def test_a_lasting_fault_is_one_clear_line(server: Any, source: EuropePmcSource) -> None:
    for _ in range(4):
        server.answer(page(RECORD)[:200])
    with pytest.raises(SourceUnavailable, match=r"^Europe PMC search sent a reply .*\(not whole JSON\) \(4 tries\)$"):
        source.search("x", 5)


def test_a_refused_query_is_said_in_the_service_s_words(server: Any, source: EuropePmcSource) -> None:
    server.answer(json.dumps({"version": "6.9", "errCode": 404, "errMsg": "Invalid query <b>x</b>"}))
    with pytest.raises(SourceUnavailable, match=r"^Europe PMC refused the query: Invalid query x$"):
        source.search("((", 5)
