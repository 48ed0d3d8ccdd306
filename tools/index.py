"""Search over a few texts held in memory, with the signals and weights of the index on disk.

Every document is a candidate, so nothing is approximate. Words are compared with their endings: the limits that
callers hold `Index.relevance` against were set so. Higher is better everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from labwright.tools.index_fusion import fused, signals_of, weights
from labwright.tools.index_records import IndexedDocument
from labwright.tools.index_sparse import SparseEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

Encoder = Callable[[Sequence[str]], "NDArray[np.float32]"]
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
        self._ids = [name for name, _ in documents]
        if len(set(self._ids)) != len(self._ids):
            raise ValueError("document ids are not distinct")
        self._encode = encode
        self._documents = [IndexedDocument(id=name, text=text) for name, text in documents]
        self._vectors = encode([text for _, text in documents])
        self._matrices: dict[int, Vectors] = {}
        self._sparse = SparseEngine(None, stem=False)
        self._sparse.add(enumerate(self._documents))

    def search(self, query: str, limit: int) -> list[tuple[str, float]]:
        """The best documents, best first; ties by id."""
        if not self._ids:
            return []
        if not self._matrices:
            self._matrices = self._parts()
        signals = signals_of(self._sparse, query, self._encode([query])[0], self._matrices, {})
        scores = fused(signals, weights())
        order = sorted(range(len(self._ids)), key=lambda i: (-scores[i], self._ids[i]))
        return [(self._ids[i], float(scores[i])) for i in order[:limit]]

    def similarity(self, query: str) -> NDArray[np.float32]:
        """Cosine of the query with every document, in the order of the documents."""
        result: NDArray[np.float32] = self._vectors @ self._encode([query])[0]
        return result

    def relevance(self, query: str) -> dict[str, float]:
        """Document id to cosine plus BM25 as a share of the best BM25, weighted `LEXICAL`.

        Unlike the scores of a search it means the same for every query, so that it can be held against a limit.
        """
        if not self._ids:
            return {}
        words = self._sparse.search("words", query, len(self._ids))
        best = max(words.values(), default=1.0)
        shares = [LEXICAL * words.get(n, 0.0) / best for n in range(len(self._ids))]
        return {
            name: float(c) + share for name, c, share in zip(self._ids, self.similarity(query), shares, strict=True)
        }

    def _parts(self) -> dict[int, Vectors]:
        texts = [document.parts() for document in self._documents]
        vectors = self._encode([text for several in texts for text in several])
        ends = np.cumsum([len(several) for several in texts])
        parts = np.split(vectors, ends[:-1])
        return {n: np.vstack([self._vectors[n], part]) for n, part in enumerate(parts)}
