"""Wilcoxon rank-sum test of one group against the rest, for every feature at once (tie-corrected normal form)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

Array = NDArray[np.float64]


def rank_features(values: Array) -> tuple[Array, Array]:
    """Ranks of each feature over the samples, and the sums its tie correction needs.

    Args:
        values: features by samples, (p, n).

    Returns:
        Mean ranks (p, n) and sum of t^3 - t over the ties of each feature, length p.
    """
    ranks = rankdata(values, axis=1)
    ordered = np.sort(values, axis=1)
    ties = np.zeros(len(values))
    for row in range(len(values)):
        starts = np.flatnonzero(np.r_[True, np.diff(ordered[row]) != 0])
        sizes = np.diff(np.r_[starts, ordered.shape[1]]).astype(float)
        ties[row] = (sizes**3 - sizes).sum()
    return ranks, ties


def rank_sum(ranks: Array, ties: Array, inside: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Test one group of samples against all others.

    Args:
        ranks: as `rank_features` gives them, (p, n).
        ties: as `rank_features` gives them, length p.
        inside: membership of the samples, length n.

    Returns:
        Area under the ROC curve (0.5 no difference, 1 all higher inside), z and two-sided p, length p
        each; where all values are equal 0.5, 0 and 1.

    Raises:
        ValueError: the group is empty or holds every sample.
    """
    n, first = len(inside), int(inside.sum())
    second = n - first
    if first == 0 or second == 0:
        raise ValueError("a group and a rest are needed for a rank test")
    u = ranks[:, inside].sum(axis=1) - first * (first + 1) / 2.0
    variance = first * second / 12.0 * ((n + 1) - ties / (n * (n - 1.0)))
    centred = u - first * second / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(variance > 1e-12, centred / np.sqrt(variance), 0.0)
    return u / (first * second), z, 2.0 * norm.sf(np.abs(z))
