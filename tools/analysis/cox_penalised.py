"""Elastic-net Cox regression (Simon et al. 2011) by accelerated proximal gradient, a whole penalty path at once.

Minimises -l(b)/n + k * (a * |b|_1 + (1 - a)/2 * |b|_2^2) with the Breslow partial likelihood l. The penalty k is
chosen by cross-validated partial likelihood (Verweij and van Houwelingen 1993). Departs from Simon in the
solver (FISTA, Beck and Teboulle 2009, instead of coordinate descent) only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labwright.tools.analysis.cox_univariate import RiskSets, risk_sets

Array = NDArray[np.float64]
MIX = {"lasso": 1.0, "elastic_net": 0.5, "ridge": 0.0}
"""Share of the l1 penalty by its name."""
PATH_LENGTH = 16
_STEPS = 150


def fit_path(values: Array, time: Array, event: Array, *, mix: float, penalties: Array) -> Array:
    """Coefficients for each penalty.

    Args:
        values: standardised covariates, (n, p).
        time: follow-up, length n.
        event: 1 for an event, length n.
        mix: share of the l1 penalty, in [0, 1].
        penalties: k, length m.

    Returns:
        Coefficients, (p, m).
    """
    sets = risk_sets(time, event)
    sorted_values = values[sets.order]
    beta = np.zeros((values.shape[1], len(penalties)))  # (p, m)
    ahead, momentum, rate = beta.copy(), 1.0, 1.0
    for _ in range(_STEPS):
        loss, gradient = _loss_gradient(ahead, sorted_values, sets)
        while True:
            trial = _shrink(ahead - rate * gradient, rate * penalties * mix, rate * penalties * (1.0 - mix))
            move = trial - ahead
            bound = loss + (gradient * move).sum(axis=0) + (move**2).sum(axis=0) / (2.0 * rate)
            if (_loss(trial, sorted_values, sets) <= bound + 1e-10).all() or rate < 1e-6:
                break
            rate /= 2.0
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = trial + (momentum - 1.0) / following * (trial - beta)
        change = float(np.abs(trial - beta).max())
        beta, momentum = trial, following
        if change < 1e-5:
            break
    return beta


def penalty_path(values: Array, time: Array, event: Array, *, mix: float) -> Array:
    """Penalties from the one that sets every coefficient to zero downwards, geometric.

    Args:
        values: standardised covariates, (n, p).
        time: follow-up, length n.
        event: 1 for an event, length n.
        mix: share of the l1 penalty; below 0.05 the start is taken as for 0.05.

    Returns:
        Falling penalties, length `PATH_LENGTH`.
    """
    sets = risk_sets(time, event)
    _, gradient = _loss_gradient(np.zeros((values.shape[1], 1)), values[sets.order], sets)
    top = float(np.abs(gradient).max()) / max(mix, 0.05)
    return top * np.geomspace(1.0, 0.02, PATH_LENGTH)


def choose_penalty(values: Array, time: Array, event: Array, *, mix: float, folds: NDArray[np.intp]) -> Array:
    """The coefficients under the penalty with the best cross-validated partial likelihood.

    Args:
        values: standardised covariates of the training patients, (n, p).
        time: follow-up, length n.
        event: 1 for an event, length n.
        mix: share of the l1 penalty.
        folds: inner fold of each patient, length n.

    Returns:
        Coefficients, length p.
    """
    penalties = penalty_path(values, time, event, mix=mix)
    sets = risk_sets(time, event)
    gain = np.zeros(len(penalties))
    for fold in np.unique(folds):
        kept = folds != fold
        beta = fit_path(values[kept], time[kept], event[kept], mix=mix, penalties=penalties)
        inner = risk_sets(time[kept], event[kept])
        whole = _loss(beta, values[sets.order], sets) * len(values)
        gain += _loss(beta, values[kept][inner.order], inner) * kept.sum() - whole
    best = int(np.argmax(gain))
    return fit_path(values, time, event, mix=mix, penalties=penalties)[:, best]


def _shrink(beta: Array, l1: Array, l2: Array) -> Array:
    shrunk: Array = np.sign(beta) * np.maximum(np.abs(beta) - l1, 0.0) / (1.0 + l2)
    return shrunk


def _loss(beta: Array, values: Array, sets: RiskSets) -> Array:
    score = values @ beta  # (n, m)
    top = score.max(axis=0)
    risk = np.cumsum(np.exp(score - top), axis=0)[sets.last]
    loss: Array = (np.log(risk) + top - score[sets.event]).sum(axis=0) / len(values)
    return loss


def _loss_gradient(beta: Array, values: Array, sets: RiskSets) -> tuple[Array, Array]:
    """Mean negative log likelihood (m) and its gradient (p, m)."""
    score = values @ beta
    top = score.max(axis=0)
    weight = np.exp(score - top)
    risk = np.cumsum(weight, axis=0)[sets.last]  # (d, m)
    loss = (np.log(risk) + top - score[sets.event]).sum(axis=0) / len(values)
    share = np.zeros_like(weight)
    np.add.at(share, sets.last, 1.0 / risk)
    hazard = np.cumsum(share[::-1], axis=0)[::-1] * weight  # (n, m): sum over risk sets that hold a patient
    residual = hazard - sets.event[:, None]
    return loss, values.T @ residual / len(values)
