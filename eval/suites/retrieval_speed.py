"""How fast the literature index answers and grows; times are wall-clock, of one process, nothing else running."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from labwright.domain import PaperIds
from labwright.eval.suites.retrieval_data import Query
from labwright.models.embedding import shared_encoder
from labwright.tools.index_records import IndexedDocument
from labwright.tools.index_sparse import SparseEngine
from labwright.tools.index_store import Embedder, LiteratureIndex, Mode

REPEATS = 3
PAIRED = 12
"""Documents of one timing of dense indexing; a timing takes seconds, so that many are paired."""
PAIRS = 5
STEP = 1000


def query_times(index: LiteratureIndex, queries: Sequence[Query]) -> list[dict[str, Any]]:
    """Milliseconds of each query, sparse and hybrid; the encoder's cache is off, so encoding is part of it."""
    rows = []
    for mode in ("sparse", "hybrid"):
        for query in queries[:5]:
            index.search(query.text, mode=_mode(mode))  # files and weights are read once
        ms = []
        for query in queries:
            began = time.perf_counter()
            index.search(query.text, mode=_mode(mode))
            ms.append(round((time.perf_counter() - began) * 1000, 3))
        rows.append({"kind": "query_times", "name": f"{index.count()}:{mode}", "ms": ms})
    return rows


def _mode(name: str) -> Mode:
    return "sparse" if name == "sparse" else "hybrid"


def grow(
    index: LiteratureIndex, documents: Sequence[IndexedDocument], copies: int, folder: Path
) -> list[dict[str, Any]]:
    """Add copies of documents with changed ids until the index is `copies` times as large; a row of its costs.

    Vectors of a text that is known are not made again, so the seconds are those of the engines.
    """
    began = time.perf_counter()
    for copy in range(1, copies):
        for start in range(0, len(documents), STEP):
            index.add([copy_of(d, copy, start + n) for n, d in enumerate(documents[start : start + STEP])])
    seconds = time.perf_counter() - began
    return [{**costs(index, folder), "added_per_s": round(len(documents) * (copies - 1) / seconds, 1)}]


def costs(index: LiteratureIndex, folder: Path) -> dict[str, Any]:
    """Memory of this process and disk of the index, MiB, by part."""
    parts = {name: _mib(folder / name) for name in ("dense", "sparse")}
    ledger = sum(path.stat().st_size for path in folder.glob("documents.sqlite*")) / 2**20
    resident = psutil.Process().memory_info().rss / 2**20
    return {
        "kind": "index_costs",
        "name": str(index.count()),
        "resident_mib": round(resident, 1),
        "disk_mib": {**parts, "ledger": round(ledger, 1)},
    }


def _mib(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20, 1)


def copy_of(document: IndexedDocument, copy: int, number: int) -> IndexedDocument:
    """The document under another id and PMID, so that it counts as another paper of the same title."""
    name = f"{document.id}-copy{copy}"
    return document.model_copy(update={"id": name, "ids": PaperIds(pmid=f"{copy}-{number}")})


def sparse_indexing(documents: Sequence[IndexedDocument]) -> list[dict[str, Any]]:
    """Seconds to add all documents to an empty full-text index and commit."""
    rows = []
    for repeat in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            engine = SparseEngine(Path(folder))
            began = time.perf_counter()
            engine.add(enumerate(documents))
            seconds = time.perf_counter() - began
            rows.append(
                {
                    "kind": "sparse_indexing",
                    "name": str(repeat),
                    "documents": engine.count(),
                    "seconds": round(seconds, 4),
                }
            )
    return rows


def dense_indexing(documents: Sequence[IndexedDocument], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Seconds of adding documents to an index beside those of the bare encoder on the same texts, in turn."""
    encoder = shared_encoder()
    rows = []
    for pair in range(PAIRS):
        say(f"dense indexing, pair {pair + 1} of {PAIRS}")
        sample = documents[pair * PAIRED : (pair + 1) * PAIRED]
        texts = list(dict.fromkeys(text for d in sample for text in (d.passage(), *d.parts())))
        timed = {}
        for what in ("index_s", "encoder_s") if pair % 2 else ("encoder_s", "index_s"):
            with tempfile.TemporaryDirectory() as folder:
                index = LiteratureIndex(Path(folder), Embedder(name="bare", encode=encoder.encode))
                began = time.perf_counter()
                if what == "index_s":
                    index.add(sample)
                else:
                    encoder.encode(texts)
                timed[what] = round(time.perf_counter() - began, 4)
                index.close()
        began = time.perf_counter()
        encoder.encode([d.passage() for d in sample])
        timed["passages_s"] = round(time.perf_counter() - began, 4)
        rows.append(
            {"kind": "dense_indexing", "name": str(pair), "documents": len(sample), "texts": len(texts), **timed}
        )
    return rows
