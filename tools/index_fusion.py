"""Fusion of the rankings of one query: z-score fusion, and reciprocal ranks to compare with.

A signal is a score for each candidate, higher is better. Z-scores make the scales of BM25 and cosine
comparable within a query; the weights were chosen on SciFact train claims only (docs/decisions/011).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from labwright.tools.index_sparse import Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from labwright.tools.index_sparse import SparseEngine

    Array = NDArray[np.float64]
    Vectors = NDArray[np.float32]

SPARSE_SIGNALS: tuple[Signal, ...] = ("words", "grams", "coverage")

RANK_OFFSET = 60
"""The constant of Cormack, Clarke and Buettcher (2009)."""


@cache
def weights() -> Mapping[str, float]:
    """Weight of each signal of hybrid search, as `labwright bench retrieval --fit` chose them."""
    held = json.loads((files("labwright.tools") / "index_weights.json").read_text(encoding="utf-8"))
    return {str(name): float(weight) for name, weight in held["weights"].items()}


def signals_of(
    sparse: SparseEngine,
    query: str,
    vector: Vectors,
    matrices: Mapping[int, Vectors],
    known: Mapping[Signal, Mapping[int, float]],
) -> dict[str, list[float]]:
    """Every signal over the candidates of a query.

    Args:
        sparse: the full-text side, which scores exactly what a search did not return.
        query: the query.
        vector: its unit vector (d,).
        matrices: candidate to its vectors (2 + parts, d): passage, title, parts.
        known: scores that searches have returned already, by signal and candidate.

    Returns:
        Signal to a score a candidate, in the order of `matrices`; higher is better.
    """
    found: dict[str, list[float]] = {}
    for signal in SPARSE_SIGNALS:
        held = known.get(signal, {})
        scores = {**held, **sparse.scores(signal, query, [key for key in matrices if key not in held])}
        found[signal] = [scores.get(key, 0.0) for key in matrices]
    cosines = [matrix @ vector for matrix in matrices.values()]
    return {
        **found,
        "passage": [float(c[0]) for c in cosines],
        "title": [float(c[1]) for c in cosines],
        "sentence": [float(c[2:].max()) if len(c) > 2 else float(c[0]) for c in cosines],
    }


def z_scores(scores: Sequence[float]) -> Array:
    """Scores less their mean, over their standard deviation; zeros when all are equal.

    Example:
        >>> z_scores([1.0, 3.0]).tolist()
        [-1.0, 1.0]
    """
    values = np.asarray(scores, dtype=np.float64)
    spread = float(values.std()) if values.size else 0.0
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def fused(signals: Mapping[str, Sequence[float]], weights: Mapping[str, float]) -> Array:
    """Weighted sum of the z-scores of each signal.

    Args:
        signals: name to n scores, in the same order of candidates.
        weights: name to weight; a signal without one counts nothing.

    Returns:
        n fused scores; higher is better.

    Example:
        >>> fused({"sparse": [0.0, 2.0], "dense": [1.0, 0.0]}, {"sparse": 0.25, "dense": 0.75}).tolist()
        [0.5, -0.5]
    """
    lengths = {len(scores) for scores in signals.values()}
    if len(lengths) != 1:
        raise ValueError(f"signals over different candidates: lengths {sorted(lengths)}")
    total = np.zeros(lengths.pop())
    for name, scores in signals.items():
        total = total + weights.get(name, 0.0) * z_scores(scores)
    return total


def reciprocal_ranks(rankings: Sequence[Sequence[int]]) -> dict[int, float]:
    """Reciprocal rank fusion: key to the sum over rankings of 1 / (60 + rank), ranks from 1.

    Example:
        >>> reciprocal_ranks([[7, 8], [8]])[8] > reciprocal_ranks([[7, 8], [8]])[7]
        True
    """
    total: dict[int, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            total[key] = total.get(key, 0.0) + 1.0 / (RANK_OFFSET + rank)
    return total
