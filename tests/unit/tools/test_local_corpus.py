"""Corpora of the user's own files: what is read exactly, what is refused and where, and what is found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import hashed_encoder

from labwright.errors import UnreadableCorpus, WrongUse
from labwright.tools.evidence import is_verbatim, sentences
from labwright.tools.index import Index
from labwright.tools.index_store import Embedder, LiteratureIndex
from labwright.tools.local_corpus import ABSTRACT_CHARS, LocalCorpus, add_documents, corpus_names

HASHED = Embedder(name="hashed", encode=hashed_encoder)
TOPICS = {
    "asthma": "Dexamethasone changes expression in airway smooth muscle cells of people with asthma.",
    "breast": "Tamoxifen delays recurrence of hormone receptor positive breast cancer after surgery.",
    "brain": "Deletion of 1p and 19q marks oligodendroglioma cells of the human brain.",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "mine"
    path.mkdir()
    return path


def corpus(folder: Path, **files: str | bytes) -> LocalCorpus:
    """A corpus of files, named with `__` for the dot."""
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("__", ".")).write_bytes(data)
    return LocalCorpus(folder, lambda: LiteratureIndex(folder.parent / "index", HASHED))


def refusal(folder: Path, **files: str | bytes) -> str:
    with pytest.raises(UnreadableCorpus) as refused:
        corpus(folder, **files)
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_paper_that_is_asked_for_comes_first_from_every_kind_of_file(folder: Path, topic: str) -> None:
    lines = [json.dumps({"id": name, "title": name.title(), "text": text}) for name, text in TOPICS.items()]
    many = corpus(folder, all__jsonl="\n".join(lines))
    assert many.search(TOPICS[topic], 1)[0].id == topic
    assert len(many.search("cells", 2)) == 2
    (folder / "all.jsonl").unlink()
    files = {f"{name}__{'md' if name == 'brain' else 'txt'}": text for name, text in TOPICS.items()}
    assert corpus(folder, **files).search(TOPICS[topic], 1)[0].id == f"mine-{topic}"


def test_the_index_follows_the_folder_and_embeds_only_what_changed(folder: Path) -> None:
    seen: list[str] = []
    files = {"a__txt": f"About asthma\n{TOPICS['asthma']}", "b__txt": f"About the brain\n{TOPICS['brain']}"}

    def encode(texts: Sequence[str]) -> np.ndarray:
        seen.extend(texts)
        return hashed_encoder(texts)

    def ids(query: str) -> list[str]:
        index = LiteratureIndex(folder.parent / "index", Embedder(name="counted", encode=encode))
        found = [p.id for p in LocalCorpus(folder, lambda: index).search(query, 5)]
        index.close()
        return found

    corpus(folder, **files)
    assert sorted(ids("cells")) == ["mine-a", "mine-b"]
    seen.clear()
    assert ids("cells")
    assert seen == ["cells"]  # the folder is as it was
    (folder / "b.txt").unlink()
    corpus(folder, c__md="# Zebrafish\n\nStripes of fish were counted.")
    seen.clear()
    assert ids("zebrafish stripes") == ["mine-c", "mine-a"]
    assert not any("asthma" in text for text in seen)


def test_a_paper_that_two_files_hold_is_found_once(folder: Path) -> None:
    rows = [{"id": name, "title": name, "text": text, "doi": "10.1/x"} for name, text in list(TOPICS.items())[:2]]
    mine = corpus(folder, a__jsonl=json.dumps(rows[0]), b__jsonl=json.dumps(rows[1]))
    assert len(mine.papers()) == 2
    assert [p.id for p in mine.search("cancer", 5)] == ["asthma"]


def test_sentences_of_a_document_are_spans_of_its_stored_text(folder: Path) -> None:
    body = "\ufeffA title\r\n\r\nThe \ufb01rst result is long enough.\u2028It was 5\u00a0mg in mice.\r\n"
    mine = corpus(folder, note__txt=body)
    text = mine.text(mine.papers()[0])
    assert text == body.strip().removeprefix("\ufeff")
    found = sentences("mine-note", text)
    assert [q.text.split()[0] for q in found] == ["The"]
    assert all(is_verbatim(q, text) for q in found)


def test_fields_become_a_paper_and_wrong_years_become_none(folder: Path) -> None:
    full = {"id": "a b/c", "title": " T ", "text": "Body.", "abstract": "Short.", "pmid": 12345, "pmcid": "PMC1",
            "doi": "10.1/x", "year": "1999", "journal": None, "unknown": [1]}  # fmt: skip
    wrong = ("199x", "9" * 5000, 2001.5, None, "", -3)
    years = [{"id": f"y{i}", "text": "word", "year": year} for i, year in enumerate(wrong)]
    first, *others = corpus(folder, p__jsonl="\n".join(json.dumps(row) for row in [full, *years])).papers()
    assert (first.id, first.title, first.abstract, first.year, first.journal) == ("a-b-c", "T", "Short.", 1999, "")
    assert (first.ids.pmid, first.ids.pmcid, first.ids.doi) == ("12345", "PMC1", "10.1/x")
    assert (first.source, first.kind) == ("mine", "user")
    assert [p.year for p in others] == [None] * 6


def test_a_huge_field_is_kept_whole_and_only_its_summary_is_cut(folder: Path) -> None:
    text = "The gene was measured again. " * 100_000
    mine = corpus(folder, big__jsonl=json.dumps({"title": "t" * 10_000, "text": text}), small__txt="Zebra stripes")
    big = mine.papers()[0]
    assert (len(big.title), len(big.abstract)) == (300, ABSTRACT_CHARS)
    assert text.strip() in mine.text(big)
    assert mine.search("zebra", 1)[0].id == "mine-small"


@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\u0085", "\\n", "\\u0000", "\\u000c"])
def test_only_a_line_feed_ends_a_line_of_jsonl(folder: Path, inside: str) -> None:
    """Unicode's other line ends may stand unescaped inside a JSON string."""
    raw = f'{{"text": "one{inside}two"}}\r\n\n{{"text": "three"}}'
    mine = corpus(folder, x__jsonl=raw)
    assert [p.id for p in mine.papers()] == ["mine-x-1", "mine-x-3"]
    assert mine.text(mine.papers()[0]) == json.loads(f'"one{inside}two"')


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{bad", "not JSON (Expecting property name"),
        ('{"text": "a\0b"}', "not JSON (Invalid control character"),
        ('{"text": "half \\ud83e of a pair"}', "not JSON (UnicodeEncodeError)"),
        ("[" * 100_000, "not JSON (RecursionError)"),
        (f'{{"text": "a", "year": {"9" * 5000}}}', "not JSON (ValueError)"),
        ("null", "no `text` or `abstract`"),
        ('[{"text": "a"}]', "no `text` or `abstract`"),
        ('{"title": "a"}', "no `text` or `abstract`"),
        ('{"text": " \\n", "abstract": null}', "no `text` or `abstract`"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(folder: Path, line: str, why: str) -> None:
    message = refusal(folder, a__jsonl='{"text": "fine"}', b__jsonl=f'{{"text": "good"}}\n\n{line}\n')
    assert message.startswith(f"{folder / 'b.jsonl'}:3: {why}")
    assert len(message) < 300 + len(str(folder))


@pytest.mark.parametrize(
    ("name", "content", "byte"),
    [
        ("a__txt", "Gr\u00f6\u00dfe".encode("latin-1"), 2),
        ("a__md", "text".encode("utf-16"), 0),
        ("a__jsonl", b'{"text": "fine"}\n{"text": "\xe9"}', 27),
        ("a__txt", b"\xef\xbb\xbfcut \xf0\x9f\xa7", 7),
    ],
)
def test_what_is_not_utf8_is_named_by_file_and_byte(folder: Path, name: str, content: bytes, byte: int) -> None:
    message = refusal(folder, fine__txt="fine", **{name: content})
    assert message.startswith(f"{folder / name.replace('__', '.')}: not UTF-8 at byte {byte}; convert it")


@pytest.mark.parametrize(
    "files",
    [
        {"a__jsonl": '{"text": "one", "id": "q"}\n{"text": "two", "id": "q"}'},
        {"a__jsonl": '{"text": "one", "id": "x/y"}', "b__jsonl": '{"text": "two", "id": "x y"}'},
        {"note__txt": "one", "note__md": "two"},
    ],
)
def test_two_documents_of_one_id_are_refused_not_lost(folder: Path, files: dict[str, str]) -> None:
    assert "two documents have the id '" in refusal(folder, **files)


def test_an_empty_corpus_is_refused_and_other_files_are_left_alone(folder: Path) -> None:
    message = refusal(folder, a__txt="", b__jsonl="\n \r\n", c__md="\ufeff \n", d__pdf=b"%PDF\xff")
    assert message.startswith(f"{folder}: no document; use `labwright corpus add mine FILE`")
    assert len(corpus(folder, e__txt="word").papers()) == 1
    (folder / "folder.txt").mkdir()
    assert "folder.txt: Is a directory; check the path" in refusal(folder)


@pytest.mark.parametrize("text", ["a", "the of and", "?!", "\u00fc"])
def test_a_corpus_without_a_word_to_search_by_can_still_be_searched(folder: Path, text: str) -> None:
    assert [p.id for p in corpus(folder, x__txt=text).search("anything", 5)] == ["mine-x"]
    assert set(Index([("a", text)], hashed_encoder).relevance("anything")) == {"a"}


@pytest.mark.parametrize(
    "name",
    [
        "embedded",
        "pubmed",
        "pmc",
        "geo",
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a b",
        "A",
        "\u00fc",
        "-a",
        "_a",
        "a" * 41,
        "a\n",
    ],
)
def test_names_that_are_taken_or_no_plain_names_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.txt").write_text("word")
    with pytest.raises(
        WrongUse, match=r"use lower-case letters, digits, _ and -, but none of embedded, pubmed, pmc, europepmc, geo"
    ):
        add_documents(tmp_path / "corpora", name, [tmp_path / "x.txt"])
    assert not (tmp_path / "corpora").exists()


def test_a_refused_call_changes_nothing_and_a_file_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.jsonl"
    good.write_text("first")
    bad.write_text("{")
    add_documents(tmp_path / "corpora", "a-1_b", [good])
    good.write_text("second")
    with pytest.raises(UnreadableCorpus, match=r"bad\.jsonl:1"):
        add_documents(tmp_path / "corpora", "a-1_b", [good, bad])
    copy = tmp_path / "corpora" / "a-1_b" / "good.txt"
    assert copy.read_text() == "first"
    assert add_documents(tmp_path / "corpora", "a-1_b", [good]) == [copy]
    assert copy.read_text() == "second"
    assert corpus_names(tmp_path / "corpora") == ["a-1_b"]
