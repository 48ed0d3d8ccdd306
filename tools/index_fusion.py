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

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

RANK_OFFSET = 60
"""The constant of Cormack, Clarke and Buettcher (2009)."""


@cache
def weights() -> Mapping[str, float]:
    """Weight of each signal of hybrid search, as `labwright bench retrieval --fit` chose them."""
    held = json.loads((files("labwright.tools") / "index_weights.json").read_text(encoding="utf-8"))
    return {str(name): float(weight) for name, weight in held["weights"].items()}


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
