"""The literature index: what is added is found, once, filtered, updated, deleted, whole after a kill."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from unit.tools import index_fakes
from unit.tools.index_fakes import EMBEDDER, CountingEncoder, document

from labwright.domain import PaperIds
from labwright.errors import ConfigInvalid, SourceUnavailable, WrongUse
from labwright.tools.index_records import Filter, IndexedDocument
from labwright.tools.index_store import Embedder, LiteratureIndex


@pytest.fixture
def index(tmp_path: Path) -> LiteratureIndex:
    return LiteratureIndex(tmp_path / "index", EMBEDDER)


def ids(index: LiteratureIndex, query: str, **more) -> list[str]:
    return [hit.document.id for hit in index.search(query, **more)]


def test_what_was_added_is_found_by_every_mode_and_after_opening_again(tmp_path: Path) -> None:
    index = LiteratureIndex(tmp_path, EMBEDDER)
    added = index.add([document(n) for n in range(300)])  # more than one batch
    assert (len(added.new), added.updated, added.unchanged, added.merged) == (300, [], [], {})
    for mode in ("hybrid", "sparse", "dense", "ranks"):
        assert ids(index, "marker17 number17 in blood", mode=mode, limit=5)[0] == "d17", mode
    assert index.check() == []
    again = LiteratureIndex(tmp_path, EMBEDDER)
    assert again.count() == 300
    assert ids(again, "marker17 in blood", limit=1) == ["d17"]
    assert [h.document for h in again.search("marker17 in blood", 1)] == [document(17)]


def test_an_update_replaces_and_only_what_changed_is_embedded_again(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    index = LiteratureIndex(tmp_path, Embedder(name="words", encode=encoder))
    index.add([document(n) for n in range(10)])
    embedded = len(encoder.seen)
    assert embedded >= 20  # passage, title and sentences of each
    outcome = index.add([document(1), document(2, text="Now about zebrafish."), document(3, retracted=True)])
    assert (outcome.unchanged, sorted(outcome.updated), outcome.new) == (["d1"], ["d2", "d3"], [])
    assert (
        len(encoder.seen) == embedded + 2
    )  # passage and title, the sentence is too short; the retraction changed no word
    assert ids(index, "zebrafish", mode="sparse") == ["d2"]
    assert ids(index, "marker2", mode="sparse") == []
    assert "d3" not in ids(index, "marker3 aspirin", limit=10, where=Filter(retracted=False))
    assert ids(index, "marker3", where=Filter(retracted=True)) == ["d3"]
    assert index.count() == 10
    assert index.check() == []


def test_deleted_documents_are_gone_from_both_sides(index: LiteratureIndex) -> None:
    index.add([document(n) for n in range(20)])
    assert index.delete(["d3", "d4", "d3", "no-such"]) == 2
    for mode in ("hybrid", "sparse", "dense"):
        assert not {"d3", "d4"} & set(ids(index, "marker3 marker4 aspirin", mode=mode, limit=50))
    assert (index.count(), index.check(), index.get("d3")) == (18, [], None)
    index.add([document(3)])
    assert index.get("d3") == document(3)


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"ids": PaperIds(pmcid="PMC77")}, PaperIds(pmid="1005", pmcid="77", doi="10.1/ab")),
        ({"ids": PaperIds(doi="https://doi.org/10.1/AB")}, PaperIds(pmid="1005", pmcid="77", doi="https://doi.org/10.1/AB")),
        ({"ids": PaperIds(pmid="1005")}, PaperIds(pmid="1005", pmcid="77", doi="10.1/ab")),
        ({"ids": PaperIds()}, PaperIds(pmid="1005", pmcid="77", doi="10.1/ab")),  # by title
    ],
)  # fmt: skip
def test_the_same_paper_under_another_id_is_merged(index: LiteratureIndex, more, kept: PaperIds) -> None:
    index.add([document(5, ids=PaperIds(pmid="1005", pmcid="77", doi="10.1/ab"))])
    other = document(5, id="other", text="We measured marker5 in blood; a longer text of the same paper.", **more)
    assert index.add([other]).merged == {"other": "d5"}
    found = index.get("d5")
    assert found is not None
    assert (found.text, index.count(), index.get("other")) == (other.text, 1, None)
    assert {**found.ids.model_dump(), "pmcid": ""} == {**kept.model_dump(), "pmcid": ""}
    assert found.identities()["pmcid"] == "PMC77"


def test_papers_that_share_only_a_title_or_a_corpus_name_stay_apart(index: LiteratureIndex) -> None:
    correction = document(5, id="correction", ids=PaperIds(pmid="9"))
    elsewhere = document(5, corpus="mine")
    editorial = [IndexedDocument(id=f"e{n}", title="Editorial", text=f"On topic{n}.") for n in range(2)]
    index.add([document(5), correction, elsewhere, *editorial])
    assert index.count() == 5
    assert index.corpora() == {"default": 4, "mine": 1}


def test_a_record_that_joins_two_papers_leaves_one_and_adding_all_again_changes_nothing(
    index: LiteratureIndex,
) -> None:
    by_doi = document(1, id="by-doi", title="A first title of it", ids=PaperIds(doi="10.1/x"))
    by_pmid = document(2, id="by-pmid", title="Another title of it all", ids=PaperIds(pmid="7"))
    both = document(3, id="both", title="The last title of it", ids=PaperIds(pmid="7", doi="10.1/x"), retracted=True)
    assert index.add([by_doi, by_pmid]).merged == {}
    assert index.add([both]).merged == {"both": "by-doi", "by-pmid": "by-doi"}
    found = index.get("by-doi")
    assert found is not None
    assert (index.count(), found.title, found.ids.pmid, found.retracted) == (1, both.title, "7", True)
    again = index.add([by_doi, by_pmid, both])
    assert (again.new, again.updated, again.unchanged) == ([], [], ["by-doi"])
    assert (index.get("by-doi"), index.count(), index.check()) == (found, 1, [])


def test_an_update_that_makes_two_documents_one_paper_merges_them(index: LiteratureIndex) -> None:
    index.add([document(1), document(2)])
    outcome = index.add([document(2, ids=PaperIds(pmid="1001"))])
    assert outcome.merged == {"d2": "d1"}
    assert (index.count(), index.get("d2"), index.check()) == (1, None, [])


def test_the_whole_of_a_long_text_is_embedded_in_a_bounded_number_of_parts() -> None:
    text = " ".join(f"Sentence number{n} of the long text is here." for n in range(1000))
    parts = IndexedDocument(id="a", title="A title", text=text).parts()
    assert len(parts) <= 65
    assert " ".join(parts[1:]) == text
    short = IndexedDocument(id="a", title="A title", text=" ".join(text.split(". ")[:3]))
    assert all(part.count("Sentence") == 1 for part in IndexedDocument(id="a", text=text[:2000]).parts()[1:])
    assert short.parts()[0] == "A title"


def test_a_reader_opens_and_searches_while_a_writer_embeds(tmp_path: Path) -> None:
    LiteratureIndex(tmp_path, EMBEDDER).add([document(n) for n in range(5)])
    embedding, go_on = threading.Event(), threading.Event()

    def slow(texts: Sequence[str]) -> np.ndarray:
        embedding.set()
        assert go_on.wait(20)
        return index_fakes.encode(texts)

    writer = LiteratureIndex(tmp_path, Embedder(name="words", encode=slow))
    adding = threading.Thread(target=writer.add, args=([document(9)],))
    adding.start()
    assert embedding.wait(20)
    try:
        reader = LiteratureIndex(tmp_path, EMBEDDER)
        assert "d3" in ids(reader, "marker3 in blood")
        assert writer.count() == 5
        assert ids(writer, "marker3", mode="sparse")
        reader.add([document(7)])  # another writer does not wait for the slow encoder either
    finally:
        go_on.set()
        adding.join()
    assert ids(reader, "marker9 marker7", mode="sparse") in (["d7", "d9"], ["d9", "d7"])


def test_a_chroma_server_is_used_by_its_address_alone(tmp_path: Path) -> None:
    """An index made on files is opened on a server, filled without embedding, and shares it with another index."""
    encoder = CountingEncoder()
    LiteratureIndex(tmp_path / "a", EMBEDDER).add([document(n) for n in range(30)])
    with chroma_server(tmp_path / "server") as address:
        index = LiteratureIndex(tmp_path / "a", Embedder(name="words", encode=encoder), server=address)
        assert (encoder.seen, index.check()) == ([], [])
        other = LiteratureIndex(tmp_path / "b", EMBEDDER, server=address)
        assert other.count() == 0
        other.add([document(n, text="Of another laboratory.") for n in range(3)])
        index.delete(["d2"])
        index.add([document(40)])
        for mode in ("hybrid", "dense"):
            found = ids(index, "marker3 in blood", mode=mode, limit=50, where=Filter(types=("review",)))
            assert found[0] == "d3", mode
            assert set(found) == {f"d{n}" for n in range(30) if n % 2}
        reader = LiteratureIndex(tmp_path / "a", EMBEDDER, server=address)
        assert set(ids(reader, "aspirin mice", mode="dense", limit=50)) == {f"d{n}" for n in (*range(30), 40) if n != 2}
        assert (other.check(), index.check()) == ([], [])
    with pytest.raises(SourceUnavailable, match="no Chroma server answers"):
        LiteratureIndex(tmp_path / "a", EMBEDDER, server=address)


@contextmanager
def chroma_server(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).parent / "chroma")
    command = [program, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def test_duplicates_within_one_batch_are_merged_too_and_ids_stay_with_the_first(index: LiteratureIndex) -> None:
    index.add([document(1), document(1, id="twin"), document(2), document(2, text="Second version of two.")])
    assert index.count() == 2
    found = index.get("d2")
    assert found is not None
    assert found.text == "Second version of two."


@pytest.mark.parametrize(
    ("where", "passes"),
    [
        (Filter(types=("review",)), lambda n: n % 2 == 1),
        (Filter(since=2010), lambda n: n % 20 >= 10),
        (Filter(until=2004, types=("abstract",)), lambda n: n % 20 <= 4 and n % 2 == 0),
        (Filter(since=2011, until=2012), lambda n: n % 20 in (11, 12)),
        (Filter(since=2012, until=2011), lambda n: False),
        (Filter(corpora=("nowhere",)), lambda n: False),
        (Filter(retracted=True), lambda n: False),
        (Filter(corpora=("default", "nowhere"), retracted=False), lambda n: True),
    ],
)
def test_filters_hold_on_every_side(index: LiteratureIndex, where: Filter, passes) -> None:
    index.add([document(n) for n in range(60)])
    for mode in ("hybrid", "sparse", "dense", "ranks"):
        assert set(ids(index, "aspirin in mice", limit=60, where=where, mode=mode)) == {
            f"d{n}" for n in range(60) if passes(n)
        }


@pytest.mark.parametrize("query", ["", "  \n", "the of and", '+a "b AND (c: OR', "\u03b2 \U0001f9ec ~^*", "x" * 20_000])
def test_a_query_is_plain_words_whatever_it_holds(index: LiteratureIndex, query: str) -> None:
    assert index.search(query) == []
    index.add([document(1)])
    assert len(index.search(query)) <= 1
    assert index.search(query, 0) == []


def test_a_reranker_orders_the_first_hits_anew(index: LiteratureIndex) -> None:
    index.add([document(n) for n in range(40)])
    seen = []

    def last_first(query, documents):
        seen.append((query, len(documents)))
        return list(range(len(documents)))

    plain = ids(index, "aspirin mice", limit=40)
    again = ids(index, "aspirin mice", limit=40, rerank=last_first)
    assert again == plain[:20][::-1] + plain[20:]
    assert seen == [("aspirin mice", 20)]


def test_an_index_keeps_to_its_embedder_and_refuses_what_is_none(tmp_path: Path) -> None:
    LiteratureIndex(tmp_path / "a", EMBEDDER).close()
    with pytest.raises(WrongUse, match="made with embedder 'words'"):
        LiteratureIndex(tmp_path / "a", Embedder(name="other", encode=index_fakes.encode))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "documents.sqlite").write_bytes(b"not a database, but long enough to look like one" * 50)
    with pytest.raises(WrongUse, match="not an index"):
        LiteratureIndex(tmp_path / "b", EMBEDDER)
    with pytest.raises(ConfigInvalid, match="not the address"):
        LiteratureIndex(tmp_path / "c", EMBEDDER, server="localhost")


def test_an_engine_that_lost_its_files_is_noticed_and_filled_again(tmp_path: Path) -> None:
    import shutil

    encoder = CountingEncoder()
    first = LiteratureIndex(tmp_path, EMBEDDER)
    first.add([document(n) for n in range(30)])
    first.close()
    shutil.rmtree(tmp_path / "sparse")
    index = LiteratureIndex(tmp_path, Embedder(name="words", encode=encoder))
    assert index.check() == []
    index._dense.remove([1, 2])
    index._sparse.remove([30])
    assert index.check() == [
        "sparse misses 1 of 30 documents and holds 0 too many",
        "dense misses 2 of 30 documents and holds 0 too many",
    ]
    index.repair()
    assert index.check() == []
    assert encoder.seen == []
    assert ids(index, "marker17", mode="sparse") == ["d17"]


def consistent(folder: Path) -> tuple[LiteratureIndex, set[str]]:
    """Open after whatever happened: ledger and engines agree, and every live document is found on both sides."""
    index = LiteratureIndex(folder, EMBEDDER)
    assert index.check() == []
    live = {d.id for d in index._ledger.documents(index._ledger.keys()).values()}
    if live:
        assert set(ids(index, "aspirin trial mice", mode="sparse", limit=10_000)) == live
        near = set(ids(index, "aspirin trial mice", mode="dense", limit=10_000))
        assert near <= live
        assert len(near) >= 0.98 * len(live)  # an approximate graph; check() compared every key
    return index, live


def test_a_kill_in_the_middle_of_adding_leaves_nothing_half_added(tmp_path: Path) -> None:
    rng = random.Random(7)
    first = 0
    finished: set[str] = set()
    watching = LiteratureIndex(tmp_path, EMBEDDER)
    for number in range(3):
        writer = subprocess.Popen(
            [sys.executable, index_fakes.__file__, str(tmp_path), str(first), "4000"], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        time.sleep(rng.uniform(0.2, 1.5))
        writer.send_signal(signal.SIGKILL)
        said = [int(line) for line in writer.stdout.read().splitlines() if line.endswith("0")]
        writer.wait()
        if number == 1:  # an index that was open all the while heals it too
            watching.delete(["no-such"])
            assert watching.check() == []
        index, live = consistent(tmp_path)
        finished |= {f"d{n}" for start in said for n in range(start, start + 40)}
        assert finished <= live  # what was reported added is there
        assert len(live) % 40 == 0  # batches are whole
        for start in said:
            assert all(h.text.endswith("version two.") for n in range(start, start + 10) if (h := index.get(f"d{n}")))
        first += 4000
        index.close()
    assert finished


def test_readers_of_other_processes_see_whole_batches_only(tmp_path: Path) -> None:
    reader = LiteratureIndex(tmp_path, EMBEDDER)
    writer = subprocess.Popen(
        [sys.executable, index_fakes.__file__, str(tmp_path), "0", "200"], stdout=subprocess.DEVNULL
    )
    wrong: list[str] = []
    stop = threading.Event()

    def read(mode: str) -> None:
        while not stop.is_set():
            found = ids(reader, "aspirin trial mice", mode=mode, limit=10_000)
            whole = mode == "dense" or len(found) % 40 == 0  # the graph of the dense side is approximate
            if len(found) != len(set(found)) or not whole:
                wrong.append(f"{mode}: {len(found)} found, {len(set(found))} distinct")

    threads = [threading.Thread(target=read, args=(mode,)) for mode in ("sparse", "dense")]
    for thread in threads:
        thread.start()
    assert writer.wait(timeout=120) == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(ids(reader, "aspirin trial mice", mode="sparse", limit=10_000)) == 200
    assert len(ids(reader, "aspirin trial mice", mode="dense", limit=10_000)) >= 196
    assert np.isclose(reader.search("marker3 in blood", 1, mode="dense")[0].score, 1.0, atol=0.5)
