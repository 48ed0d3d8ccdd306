"""Agreement from sums over items, for one sample or for many resamples at once.

Every statistic that gets a bootstrap interval is a function of sums over items: coincidences for Krippendorff's alpha,
pooled label counts for the divergence. So a resample is a vector of item weights, and 2,000 of them are one matrix
product. Leading axes (...) of every argument are resamples; k is the number of labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from scipy.spatial.distance import jensenshannon

from labwright.eval.judge_labels import Floats

Level = Literal["nominal", "ordinal"]
Form = Literal["distance", "divergence"]
Base = Literal["e", "2"]
CHUNK_CELLS = 4_000_000
"""Cells of one block of resampling weights: 32 MB."""


def coincidences(units: Floats) -> Floats:
    """Each unit's part of the coincidence matrix.

    Args:
        units: label counts, shape (n, k).

    Returns:
        Shape (n, k, k); zero for units with fewer than two labels.
    """
    raters = units.sum(axis=1)
    pairs = units[:, :, None] * units[:, None, :] - units[:, :, None] * np.eye(units.shape[1])
    return np.where(raters >= 2, 1 / np.maximum(raters - 1, 1), 0.0)[:, None, None] * pairs


def alpha_of(table: Floats, level: Level) -> Floats:
    """Krippendorff's alpha of coincidence matrices: 1 - D_o / D_e, at most 1, higher is better.

    Args:
        table: coincidences, shape (..., k, k).
        level: "nominal" or "ordinal" distances; the latter squared, by the counts of the labels between.

    Returns:
        Shape (...); NaN where only one label, or none, occurs.
    """
    marginal = table.sum(axis=-1)
    total = marginal.sum(axis=-1)
    if level == "ordinal":
        middle = marginal.cumsum(axis=-1) - marginal / 2
        distance = (middle[..., :, None] - middle[..., None, :]) ** 2
    else:
        distance = np.broadcast_to(1 - np.eye(table.shape[-1]), table.shape)
    observed = (table * distance).sum(axis=(-1, -2))
    expected = (marginal[..., :, None] * marginal[..., None, :] * distance).sum(axis=(-1, -2))
    # A row and column of sums: with one label left, rounding must not make a distance out of nothing.
    varied = (marginal > 1e-9).sum(axis=-1) >= 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(varied, 1 - observed * (total - 1) / expected, np.nan)


def divergences(human: Floats, machine: Floats, form: Form, base: Base) -> Floats:
    """Jensen-Shannon distance or divergence between pooled label counts; lower is better.

    Args:
        human: counts of people's labels, shape (..., k), not normalised.
        machine: counts of the judge's labels, shape (..., k).
        form: "distance" is the square root of "divergence".
        base: of the logarithm.

    Returns:
        Shape (...), in [0, sqrt(ln 2)] for the distance in base e; NaN where either side has no label.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        root: Floats = jensenshannon(human, machine, base=None if base == "e" else 2.0, axis=-1)
    # A difference of two nearly equal entropies may fall below zero by rounding.
    empty = (human.sum(axis=-1) <= 0) | (machine.sum(axis=-1) <= 0)
    found: Floats = np.where(empty, np.nan, np.nan_to_num(root))
    if form == "divergence":
        found **= 2
    return found


def weighted(per_bin: Floats, sizes: Floats, n: float) -> Floats:
    """Sum over bins of size / n times the bin's value: shape (..., k) to (...); empty bins count nothing."""
    out: Floats = np.where(sizes > 0, np.nan_to_num(per_bin) * sizes, 0.0).sum(axis=-1) / n
    return out


def resampled_sums(features: Floats, resamples: int, seed: int) -> Iterator[Floats]:
    """Sums of item features over bootstrap resamples of the items.

    Args:
        features: shape (n, f).
        resamples: how many.
        seed: of the draw.

    Yields:
        Blocks of shape (b, f), together `resamples` rows.
    """
    n = features.shape[0]
    rng = np.random.default_rng(seed)
    block = max(1, min(resamples, CHUNK_CELLS // n))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(n, size=(rows, n)) + np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(float) @ features
