"""Agreement among labels of one group, and between the aggregates of two; higher is better.

Krippendorff's alpha (within a group over all labels of an item, between groups as of two coders), Fleiss' and
Randolph's kappa, percentage agreement, Spearman's and Kendall's rank correlation. What is undefined comes back as a
figure without value, with the reason.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from labwright.eval.judge_batch import Level, alpha_of, coincidences
from labwright.eval.judge_labels import Figure, Floats

EMPTY = Figure(None, "no item is in this stratum")
ONE_LABEL = "all labels are the same, so chance agreement is total"
NO_PAIRS = "no item has two labels of this group"


def alpha(units: Floats, level: Level, *, two_coders: bool = False) -> Figure:
    """Krippendorff's alpha, in (-1, 1]; 1 is perfect, 0 is chance.

    Args:
        units: label counts, shape (n, k).
        level: "nominal" or "ordinal" (labels in rising order).
        two_coders: the units are pairs of aggregates. With one label in all data, agreement within a group counts as
            perfect (the convention of the paper's code), agreement between two coders as undefined.

    Example:
        >>> round(alpha(np.array([[2.0, 1, 0], [0, 2, 0], [0, 1, 3]]), "nominal").value, 6)
        0.384615
    """
    if not len(units):
        return EMPTY
    if not (units.sum(axis=1) >= 2).any():
        return Figure(None, NO_PAIRS)
    if (units.sum(axis=0) > 0).sum() == 1:
        return Figure(None, ONE_LABEL) if two_coders else Figure(1.0)
    value = float(alpha_of(coincidences(units).sum(axis=0), level))
    return Figure(None, ONE_LABEL) if math.isnan(value) else Figure(value)


def kappa(
    units: Floats, *, method: Literal["fleiss", "randolph"], k: int | None = None, two_coders: bool = False
) -> Figure:
    """Fleiss' kappa or Randolph's free-marginal kappa: (P - P_e) / (1 - P_e), at most 1.

    An item's agreement uses its own number of raters r_i; items are never padded to a common one, as the paper's code
    does by random resampling.

    Args:
        units: label counts, shape (n, k).
        method: P_e is the sum of squared pooled shares (Fleiss) or 1 / k (Randolph).
        k: number of labels for Randolph; by default the length of the scale. The paper's code takes the number
            observed, which changes with the stratum.
        two_coders: only names the reason.

    Example:
        >>> votes = np.array([[2.0, 1], [3, 0], [0, 3], [1, 2]])
        >>> [round(kappa(votes, method="randolph", k=n).value, 6) for n in (2, 3)]
        [0.333333, 0.5]
    """
    if not len(units):
        return EMPTY
    raters = units.sum(axis=1)
    paired = units[raters >= 2]
    if not len(paired):
        return Figure(None, "no aggregate to compare" if two_coders else NO_PAIRS)
    raters = paired.sum(axis=1)
    agreement = float((((paired**2).sum(axis=1) - raters) / (raters * (raters - 1))).mean())
    pooled = paired.sum(axis=0) / paired.sum()
    chance = float((pooled**2).sum()) if method == "fleiss" else 1 / (k or units.shape[1])
    if math.isclose(chance, 1.0):
        return Figure(None, ONE_LABEL)
    return Figure((agreement - chance) / (1 - chance))


def percent_agreement(units: Floats) -> Figure:
    """Mean over items of their agreement, in [0, 1].

    An item counts 0 with one label, 1 or 0 for two equal or different ones, and the share of the most frequent label
    with three or more: two quantities under one name, kept as the paper's code has them.

    Args:
        units: label counts, shape (n, k).
    """
    if not len(units):
        return EMPTY
    raters = units.sum(axis=1)
    modal = units.max(axis=1) / np.maximum(raters, 1)
    return Figure(float(np.where(raters <= 1, 0.0, np.where(raters == 2, modal == 1, modal)).mean()))


def rank_correlation(x: Floats, y: Floats, method: Literal["spearman", "kendall"]) -> Figure:
    """Spearman's rho or Kendall's tau-b of two columns, in [-1, 1].

    Args:
        x: shape (n,).
        y: in the same order, shape (n,).
        method: which one.
    """
    if not len(x):
        return EMPTY
    if len(x) < 2:
        return Figure(None, "one item has no rank")
    if (x == x[0]).all() or (y == y[0]).all():
        return Figure(None, "one side does not vary")
    found = stats.spearmanr(x, y) if method == "spearman" else stats.kendalltau(x, y)
    return Figure(float(found.statistic))


def difference(first: Figure, second: Figure) -> Figure:
    """`first` minus `second`; missing only where one of them is, never because one is 0.

    Example:
        >>> difference(Figure(0.0), Figure(0.5)).value
        -0.5
    """
    if first.value is None or second.value is None:
        return Figure(None, first.reason or second.reason)
    return Figure(first.value - second.value)


def pair_counts(first: NDArray[np.int64], second: NDArray[np.int64], k: int) -> Floats:
    """Two aggregates an item as label counts, shape (n, k); items where one is missing (-1) count nothing."""
    eye = np.vstack([np.eye(k), np.zeros((1, k))])
    both = (first >= 0) & (second >= 0)
    out: Floats = (eye[first] + eye[second]) * both[:, None]
    return out
