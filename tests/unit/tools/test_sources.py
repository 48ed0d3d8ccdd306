"""Literature sources that need no network, and deduplication."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from labwright.domain import Paper, PaperIds
from labwright.errors import UnreadableCorpus, WrongUse
from labwright.tools.index_store import Embedder, LiteratureIndex
from labwright.tools.local_corpus import LocalCorpus, add_documents, corpus_names
from labwright.tools.sources import EmbeddedCorpus, LiteratureSource, deduplicate

if TYPE_CHECKING:
    from numpy.typing import NDArray


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors of letter counts: enough to rank by, and the same on every machine."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    counts = np.array([[text.lower().count(c) for c in letters] for text in texts], dtype=np.float32)
    lengths = np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)
    return np.asarray(counts / lengths, dtype=np.float32)


def paper(title: str, *, pmcid: str = "", doi: str = "", pmid: str = "") -> Paper:
    """A paper that is its identifiers."""
    ids = PaperIds(pmid=pmid, pmcid=pmcid, doi=doi)
    return Paper(id=title, ids=ids, title=title, abstract="x", source="test")


def test_deduplicate_by_pmcid_then_doi_then_pmid() -> None:
    """Vector T6 of the specification: only C is left."""
    a = paper("a", pmcid="1", doi="x", pmid="9")
    b = paper("b", pmcid="1", doi="y", pmid="8")
    c = paper("c", doi="y", pmid="7")
    assert deduplicate([a, b]) == [b]
    assert deduplicate([a, b, c]) == [c]


def test_order_of_the_keys_is_pinned() -> None:
    """By PMCID first B takes A's place and then yields to C; by DOI first B would have been left."""
    a = paper("a", pmcid="1", doi="x")
    b = paper("b", pmcid="1", doi="y")
    c = paper("c", doi="y")
    assert [p.id for p in deduplicate([a, c, b])] == ["c"]


def test_title_stands_in_for_a_missing_identifier() -> None:
    """Case and punctuation do not count; spellings of one identifier are one."""
    assert len(deduplicate([paper("A gene, found"), paper("a GENE found")])) == 1
    assert len(deduplicate([paper("a", doi="10.1/X"), paper("b", doi="https://doi.org/10.1/x")])) == 1
    assert len(deduplicate([paper("a", pmcid="PMC5"), paper("b", pmcid="5")])) == 1
    assert len(deduplicate([paper("a"), paper("b")])) == 2


def test_a_replaced_paper_keeps_its_place() -> None:
    """Rank order survives."""
    kept = deduplicate([paper("a", pmid="1"), paper("b", pmid="2"), paper("c", pmid="1")])
    assert [p.id for p in kept] == ["c", "b"]


def test_embedded_corpus_finds_and_tells() -> None:
    """A search returns summaries whose stored text holds title, headings and the abstract's sentences."""
    corpus: LiteratureSource = EmbeddedCorpus(encode)
    papers = corpus.search("dexamethasone airway smooth muscle RNA sequencing", 5)
    assert len(papers) == 5
    assert "himes2014" in {p.id for p in papers}
    text = corpus.text(papers[0])
    assert text.startswith(papers[0].title + "\n\nBackground\n")
    assert "\n\nMethods\n" in text
    assert (papers[0].kind, papers[0].source) == ("summary", "embedded")


def test_documents_are_added_and_searched(tmp_path: Path) -> None:
    """Three kinds of file, one corpus; ids are safe to use as file names."""
    (tmp_path / "note.md").write_text("# Wound healing\n\nKeratinocytes migrate.\n", encoding="utf-8")
    (tmp_path / "plain one.txt").write_text("Asthma steroids\nDexamethasone in airways.\n", encoding="utf-8")
    zebra = '{"title": "Zebra", "text": "Stripes.", "doi": "10.1/z", "year": 2001}'
    rows = zebra + '\n\n{"abstract": "Only this."}\n'
    (tmp_path / "many.jsonl").write_text(rows, encoding="utf-8")
    given = [tmp_path / name for name in ("note.md", "plain one.txt", "many.jsonl")]
    copies = add_documents(tmp_path / "corpora", "mine", given)
    assert all(copy.is_file() for copy in copies)
    assert corpus_names(tmp_path / "corpora") == ["mine"]
    corpus = LocalCorpus(
        tmp_path / "corpora" / "mine", lambda: LiteratureIndex(tmp_path / "index", Embedder(name="l", encode=encode))
    )
    ids = [p.id for p in corpus.papers()]
    assert ids == ["mine-many-1", "mine-many-3", "mine-note", "mine-plain-one"]
    first = corpus.papers()[0]
    assert (first.title, first.ids.doi, first.year, first.kind) == ("Zebra", "10.1/z", 2001, "user")
    assert corpus.text(first) == "Zebra\n\nStripes."
    assert corpus.search("zebra stripes", 1)[0].id == "mine-many-1"


def test_a_file_that_is_not_utf8_is_named_with_the_byte(tmp_path: Path) -> None:
    """File, offset and the way out; nothing is copied."""
    bad = tmp_path / "latin.txt"
    bad.write_bytes("Größe".encode("latin-1"))
    good = tmp_path / "good.txt"
    good.write_text("fine", encoding="utf-8")
    with pytest.raises(UnreadableCorpus, match=r"latin\.txt: not UTF-8 at byte 2; .*iconv"):
        add_documents(tmp_path / "corpora", "mine", [good, bad])
    assert not (tmp_path / "corpora").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "{bad\n", r"a\.jsonl:1: not JSON"),
        ("a.jsonl", '{"text": "x"}\n{"title": "y"}\n', r"a\.jsonl:2: no `text`"),
        ("a.jsonl", "[1]\n", r"a\.jsonl:1"),
        ("a.pdf", "x", r"a\.pdf: not one of"),
        ("a.txt", "  \n", "no document in it"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    """Each with the line that is wrong."""
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UnreadableCorpus, match=message):
        add_documents(tmp_path / "corpora", "mine", [path])


def never() -> LiteratureIndex:
    """No index is opened for a corpus that cannot be read."""
    raise AssertionError


def test_missing_things_say_what_to_do(tmp_path: Path) -> None:
    """A file, a corpus, an empty corpus, a name that is taken."""
    with pytest.raises(UnreadableCorpus, match="check the path"):
        add_documents(tmp_path, "mine", [tmp_path / "gone.txt"])
    with pytest.raises(UnreadableCorpus, match="labwright corpus add gone"):
        LocalCorpus(tmp_path / "gone", never)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableCorpus, match="no document"):
        LocalCorpus(tmp_path / "empty", never)
    for name in ("pubmed", "../x", "A B", ""):
        with pytest.raises(WrongUse, match="corpus name"):
            add_documents(tmp_path, name, [])
    assert corpus_names(tmp_path / "nowhere") == []
