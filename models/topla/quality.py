"""Counts of right and given answers, and F1 over them; higher is better."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labwright.errors import MetricUndefined


def confusion(said: NDArray[np.int64], key: NDArray[np.int64], options: int) -> NDArray[np.int64]:
    """Rows of the right answer, columns of the given one, counts; shape (C, C)."""
    table = np.zeros((options, options), dtype=np.int64)
    np.add.at(table, (key, said), 1)
    return table


def macro_f1(table: ArrayLike) -> float:
    """Mean F1 over the answers that are right or given at least once.

    Args:
        table: of `confusion`.

    Raises:
        MetricUndefined: it counts nothing.
    """
    counts = np.asarray(table, dtype=float)
    both = counts.sum(axis=0) + counts.sum(axis=1)
    if not both.any():
        raise MetricUndefined("macro-F1 of no answers")
    return float((2 * np.diag(counts)[both > 0] / both[both > 0]).mean())
