"""`labwright bench retrieval`: search, its speed, and the location of quotes (docs/benchmarks/README.md)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.config import cache_dir, load_config
from labwright.eval.suites import injections
from labwright.eval.suites.document import document
from labwright.eval.suites.retrieval_data import medlars, scifact_abstracts, scifact_claims
from labwright.eval.suites.retrieval_figures import figures_of
from labwright.eval.suites.retrieval_quotes import quote_rows
from labwright.eval.suites.retrieval_ranking import fit_weights, rank_rows, sample, scifact_index
from labwright.eval.suites.retrieval_screening import screening_rows
from labwright.eval.suites.retrieval_speed import copy_of, costs, dense_indexing, grow, query_times, sparse_indexing
from labwright.eval.suites.retrieval_stance import stance_rows
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import RAW
from labwright.models.calls import CallLog
from labwright.models.embedding import NAME, CachedEncoder, shared_encoder
from labwright.tools.index_store import Embedder, LiteratureIndex
from labwright.workflows.backends import Backends

Say = Callable[[str], None]
QUICK_STEP = 10
"""A quick run takes every tenth query, and the documents that it is about beside every tenth of the others."""
TIMED = 100
GROWTH = 10
"""The large index holds so many copies of every document, under other ids."""
STANCE_STEP = 3
"""Every third claim is judged: a hundred claims are some ten minutes of a small model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every part of the suite works with."""

    rows: Rows
    cached: Embedder
    """Embeds a text once for all runs of the suite."""
    quick: bool
    model: bool
    say: Say

    @property
    def step(self) -> int:
        """Every so many queries are asked."""
        return QUICK_STEP if self.quick else 1


def measure(*, quick: bool, fit: bool, model: bool, say: Say) -> dict[str, Any]:
    """Run the suite and return its document.

    Texts are embedded once and kept in the cache folder, by model and hash of the text. What the rows hold
    already is not measured again: delete the raw file for a new measurement.

    Args:
        quick: every tenth query over a tenth of the documents, no large index; stated in the document's command.
        fit: choose the weights of the fusion again first, on SciFact train claims.
        model: also measure what a model decides, some seconds a question.
        say: shows progress.
    """
    RAW.mkdir(parents=True, exist_ok=True)
    name = "retrieval-quick" if quick else "retrieval"
    cached = Embedder(name=NAME, encode=CachedEncoder(cache_dir() / "bench-embeddings.sqlite"))
    bench = Bench(rows=Rows(RAW / f"{name}.jsonl"), cached=cached, quick=quick, model=model, say=say)
    if fit:
        with tempfile.TemporaryDirectory() as folder:
            say("weights of the fusion, on train claims")
            say(str(fit_weights(scifact_index(Path(folder), cached), say)))
    for part in PARTS:
        part(bench)
    command = "labwright bench retrieval" + (" --quick" if quick else "")
    return document("retrieval", command, figures_of(bench.rows.all(), f"docs/benchmarks/raw/{name}.jsonl"))


def _ranking(bench: Bench) -> None:
    abstracts = [abstract.document() for abstract in scifact_abstracts()]
    for kind, documents, queries in (
        ("scifact_query", abstracts, scifact_claims("validation")),
        ("med_query", *medlars()),
    ):
        if not bench.rows.has_kind(kind):
            bench.say(f"{kind}: embedding and indexing")
            asked = queries[:: bench.step]
            with tempfile.TemporaryDirectory() as folder:
                index = LiteratureIndex(Path(folder), bench.cached)
                index.add(sample(documents, asked, bench.step))
                for row in rank_rows(kind, index, asked):
                    bench.rows.put(row)
                index.close()


def _indexing(bench: Bench) -> None:
    documents = [abstract.document() for abstract in scifact_abstracts()]
    if not bench.rows.has_kind("sparse_indexing"):
        bench.say("sparse indexing")
        for row in sparse_indexing(documents):
            bench.rows.put(row)
    if not bench.rows.has_kind("dense_indexing"):
        for row in dense_indexing(documents, bench.say):
            bench.rows.put(row)


def _times(bench: Bench) -> None:
    if bench.rows.has_kind("query_times"):
        return
    queries = scifact_claims("validation")[:TIMED]
    documents = sample([abstract.document() for abstract in scifact_abstracts()], queries[:: bench.step], bench.step)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        bench.say("query times")
        filled = LiteratureIndex(place, bench.cached)
        filled.add([copy_of(document, 0, n) for n, document in enumerate(documents)])
        filled.close()
        # The same name, without the cache: every query is encoded as a user's would be.
        index = LiteratureIndex(place, Embedder(name=NAME, encode=shared_encoder().encode))
        for row in [*query_times(index, queries), costs(index, place)]:
            bench.rows.put(row)
        if not bench.quick:
            bench.say(f"growing to {GROWTH} times as many")
            for row in [*grow(index, documents, GROWTH, place), *query_times(index, queries)]:
                bench.rows.put(row)
        index.close()


def _quotes(bench: Bench) -> None:
    if not bench.rows.has_kind("quote_fake"):
        bench.say("quotes")
        for row in quote_rows():
            bench.rows.put(row)


def _asking(bench: Bench) -> None:
    """What the model decides: which papers are kept, and how a sentence stands to a claim."""
    missing = [kind for kind in ("screening", "stance") if not bench.rows.has_kind(kind)]
    if not bench.model or not missing:
        return
    backends = Backends(load_config())
    try:
        with tempfile.TemporaryDirectory() as scratch:
            log = CallLog(Path(scratch) / "calls.sqlite")
            if "screening" in missing:
                bench.say("searching and screening for the bundled objectives")
                session = backends.session("search", log, 0)
                for row in list(screening_rows(session, bench.cached.encode)):
                    bench.rows.put(row)
            if "stance" in missing:
                bench.say("support and contradiction")
                session = backends.session("reviewer", log, 0)
                for row in list(stance_rows(session, bench.cached.encode, STANCE_STEP * bench.step)):
                    bench.rows.put(row)
    finally:
        backends.close()


def _injected(bench: Bench) -> None:
    """What passages do that strangers wrote into papers and data cards."""
    injections.measure(bench.rows, bench.say, model=bench.model and not bench.quick)


PARTS: tuple[Callable[[Bench], None], ...] = (_ranking, _indexing, _times, _quotes, _asking, _injected)
"""One part a kind of measurement: it puts rows where there are none. Their figures are made in `retrieval_figures`."""
