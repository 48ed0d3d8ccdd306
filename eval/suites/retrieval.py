"""`labwright bench retrieval`: search, its speed, and the location of quotes (docs/benchmarks/README.md)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labwright.config import cache_dir, load_config
from labwright.eval.suites.figures import figures_of
from labwright.eval.suites.retrieval_data import medlars, scifact_abstracts, scifact_claims
from labwright.eval.suites.retrieval_figures import SIZES
from labwright.eval.suites.retrieval_quotes import quote_rows
from labwright.eval.suites.retrieval_ranking import fit_weights, med_index, rank_rows, scifact_index
from labwright.eval.suites.retrieval_speed import copy_of, costs, dense_indexing, grow, query_times, sparse_indexing
from labwright.eval.suites.retrieval_stance import stance_rows
from labwright.eval.suites.run import RAW, Rows, commit, machine
from labwright.models.calls import CallLog
from labwright.models.embedding import NAME, CachedEncoder, shared_encoder
from labwright.tools.index_store import Embedder, LiteratureIndex
from labwright.workflows.backends import Backends

Say = Callable[[str], None]
QUICK_STEP = 10
"""A quick run takes every tenth query."""
TIMED = 100


def measure(*, quick: bool, fit: bool, stance: bool, say: Say) -> dict[str, Any]:
    """Run the suite and return its document.

    Texts are embedded once and kept in the cache folder, by model and hash of the text. What the rows hold
    already is not measured again: delete the raw file for a new measurement.

    Args:
        quick: every tenth query, no index of 50 thousand; stated in the document's command.
        fit: choose the weights of the fusion again first, on SciFact train claims.
        stance: also ask the reviewer's model about support and contradiction, some seconds a claim.
        say: shows progress.
    """
    RAW.mkdir(parents=True, exist_ok=True)
    name = "retrieval-quick" if quick else "retrieval"
    rows = Rows(RAW / f"{name}.jsonl")
    cached = Embedder(name=NAME, encode=CachedEncoder(cache_dir() / "bench-embeddings.sqlite"))
    if fit:
        with tempfile.TemporaryDirectory() as folder:
            say("weights of the fusion, on train claims")
            say(str(fit_weights(scifact_index(Path(folder), cached), say)))
    _ranking(rows, cached, QUICK_STEP if quick else 1, say)
    _speed(rows, cached, quick, say)
    if not rows.has_kind("quote_fake"):
        say("quotes")
        for row in quote_rows():
            rows.put(row)
    if stance and not rows.has_kind("stance"):
        _stance(rows, cached, QUICK_STEP if quick else 1, say)
    return {
        "suite": "retrieval",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": "labwright bench retrieval" + (" --quick" if quick else ""),
        "machine": machine(),
        "figures": figures_of(rows.all(), f"docs/benchmarks/raw/{name}.jsonl"),
    }


def _ranking(rows: Rows, embedder: Embedder, step: int, say: Say) -> None:
    for kind, make, queries in (
        ("scifact_query", scifact_index, scifact_claims("validation")),
        ("med_query", med_index, medlars()[1]),
    ):
        if not rows.has_kind(kind):
            say(f"{kind}: embedding and indexing")
            with tempfile.TemporaryDirectory() as folder:
                for row in rank_rows(kind, make(Path(folder), embedder), queries[::step]):
                    rows.put(row)


def _speed(rows: Rows, cached: Embedder, quick: bool, say: Say) -> None:
    documents = [abstract.document() for abstract in scifact_abstracts()]
    if not rows.has_kind("sparse_indexing"):
        say("sparse indexing")
        for row in sparse_indexing(documents):
            rows.put(row)
    if not rows.has_kind("dense_indexing"):
        for row in dense_indexing(documents, say):
            rows.put(row)
    if not rows.has_kind("query_times"):
        _times(rows, cached, quick, say)


def _times(rows: Rows, cached: Embedder, quick: bool, say: Say) -> None:
    documents = [abstract.document() for abstract in scifact_abstracts()]
    queries = scifact_claims("validation")[:TIMED]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        say("query times")
        filled = LiteratureIndex(place, cached)
        filled.add([copy_of(document, 0, n) for n, document in enumerate(documents)])
        filled.close()
        # The same name, without the cache: every query is encoded as a user's would be.
        index = LiteratureIndex(place, Embedder(name=NAME, encode=shared_encoder().encode))
        for row in [*query_times(index, queries), costs(index, place)]:
            rows.put(row)
        if not quick:
            say(f"growing to {SIZES[1]} documents")
            for row in [*grow(index, documents, SIZES[1] // SIZES[0], place), *query_times(index, queries)]:
                rows.put(row)


def _stance(rows: Rows, cached: Embedder, step: int, say: Say) -> None:
    backends = Backends(load_config())
    try:
        with tempfile.TemporaryDirectory() as scratch:
            session = backends.session("reviewer", CallLog(Path(scratch) / "calls.sqlite"), 0)
            say("support and contradiction")
            for row in list(stance_rows(session, cached.encode, step)):
                rows.put(row)
    finally:
        backends.close()
