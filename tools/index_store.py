"""A literature index on disk: BM25 and dense vectors side by side, fused; incremental and safe to interrupt.

One writer at a time (a file lock), any number of readers in any number of processes. How a batch becomes
visible at once, or not at all, is told in `labwright.tools.index_documents`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from filelock import FileLock

from labwright.tools.index_dense import DenseEngine
from labwright.tools.index_documents import Ledger
from labwright.tools.index_fusion import fused, reciprocal_ranks, signals_of, weights
from labwright.tools.index_merging import Added, settle
from labwright.tools.index_records import Filter, Hit, IndexedDocument
from labwright.tools.index_sparse import Signal, SparseEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Encoder = Callable[[Sequence[str]], Vectors]

Mode = Literal["hybrid", "sparse", "dense", "ranks"]
Reranker = Callable[[str, Sequence[IndexedDocument]], Sequence[float]]
"""A query and n documents to n scores; higher is better."""
CANDIDATES = 100
"""Documents asked of each engine before fusion."""
BATCH = 256
RERANKED = 20
TRIES = 5
UNFINISHED = ("pending", "dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedder:
    """What turns texts into vectors, by a name that stands for weights and settings."""

    name: str
    encode: Encoder
    """n texts to unit rows (n, d)."""


class LiteratureIndex:
    """Documents of several corpora, searched by words and by meaning."""

    def __init__(self, folder: Path, embedder: Embedder, *, server: str = "") -> None:
        """Open the index, or make it.

        Args:
            folder: where it is kept.
            embedder: what makes the vectors; an index keeps to the one it was made with.
            server: address of a Chroma server for the vectors; empty keeps them in the folder.

        Raises:
            WrongUse: the folder is no index, or one of another embedder or format.
            SourceUnavailable: the server does not answer.
        """
        self._embedder = embedder
        self._lock = threading.RLock()
        self._ledger = Ledger(folder / "documents.sqlite", embedder.name)
        self._write_lock = FileLock(folder / "writer.lock")
        if self._ledger.setting("engines"):
            self._open(folder, server)  # without waiting for a writer
        else:
            with self._write_lock:  # two processes must not both make the files
                self._open(folder, server)
                self._ledger.set("engines", "made")
        expected = self._ledger.count()
        if min(self._sparse.count(), self._dense.count()) < expected:
            self.repair()

    def _open(self, folder: Path, server: str) -> None:
        self._sparse = SparseEngine(folder / "sparse")
        self._dense = DenseEngine(folder / "dense", f"labwright-{self._ledger.setting('id')}", server)
        self._seen = self._ledger.generation()

    def close(self) -> None:
        """Close every file."""
        self._dense.close()
        self._ledger.close()

    def count(self) -> int:
        """Documents that can be found."""
        with self._lock:
            return self._ledger.count()

    def corpora(self) -> dict[str, int]:
        """Corpus to its number of documents."""
        with self._lock:
            return self._ledger.corpora()

    def ids(self, corpus: str = "default") -> list[str]:
        """Ids of a corpus, in the order in which they came."""
        with self._lock:
            return self._ledger.ids(corpus)

    def mark(self, name: str) -> str:
        """A note that was kept with the index, such as what it was filled from; empty when there is none."""
        return self._ledger.setting(f"mark {name}")

    def set_mark(self, name: str, value: str) -> None:
        """Keep a note."""
        self._ledger.set(f"mark {name}", value)

    def get(self, name: str, corpus: str = "default") -> IndexedDocument | None:
        """The document of that id, or None."""
        with self._lock:
            key = self._ledger.find(corpus, name)
            return None if key is None else self._ledger.documents([key]).get(key)

    def add(self, documents: Sequence[IndexedDocument]) -> Added:
        """Add or update documents; each batch of 256 becomes visible whole or not at all.

        A document whose id is there replaces it. One that is the same paper under another id (by PMCID,
        DOI, PMID or title) is merged into it. What did not change is not embedded again.
        """
        outcome = Added()
        for start in range(0, len(documents), BATCH):
            batch = documents[start : start + BATCH]
            vectors = self._encoded(batch, {})  # the slow part, while others read and write
            with self._writing():
                fresh, replaced, added = settle(batch, self._ledger)
                self._write(fresh, replaced, self._encoded(fresh, vectors))
            outcome.new += added.new
            outcome.updated += added.updated
            outcome.unchanged += added.unchanged
            outcome.merged |= added.merged
        return outcome

    def delete(self, names: Sequence[str], corpus: str = "default") -> int:
        """Delete documents by id, all at once; returns how many were there."""
        with self._writing():
            keys = [k for k in (self._ledger.find(corpus, name) for name in dict.fromkeys(names)) if k is not None]
            self._publish([], keys)
            return len(keys)

    def search(
        self, query: str, limit: int = 10, *, where: Filter | None = None, mode: Mode = "hybrid",
        rerank: Reranker | None = None,
    ) -> list[Hit]:  # fmt: skip
        """The best documents, best first; ties by corpus and id.

        Args:
            query: plain words; no operators.
            limit: most hits.
            where: which documents may be returned.
            mode: hybrid fuses z-scores, ranks fuses reciprocal ranks, sparse and dense ask one engine.
            rerank: scores the first 20 hits anew.
        """
        if limit < 1 or not query.strip():
            return []
        with self._lock:
            hits = self._hits(query, limit, where, mode)
        return (hits if rerank is None else _reranked(query, hits, rerank))[:limit]

    def check(self) -> list[str]:
        """Lines that say what the engines miss or hold too much; empty when ledger and engines agree."""
        with self._writing():
            live = set(self._ledger.keys())
            held = {"sparse": self._sparse.keys(), "dense": self._dense.keys()}
        return [
            f"{side} misses {len(live - keys)} of {len(live)} documents and holds {len(keys - live)} too many"
            for side, keys in held.items()
            if keys != live
        ]

    def repair(self) -> None:
        """Give both engines what they miss, from the ledger and without embedding anything.

        Opening an index does so when an engine holds too little: its files were deleted, or another Chroma server
        was configured.
        """
        with self._writing():
            live = set(self._ledger.keys())
            in_dense, in_sparse = self._dense.keys(), self._sparse.keys()
            self._dense.remove(sorted(in_dense - live))
            self._sparse.remove(sorted(in_sparse - live))
            for rows, vectors in self._stored(live - in_dense):
                self._dense.add(rows, vectors)
            for rows, _ in self._stored(live - in_sparse):
                self._sparse.add(rows)

    def _stored(self, keys: set[int]) -> Iterator[tuple[list[tuple[int, IndexedDocument]], Vectors]]:
        wanted = sorted(keys)
        for start in range(0, len(wanted), BATCH):
            yield self._ledger.rows(wanted[start : start + BATCH])

    def _hits(self, query: str, limit: int, where: Filter | None, mode: Mode) -> list[Hit]:
        asked = max(limit, CANDIDATES)
        for _ in range(TRIES):
            self._catch_up()
            scores = self._scores(query, asked, where, mode)
            first = sorted(scores, key=lambda key: -scores[key])[: 2 * limit + RERANKED]
            documents = self._ledger.documents(first)
            if self._ledger.generation() == self._seen:
                break  # else a batch was published meanwhile: keys of before it may stand for nothing now
        hits = [Hit(document=documents[key], score=scores[key]) for key in first if key in documents]
        return sorted(hits, key=lambda hit: (-hit.score, hit.document.corpus, hit.document.id))

    def _scores(self, query: str, limit: int, where: Filter | None, mode: Mode) -> dict[int, float]:
        if mode == "sparse":
            return self._sparse.search("words", query, limit, where)
        if mode == "hybrid":
            keys, found = self._signals(query, limit, where)
            return dict(zip(keys, fused(found, weights()).tolist(), strict=True)) if keys else {}
        dense = self._dense.search(self._embedder.encode([query])[0], limit, where)
        if mode == "dense":
            return dense
        return reciprocal_ranks([list(self._sparse.search("words", query, limit, where)), list(dense)])

    def signals(self, query: str, limit: int = CANDIDATES) -> tuple[list[IndexedDocument], dict[str, list[float]]]:
        """The candidates of a query and each signal over them, for choosing weights."""
        with self._lock:
            self._catch_up()
            keys, found = self._signals(query, limit, None)
            held = self._ledger.documents(keys)
        return [held[key] for key in keys], found

    def _signals(self, query: str, limit: int, where: Filter | None) -> tuple[list[int], dict[str, list[float]]]:
        vector = self._embedder.encode([query])[0]
        words = self._sparse.search("words", query, limit, where)
        grams = self._sparse.search("grams", query, limit, where)
        dense = self._dense.search(vector, limit, where)
        matrices = self._ledger.vectors(sorted({*words, *grams, *dense}))
        known: dict[Signal, dict[int, float]] = {"words": words, "grams": grams}
        return list(matrices), signals_of(self._sparse, query, vector, matrices, known)

    def _catch_up(self) -> None:
        generation = self._ledger.generation()
        if generation != self._seen:
            self._refresh()
            self._seen = generation

    def _refresh(self) -> None:
        self._sparse.refresh()
        self._dense.refresh()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._write_lock, self._lock:
            self._catch_up()
            if self._ledger.keys(UNFINISHED):  # what a writer that died has left, perhaps since this index was opened
                self._refresh()
                self._clean()
            yield

    def _write(
        self, documents: Sequence[IndexedDocument], replaced: Sequence[int], vectors: Mapping[str, Vectors]
    ) -> None:
        matrices = [vectors[document.digest()] for document in documents]
        keys = self._ledger.prepare(documents, matrices)
        if keys:
            rows = list(zip(keys, documents, strict=True))
            self._dense.add(rows, np.asarray([matrix[0] for matrix in matrices], dtype=np.float32))
            self._sparse.add(rows)
        self._publish(keys, replaced)

    def _publish(self, added: Sequence[int], replaced: Sequence[int]) -> None:
        if added or replaced:
            self._ledger.publish(added, replaced)
            self._clean()
            self._seen = self._ledger.generation()

    def _clean(self) -> None:
        """Remove from engines and ledger what is not live: replaced, deleted, or left by a crash."""
        gone = self._ledger.keys(UNFINISHED)
        if gone:
            self._dense.remove(gone)
            self._sparse.remove(gone)
            self._ledger.forget(gone)

    def _encoded(self, documents: Sequence[IndexedDocument], known: Mapping[str, Vectors]) -> dict[str, Vectors]:
        """Vectors (2 + parts, d) by digest: passage, title, parts; all new texts in one call."""
        with self._lock:
            stored = self._ledger.known([document.digest() for document in documents])
        found = {**stored, **known}
        texts = {d.digest(): [d.passage(), *d.parts()] for d in documents if d.digest() not in found}
        rows = {text: n for n, text in enumerate(dict.fromkeys(t for several in texts.values() for t in several))}
        if rows:
            vectors = self._embedder.encode(list(rows))
            found |= {digest: vectors[[rows[t] for t in several]] for digest, several in texts.items()}
        return found


def _reranked(query: str, hits: Sequence[Hit], rerank: Reranker) -> list[Hit]:
    top = list(hits[:RERANKED])
    scores = rerank(query, [hit.document for hit in top])
    again = [Hit(document=hit.document, score=float(s)) for hit, s in zip(top, scores, strict=True)]
    return [*sorted(again, key=lambda hit: -hit.score), *hits[RERANKED:]]
