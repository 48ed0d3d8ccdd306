"""PubMed under faults: nothing lost, nothing doubled, and one clear line when it does not work.

The records are real PubMed replies under other numbers; the server keeps the E-utilities' contract.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import SourceUnavailable
from labwright.tools.entrez import BATCH, PubMedSource
from labwright.tools.eutils import Eutils, EutilsConfig
from labwright.tools.reply_cache import ReplyCache

spec = importlib.util.spec_from_file_location("entrez_server", Path(__file__).with_name("entrez_server.py"))
assert spec is not None
assert spec.loader is not None
entrez_server = sys.modules["entrez_server"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(entrez_server)


@pytest.fixture(scope="module", params=[220])
def ncbi(request: pytest.FixtureRequest) -> Iterator[Any]:
    """220 records: a batch and a bit."""

    folder = Path(os.environ.get("LABWRIGHT_TEST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "ncbi"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder} is missing; set LABWRIGHT_TEST_DATA")
        pytest.skip(f"no NCBI replies at {folder}; set LABWRIGHT_TEST_DATA")
    with entrez_server.serving(entrez_server.EntrezServer(folder, request.param)) as server:
        yield server


@pytest.fixture(autouse=True)
def _as_new(ncbi: Any) -> None:
    ncbi.listed = list(ncbi.pmids)
    ncbi.withheld.clear()
    ncbi.faults.clear()
    ncbi.asked.clear()


@pytest.fixture
def waits() -> list[float]:
    return []


def source(ncbi: Any, waits: list[float], notes: list[str] | None = None, **more: Any) -> PubMedSource:
    config = EutilsConfig(api_key="secret", base_url=ncbi.base_url, connect_s=0.5, read_s=0.4)
    client = Eutils(config, sleep=waits.append, today=lambda: date(2026, 1, 2), **more)
    return PubMedSource(client, (notes if notes is not None else []).append)


def numbers(papers: list[Any]) -> list[str]:
    return [paper.ids.pmid for paper in papers]


def test_a_long_list_is_fetched_from_the_history_server_in_batches(ncbi: Any, waits: list[float]) -> None:
    found = source(ncbi, waits).search("cells", 300)
    assert numbers(found) == ncbi.pmids
    fetches = [params for tool, params in ncbi.asked if tool == "efetch"]
    assert [int(p["retmax"][0]) for p in fetches] == [BATCH, 20]
    assert {p["WebEnv"][0] for p in fetches} == {"MCID_6927d6e7fee3e90f880ec190"}
    assert ncbi.asked[0][1]["usehistory"] == ["y"]


@pytest.mark.parametrize("limit", [1, 199, 200, 201, 219])
def test_a_limit_is_kept_and_the_order_is_that_of_the_search(ncbi: Any, waits: list[float], limit: int) -> None:
    assert numbers(source(ncbi, waits).search("cells", limit)) == ncbi.pmids[:limit]


@pytest.mark.parametrize(
    ("fault", "place"),
    [(fault, place) for fault in entrez_server.FAULTS for place in (0, 2) if (fault, place) != ("slow", 2)],
)
def test_one_fault_costs_a_second_try_and_no_record(ncbi: Any, waits: list[float], fault: str, place: int) -> None:
    """`place` is the number of the request that is spoilt: the search, or the second batch."""
    client = source(ncbi, waits)
    asked: list[str] = []
    real = ncbi.reply

    def faulty(tool: str, params: dict[str, list[str]]) -> bytes:
        if len(asked) == place:
            ncbi.faults.append(fault)
        asked.append(tool)
        return bytes(real(tool, params))

    ncbi.reply = faulty
    try:
        found = numbers(client.search("cells", 300))
    finally:
        del ncbi.reply
    assert found == ncbi.pmids
    assert len(ncbi.asked) == 3 + 1
    assert [w for w in waits if w >= 1] == [2.0 if fault == "429" else 1.0]


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("429", "NCBI esearch answered 429 (4 tries)"),
        ("500", "NCBI esearch answered 500 (4 tries)"),
        ("truncated", "NCBI esearch sent a reply that cannot be read (CorruptedXMLError) (4 tries)"),
        ("empty", "NCBI esearch sent a reply that cannot be read (ValueError) (4 tries)"),
        ("broken off", "NCBI esearch broke off (RemoteProtocolError) (4 tries)"),
        (
            "an error message",
            "NCBI esearch sent a reply that cannot be read (NCBI says: Search Backend failed: read timed out) (4 tries)",
        ),
    ],
)
def test_a_lasting_fault_is_one_clear_line_without_the_key(
    ncbi: Any, waits: list[float], fault: str, line: str
) -> None:
    ncbi.faults += [fault] * 4
    with pytest.raises(SourceUnavailable) as caught:
        source(ncbi, waits).search("cells", 300)
    assert str(caught.value) == line
    assert [w for w in waits if w >= 1] == ([2.0, 2.0, 4.0] if fault == "429" else [1.0, 2.0, 4.0])


def test_ids_that_a_search_lists_twice_are_fetched_once(ncbi: Any, waits: list[float]) -> None:
    """Short and long lists; with repeats the positions on the history server are not trusted."""
    ncbi.listed = ncbi.pmids[:3] + ncbi.pmids[:3]
    assert numbers(source(ncbi, waits).search("cells", 100)) == ncbi.pmids[:3]
    ncbi.listed = ncbi.pmids[:210] + ncbi.pmids[100:220]
    assert numbers(source(ncbi, waits).search("cells", 600)) == ncbi.pmids
    asked = [i for tool, p in ncbi.asked if tool == "efetch" for i in p["id"][0].split(",")]
    assert len(asked) == len(set(asked)) + 3  # the three of the first search are asked for again by the second


def test_a_record_that_a_batch_leaves_out_is_asked_for_again(ncbi: Any, waits: list[float]) -> None:
    notes: list[str] = []
    ncbi.withheld.update(dict.fromkeys(ncbi.pmids[150:160], 1))
    assert numbers(source(ncbi, waits, notes).search("cells", 300)) == ncbi.pmids
    assert notes == []


def test_a_record_that_pubmed_never_gives_out_is_said_aloud(ncbi: Any, waits: list[float]) -> None:
    notes: list[str] = []
    gone = ncbi.pmids[7]
    ncbi.withheld[gone] = 9
    found = numbers(source(ncbi, waits, notes).search("cells", 300))
    assert found == [pmid for pmid in ncbi.pmids if pmid != gone]
    assert notes == [f"PubMed named 1 records that it did not give out: {gone}"]


def test_ten_thousand_results_are_all_there_once(ncbi: Any, waits: list[float]) -> None:
    """PubMed's own limit: more are neither asked for nor promised."""
    big = entrez_server.EntrezServer.__new__(entrez_server.EntrezServer)
    big.__dict__.update(ncbi.__dict__)
    big.listed = [str(40_000_000 + i) for i in range(12_000)]
    big.faults, big.asked = ["500"], []
    with entrez_server.serving(big):
        found = numbers(source(big, waits).search("cells", 50_000))
    assert found == big.listed[:10_000]
    assert sum(tool == "efetch" for tool, _ in big.asked) == 50


def test_replies_are_kept_with_their_date_and_without_the_key(ncbi: Any, waits: list[float], tmp_path: Path) -> None:
    """A second client asks nobody; its papers carry the date of the first reply, also for their standing."""
    cache = ReplyCache(tmp_path / "replies.sqlite", days=7)
    first = source(ncbi, waits, cache=cache).search("cells", 5)
    n = len(ncbi.asked)
    later = Eutils(EutilsConfig(base_url=ncbi.base_url), cache=cache, today=lambda: date(2026, 1, 5))
    second = PubMedSource(later).search("cells", 5)
    assert (second, len(ncbi.asked)) == (first, n)
    assert {(p.retrieved_on, p.retraction.checked_at) for p in second} == {("2026-01-02", "2026-01-02")}
    assert b"secret" not in (tmp_path / "replies.sqlite").read_bytes()
    stale = Eutils(EutilsConfig(base_url=ncbi.base_url), cache=cache, today=lambda: date(2026, 1, 9))
    assert PubMedSource(stale).search("cells", 5)[0].retrieved_on == "2026-01-09"


def test_a_damaged_reply_is_never_kept(ncbi: Any, waits: list[float], tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite", days=7)
    ncbi.faults += ["truncated"] * 4
    with pytest.raises(SourceUnavailable):
        source(ncbi, waits, cache=cache).search("cells", 5)
    assert numbers(source(ncbi, waits, cache=cache).search("cells", 5)) == ncbi.pmids[:5]
