"""Cox regression of one covariate at a time, for every feature at once.

Newton's method on the Breslow partial likelihood (Breslow 1974) with halved steps where the likelihood falls.
All features share the risk sets, so one pass of cumulative sums over the patients serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Array = NDArray[np.float64]
MAX_STEPS = 30
MAX_COEFFICIENT = 20.0
"""Coefficients beyond it (per standard deviation) mean that the likelihood has no maximum."""


@dataclass(frozen=True, slots=True)
class UnivariateFit:
    """Coefficients per standard deviation of each feature, length p each."""

    coefficient: Array
    standard_error: Array
    z: Array
    p: Array


@dataclass(frozen=True, slots=True)
class RiskSets:
    """Patients sorted by falling time, so that a risk set is a prefix."""

    order: NDArray[np.intp]
    """Patients by falling time, length n."""
    event: NDArray[np.bool_]
    """Event of the sorted patients."""
    last: NDArray[np.intp]
    """For each event, the last sorted patient whose time is not smaller (ties included)."""


def risk_sets(time: Array, event: Array) -> RiskSets:
    """Sort patients and find the end of each event's risk set.

    Args:
        time: follow-up, length n.
        event: 1 for an event, length n.

    Returns:
        The sorted view.

    Raises:
        ValueError: there is no event.
    """
    order = np.argsort(-time, kind="stable")
    times, happened = time[order], event[order] > 0
    if not happened.any():
        raise ValueError("no event was seen, so no survival model can be fitted")
    last = np.searchsorted(-times, -times[happened], side="right") - 1
    return RiskSets(order, happened, last)


def fit_each(values: Array, time: Array, event: Array) -> UnivariateFit:
    """Fit one Cox model per feature.

    Args:
        values: features by patients, (p, n), complete.
        time: follow-up, length n.
        event: 1 for an event, length n.

    Returns:
        Coefficients per standard deviation; NaN where a feature is constant or the fit has no maximum.
    """
    sets = risk_sets(time, event)
    spread = values.std(axis=1, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = ((values - values.mean(axis=1, keepdims=True)) / spread[:, None])[:, sets.order].T  # (n, p)
    scaled = np.where(spread > 0, np.nan_to_num(scaled), 0.0)
    beta = np.zeros(scaled.shape[1])
    loss, gradient, information = _derivatives(beta, scaled, sets)
    for _ in range(MAX_STEPS):
        step = np.where(information > 1e-12, gradient / np.maximum(information, 1e-12), 0.0)
        trial, trial_loss = _halved(beta, step, loss, (scaled, sets))
        moved = np.abs(trial - beta).max()
        beta, loss = trial, trial_loss
        _, gradient, information = _derivatives(beta, scaled, sets)
        if moved < 1e-8:
            break
    usable = (spread > 0) & (np.abs(beta) < MAX_COEFFICIENT) & (information > 1e-12)
    beta = np.where(usable, beta, np.nan)
    error = np.where(usable, 1.0 / np.sqrt(np.maximum(information, 1e-300)), np.nan)
    z = beta / error
    return UnivariateFit(beta, error, z, 2.0 * norm.sf(np.abs(z)))


def _halved(beta: Array, step: Array, loss: Array, data: tuple[Array, RiskSets]) -> tuple[Array, Array]:
    """Take the Newton step, halved per feature until the likelihood does not fall."""
    scale = np.ones_like(step)
    trial = np.clip(beta + step, -MAX_COEFFICIENT, MAX_COEFFICIENT)
    for _ in range(8):
        trial_loss = _loss(trial, *data)
        worse = trial_loss > loss + 1e-10
        if not worse.any():
            return trial, trial_loss
        scale = np.where(worse, scale / 2.0, scale)
        trial = np.clip(beta + scale * step, -MAX_COEFFICIENT, MAX_COEFFICIENT)
    trial = np.where(worse, beta, trial)
    return trial, _loss(trial, *data)


def _loss(beta: Array, scaled: Array, sets: RiskSets) -> Array:
    score = scaled * beta  # (n, p)
    top = score.max(axis=0)
    risk = np.cumsum(np.exp(score - top), axis=0)[sets.last]  # (d, p)
    loss: Array = (np.log(risk) + top - score[sets.event]).sum(axis=0)
    return loss


def _derivatives(beta: Array, scaled: Array, sets: RiskSets) -> tuple[Array, Array, Array]:
    """Negative log likelihood, its negative gradient and its curvature, length p each."""
    score = scaled * beta
    top = score.max(axis=0)
    weight = np.exp(score - top)
    zero = np.cumsum(weight, axis=0)[sets.last]  # (d, p)
    weight *= scaled
    mean = np.cumsum(weight, axis=0)[sets.last] / zero
    weight *= scaled
    square = np.cumsum(weight, axis=0)[sets.last] / zero
    loss = (np.log(zero) + top - score[sets.event]).sum(axis=0)
    return loss, (scaled[sets.event] - mean).sum(axis=0), (square - mean**2).sum(axis=0)
