"""Harrell's concordance between risk and survival. Higher is better; 0.5 is chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def pair_matrices(risk: Array, time: Array, event: Array) -> tuple[Array, Array]:
    """Which pairs of patients can be ordered, and how far the risk orders them right.

    Args:
        risk: predicted risk, length n.
        time: follow-up, length n.
        event: 1 for an event, length n.

    Returns:
        Credit (1 right, 0.5 equal risk, 0 wrong) and comparability (0 or 1) of pair (i, j) where i
        has the event first, each (n, n).
    """
    earlier = (time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & (event[None, :] == 0))
    comparable = (earlier & (event[:, None] > 0)).astype(float)
    np.fill_diagonal(comparable, 0.0)
    credit = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    return credit * comparable, comparable


def concordance(risk: Array, time: Array, event: Array) -> float:
    """Share of comparable pairs in which the patient at higher risk has the event first.

    Args:
        risk: predicted risk, length n.
        time: follow-up, length n.
        event: 1 for an event, length n.

    Returns:
        A value in [0, 1].

    Raises:
        ValueError: no pair can be compared.
    """
    credit, comparable = pair_matrices(risk, time, event)
    pairs = comparable.sum()
    if pairs == 0:
        raise ValueError("no pair of patients can be compared: too few events for a concordance")
    return float(credit.sum() / pairs)


def bootstrap_interval(
    folds: list[tuple[Array, Array]], rng: np.random.Generator, draws: int = 1000
) -> tuple[float, float]:
    """95 % percentile interval of the mean concordance of folds, patients redrawn within folds.

    Args:
        folds: pair matrices of each fold.
        rng: source of the draws.
        draws: number of bootstrap samples.

    Returns:
        Lower and upper bound.
    """
    total = np.zeros(draws)
    for credit, comparable in folds:
        n = len(credit)
        weight = rng.multinomial(n, np.full(n, 1.0 / n), size=draws).astype(float)  # (draws, n)
        right = ((weight @ credit) * weight).sum(axis=1)
        pairs = ((weight @ comparable) * weight).sum(axis=1)
        total += np.where(pairs > 0, right / np.maximum(pairs, 1e-12), 0.5)
    low, high = np.quantile(total / len(folds), [0.025, 0.975])
    return float(low), float(high)


def stratified_folds(event: Array, folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """A fold for each patient, events spread evenly.

    Args:
        event: 1 for an event, length n.
        folds: number of folds.
        rng: source of the shuffling.

    Returns:
        Fold numbers 0 to folds - 1, length n.

    Raises:
        ValueError: fewer than two events a fold.
    """
    if event.sum() < 2 * folds:
        raise ValueError(f"{int(event.sum())} events are too few for {folds} folds; take fewer folds")
    fold = np.empty(len(event), dtype=np.intp)
    for happened in (0, 1):
        members = rng.permutation(np.flatnonzero((event > 0) == happened))
        fold[members] = np.arange(len(members)) % folds
    return fold
