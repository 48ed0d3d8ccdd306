"""Retrieval over a small corpus: BM25 and MiniLM cosine, fused by reciprocal rank.

BM25 as in Robertson and Zaragoza (2009) through bm25s; fusion as in Cormack, Clarke and Buettcher (2009),
score(d) = sum over rankings of 1 / (K + rank). Higher is better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Encoder = Callable[[Sequence[str]], "NDArray[np.float32]"]
K = 60
LEXICAL = 0.2
"""Weight of shared words beside the cosine, whose spread over documents of one field is about as wide."""


class Index:
    """An index of (id, text) documents held in memory."""

    def __init__(self, documents: Sequence[tuple[str, str]], encode: Encoder) -> None:
        """Index the documents.

        Args:
            documents: n pairs of id and text, ids distinct.
            encode: texts to unit vectors (n, d).

        Raises:
            ValueError: two documents share an id.
        """
        import bm25s

        self._ids = [name for name, _ in documents]
        if len(set(self._ids)) != len(self._ids):
            raise ValueError("document ids are not distinct")
        self._encode = encode
        texts = [text for _, text in documents]
        self._vectors = encode(texts)
        self._tokens: Callable[[list[str]], Any] = lambda batch: bm25s.tokenize(
            batch, stopwords="en", show_progress=False
        )
        self._bm25 = bm25s.BM25()
        tokens = self._tokens(texts) if texts else None
        self._worded = tokens is not None and bool(tokens.vocab)  # BM25 cannot index texts without a single word
        if self._worded:
            self._bm25.index(tokens, show_progress=False)

    def search(self, query: str, limit: int) -> list[tuple[str, float]]:
        """The best documents, best first; ties by id."""
        if not self._ids:
            return []
        dense = self.similarity(query)
        sparse = self._sparse(query)
        fused = sum((1.0 / (K + 1 + _ranks(scores)) for scores in (dense, sparse)), np.zeros(len(self._ids)))
        order = sorted(range(len(self._ids)), key=lambda i: (-fused[i], self._ids[i]))
        return [(self._ids[i], float(fused[i])) for i in order[:limit]]

    def similarity(self, query: str) -> NDArray[np.float32]:
        """Cosine of the query with every document, in the order of the documents."""
        result: NDArray[np.float32] = self._vectors @ self._encode([query])[0]
        return result

    def relevance(self, query: str) -> dict[str, float]:
        """Document id to cosine plus BM25 as a share of the best BM25, weighted `LEXICAL`."""
        if not self._ids:
            return {}
        sparse = self._sparse(query)
        best = float(sparse.max())
        total = self.similarity(query) + (LEXICAL * sparse / best if best > 0 else 0.0)
        return dict(zip(self._ids, map(float, total), strict=True))

    def _sparse(self, query: str) -> NDArray[np.float32]:
        words = self._tokens([query])
        if not (self._worded and words.vocab):
            return np.zeros(len(self._ids), dtype=np.float32)
        found, scores = self._bm25.retrieve(words, k=len(self._ids), show_progress=False)
        out = np.zeros(len(self._ids), dtype=np.float32)
        out[found[0]] = scores[0]
        return out


def _ranks(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Competition rank from 0; equal scores share the best rank."""
    return np.asarray([int((scores > s).sum()) for s in scores], dtype=np.int64)
