"""A literature index on disk: BM25 and dense vectors side by side, fused; incremental and safe to interrupt.

One writer at a time (a file lock), any number of readers in any number of processes. How a batch becomes
visible at once, or not at all, is told in `labwright.tools.index_documents`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from filelock import FileLock

from labwright.tools.index_dense import DenseEngine
from labwright.tools.index_documents import Ledger
from labwright.tools.index_fusion import fused, reciprocal_ranks, weights
from labwright.tools.index_records import Filter, IndexedDocument, merged, same_paper
from labwright.tools.index_sparse import SparseEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from labwright.config import IndexConfig

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One document found."""

    document: IndexedDocument
    score: float
    """Comparable within one search only."""


@dataclass(slots=True, kw_only=True)
class Added:
    """What adding did, by document id."""

    new: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)
    """Id that came to the id under which the same paper is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedder:
    """What turns texts into vectors, by a name that stands for weights and settings."""

    name: str
    encode: Encoder
    """n texts to unit rows (n, d)."""


def open_index(folder: Path, config: IndexConfig) -> LiteratureIndex:
    """The index of a folder with the configured encoder and Chroma server.

    Raises:
        ConfigInvalid, ModelMissing, KeyMissing, SourceUnavailable, WrongUse: as the encoder and the index say.
    """
    from labwright.models.embedders import encoder

    name, encode = encoder(config)
    return LiteratureIndex(folder, Embedder(name=name, encode=encode), server=config.chroma_url)


class _Batch(dict[tuple[str, str], IndexedDocument]):
    """Documents of one batch by corpus and id, and by what identifies their papers."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[tuple[str, str, str], tuple[str, str]] = {}

    def put(self, document: IndexedDocument) -> None:
        place = (document.corpus, document.id)
        self[place] = document
        for kind, value in document.identities().items():
            self._places.setdefault((document.corpus, kind, value), place)

    def alike(self, document: IndexedDocument) -> list[IndexedDocument]:
        held = document.identities().items()
        found = [self._places.get((document.corpus, kind, value)) for kind, value in held]
        return [self[place] for place in dict.fromkeys(found) if place is not None]


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
        folder.mkdir(parents=True, exist_ok=True)
        self._embedder = embedder
        self._write_lock = FileLock(folder / "writer.lock")
        self._lock = threading.RLock()
        with self._write_lock:  # two processes must not both make the files
            self._ledger = Ledger(folder / "documents.sqlite", embedder.name)
            self._sparse = SparseEngine(folder / "sparse")
            self._dense = DenseEngine(folder / "dense", "documents", server)
        self._seen = self._ledger.generation()

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def count(self) -> int:
        """Documents that can be found."""
        return self._ledger.count()

    def corpora(self) -> dict[str, int]:
        """Corpus to its number of documents."""
        return self._ledger.corpora()

    def get(self, name: str, corpus: str = "default") -> IndexedDocument | None:
        """The document of that id, or None."""
        key = self._ledger.find(corpus, name)
        return None if key is None else self._ledger.documents([key]).get(key)

    def add(self, documents: Sequence[IndexedDocument]) -> Added:
        """Add or update documents; each batch of 256 becomes visible whole or not at all.

        A document whose id is there replaces it. One that is the same paper under another id (by PMCID,
        DOI, PMID or title) is merged into it. What did not change is not embedded again.
        """
        outcome = Added()
        for start in range(0, len(documents), BATCH):
            with self._writing():
                self._add_batch(documents[start : start + BATCH], outcome)
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

    def rebuild(self) -> None:
        """Fill both engines again from the ledger, for instance on a new Chroma server; nothing is embedded anew."""
        with self._writing():
            keys = self._ledger.keys()
            for engine in (self._dense, self._sparse):
                engine.remove(sorted(engine.keys() - set(keys)))
            for start in range(0, len(keys), BATCH):
                rows, vectors = self._ledger.rows(keys[start : start + BATCH])
                self._dense.add(rows, vectors)
                self._sparse.add(rows)

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
        vector = self._embedder.encode([query])[0]
        dense = self._dense.search(vector, limit, where)
        if mode == "dense":
            return dense
        words = self._sparse.search("words", query, limit, where)
        if mode == "ranks":
            return reciprocal_ranks([list(words), list(dense)])
        grams = self._sparse.search("grams", query, limit, where)
        keys, signals = self._signals(query, vector, (words, grams, dense))
        return dict(zip(keys, fused(signals, weights()).tolist(), strict=True)) if keys else {}

    def signals(self, query: str, limit: int = CANDIDATES) -> tuple[list[IndexedDocument], dict[str, list[float]]]:
        """The candidates of a query and each signal over them, for choosing weights."""
        with self._lock:
            self._catch_up()
            vector = self._embedder.encode([query])[0]
            found = (
                self._sparse.search("words", query, limit),
                self._sparse.search("grams", query, limit),
                self._dense.search(vector, limit),
            )
            keys, signals = self._signals(query, vector, found)
            held = self._ledger.documents(keys)
        return [held[key] for key in keys], signals

    def _signals(
        self, query: str, vector: Vectors, found: tuple[dict[int, float], dict[int, float], dict[int, float]]
    ) -> tuple[list[int], dict[str, list[float]]]:
        """Keys that the three searches found, and every signal for each of them.

        What one search did not return is scored exactly and not guessed.
        """
        words, grams, dense = found
        matrices = self._ledger.vectors(list(dict.fromkeys([*words, *grams, *dense])))
        keys = sorted(matrices)
        words = words | self._sparse.scores("words", query, [key for key in keys if key not in words])
        grams = grams | self._sparse.scores("grams", query, [key for key in keys if key not in grams])
        coverage = self._sparse.scores("coverage", query, keys)
        cosines = [matrices[key] @ vector for key in keys]
        return keys, {
            "words": [words.get(key, 0.0) for key in keys],
            "grams": [grams.get(key, 0.0) for key in keys],
            "coverage": [coverage.get(key, 0.0) for key in keys],
            "passage": [float(c[0]) for c in cosines],
            "title": [float(c[1]) for c in cosines],
            "sentence": [float(c[2:].max()) if len(c) > 2 else float(c[0]) for c in cosines],
        }

    def _catch_up(self) -> None:
        generation = self._ledger.generation()
        if generation != self._seen:
            self._sparse.refresh()
            self._dense.refresh()
            self._seen = generation

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._write_lock, self._lock:
            self._catch_up()
            self._clean()  # what a writer that died has left
            yield

    def _add_batch(self, documents: Sequence[IndexedDocument], outcome: Added) -> None:
        wanted = _Batch()
        replaced: set[int] = set()
        for document in documents:
            kept, old = self._settled(document, wanted, outcome)
            wanted.put(kept)
            replaced.update(old)
        held = self._ledger.documents(sorted(replaced))
        same = {(d.corpus, d.id): key for key, d in held.items() if wanted.get((d.corpus, d.id)) == d}
        outcome.unchanged += [name for _, name in same]
        outcome.updated += [d.id for d in held.values() if (d.corpus, d.id) in wanted and (d.corpus, d.id) not in same]
        there = {(d.corpus, d.id) for d in held.values()}
        outcome.new += [name for place, name in ((p, p[1]) for p in wanted) if place not in there]
        fresh = [document for place, document in wanted.items() if place not in same]
        self._write(fresh, sorted(replaced - set(same.values())))

    def _settled(self, document: IndexedDocument, wanted: _Batch, outcome: Added) -> tuple[IndexedDocument, list[int]]:
        """What is kept of a document beside those of the index and of the batch, and what it replaces."""
        own = self._ledger.find(document.corpus, document.id)
        others = [key for key in self._ledger.alike(document) if key != own]
        for earlier in wanted.alike(document):
            if earlier.id != document.id and same_paper(earlier, document):
                outcome.merged[document.id] = earlier.id
                return merged(earlier, document), [] if own is None else [own]
        if own is not None or (document.corpus, document.id) in wanted:
            return document, [] if own is None else [own]
        for key, other in self._ledger.documents(others).items():
            current = wanted.get((other.corpus, other.id), other)
            if same_paper(current, document):
                outcome.merged[document.id] = current.id
                return merged(current, document), [key]
        return document, []

    def _write(self, documents: Sequence[IndexedDocument], replaced: Sequence[int]) -> None:
        if not documents and not replaced:
            return
        matrices = self._encoded(documents)
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
        gone = self._ledger.keys(("pending", "dead"))
        if gone:
            self._dense.remove(gone)
            self._sparse.remove(gone)
            self._ledger.forget(gone)

    def _encoded(self, documents: Sequence[IndexedDocument]) -> list[Vectors]:
        """Vectors (2 + sentences, d) of each document: passage, title, sentences; all new texts in one call."""
        known = self._ledger.known([document.digest() for document in documents])
        texts = {d.digest(): [d.passage(), *d.parts()] for d in documents if d.digest() not in known}
        distinct = {
            text: row for row, text in enumerate(dict.fromkeys(t for several in texts.values() for t in several))
        }
        if distinct:
            vectors = self._embedder.encode(list(distinct))
            known.update({digest: vectors[[distinct[t] for t in several]] for digest, several in texts.items()})
        return [known[document.digest()] for document in documents]


def _reranked(query: str, hits: Sequence[Hit], rerank: Reranker) -> list[Hit]:
    top = list(hits[:RERANKED])
    scores = rerank(query, [hit.document for hit in top])
    again = [Hit(document=hit.document, score=float(s)) for hit, s in zip(top, scores, strict=True)]
    return [*sorted(again, key=lambda hit: -hit.score), *hits[RERANKED:]]
