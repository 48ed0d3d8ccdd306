"""From members' scores to an ensemble: chosen and trained on one half of the questions, reported on the other.

Nothing that is chosen sees the reporting half: the subset, the way of joining and the network all come from the
choosing half, the way of joining by cross-validation within it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labwright.errors import MetricUndefined
from labwright.models.diversity import Floats
from labwright.models.topla.pruning import (
    MOST_EXHAUSTIVE,
    Pruning,
    Scored,
    Weights,
    plurality,
    prune_all,
    prune_genetic,
)
from labwright.models.topla.quality import confusion, macro_f1
from labwright.models.topla.recipe import Joining
from labwright.models.topla.saved import Calibration, calibration
from labwright.models.topla.scaling import FOLDS, folds
from labwright.models.topla.weighted import Clean, Weighted, checked_scores, fit

RESAMPLES = 2_000
LEAST_WEIGHT = 1e-3
EVENLY, CLEAN = Weights(), Clean()


@dataclass(frozen=True, slots=True)
class Built:
    """An ensemble that was chosen on rows."""

    members: tuple[str, ...]
    weights: dict[str, float]
    """Member to its accuracy above chance, the weight of the linear pool."""
    joining: Joining
    """The way of joining that was better in cross-validation; the simpler one of equal ones."""
    network: Weighted
    cross_validated: dict[str, float]
    """Way of joining to its accuracy over the folds."""
    table: tuple[Scored, ...]
    """The best subsets, the chosen one first; members by their place in the pool."""
    correlation: dict[str, float]
    """Of diversity with accuracy, over all subsets and within sizes."""
    pruning: Pruning


def build(  # noqa: PLR0913  (what to choose from, and how)
    names: Sequence[str],
    scores: Floats,
    key: NDArray[np.int64],
    *,
    weights: Weights = EVENLY,
    settings: Clean = CLEAN,
    top: int = 5,
) -> Built:
    """Choose members and a way of joining them, and train it.

    Args:
        names: of the members, in the order of the scores.
        scores: shape (n, S, C): log-probabilities.
        key: shape (n,): index of the right label.
        weights: what counts in a subset's score.
        settings: of the network.
        top: subsets in the table.

    Raises:
        MetricUndefined: too few rows or members, or a single label.
    """
    given = checked_scores(scores)
    if len(names) != given.shape[1]:
        raise MetricUndefined(f"{len(names)} names for {given.shape[1]} members")
    pruning = prune(given, key, weights)
    table = pruning.best(top)
    chosen = list(table[0].members)
    ours = given[:, chosen]
    power = pool_weights(ours, key)
    folded = _cross_validated(ours, key, settings)
    better = folded["trained network"] > folded["linear pool"]
    return Built(
        members=tuple(names[i] for i in chosen),
        weights={names[i]: float(w) for i, w in zip(chosen, power, strict=True)},
        joining="trained network" if better else "linear pool",
        network=fit(ours, key, settings),
        cross_validated=folded,
        table=tuple(table),
        correlation=pruning.correlation(),
        pruning=pruning,
    )


def prune(scores: Floats, key: NDArray[np.int64], weights: Weights = EVENLY) -> Pruning:
    """Score every subset of the members, or search them where they are too many; arguments as of `build`."""
    search = prune_all if scores.shape[1] <= MOST_EXHAUSTIVE else prune_genetic
    return search(scores.argmax(axis=2), key, weights)


def majority_share(key: NDArray[np.int64]) -> float:
    """Accuracy of always giving the most frequent answer of these rows."""
    return float(np.bincount(key).max() / len(key))


def pool_weights(scores: Floats, key: NDArray[np.int64]) -> Floats:
    """Each member's accuracy above the share that guessing gets, at least a little; shape (S,)."""
    accuracy = (scores.argmax(axis=2) == key[:, None]).mean(axis=0)
    return np.asarray(np.maximum(accuracy - 1 / scores.shape[2], LEAST_WEIGHT))


def linear_pool(scores: Floats, weights: Floats) -> Floats:
    """Weighted mean of the members' probabilities; shape (n, S, C) to (n, C)."""
    return np.asarray(np.einsum("nsc,s->nc", np.exp(scores), weights / weights.sum()))


def _cross_validated(scores: Floats, key: NDArray[np.int64], settings: Clean) -> dict[str, float]:
    right = {"linear pool": 0, "trained network": 0}
    for held, rest in folds(len(key), settings.seed):
        if len(np.unique(key[rest])) < 2 or len(rest) < scores.shape[1]:
            raise MetricUndefined(f"{len(key)} questions are too few for {FOLDS} folds")
        pooled = linear_pool(scores[held], pool_weights(scores[rest], key[rest])).argmax(axis=1)
        right["linear pool"] += int((pooled == key[held]).sum())
        network = fit(scores[rest], key[rest], settings)
        right["trained network"] += int((network.predictions(scores[held]) == key[held]).sum())
    return {name: n / len(key) for name, n in right.items()}


# --- the reporting half -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quality:
    """How well answers fit, on rows that chose nothing."""

    accuracy: float
    low: float
    high: float
    """95 % percentile interval of the accuracy, rows resampled."""
    macro_f1: float
    confusion: tuple[tuple[int, ...], ...]
    """Rows of the right answer, columns of the given one, counts."""
    right: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """The ensemble beside its members and the plain ways of joining all of them."""

    n: int
    majority: float
    """Accuracy of always giving the choosing half's most frequent answer."""
    members: dict[str, Quality]
    joined: dict[str, Quality]
    """Way of joining to its quality: the ensemble's own, and the others for comparison."""
    ensemble: str
    """Key of `joined` that is the ensemble."""
    best_member: str
    """The member that was best on the choosing half."""
    gain: tuple[float, float, float]
    """Ensemble's accuracy less that of `best_member`, with the ends of its 95 % interval, rows resampled in pairs."""
    calibration: Calibration
    unscaled: dict[str, Quality]
    """Member to its quality as it gave its answers, where they were set right (models/topla/scaling.py)."""


def compare(  # noqa: PLR0913  (an ensemble and what it is measured on)
    built: Built,
    names: Sequence[str],
    choosing: tuple[Floats, NDArray[np.int64]],
    reporting: tuple[Floats, NDArray[np.int64]],
    unscaled: Floats | None = None,
    seed: int = 0,
) -> Compared:
    """Measure an ensemble on the half that reports.

    Args:
        built: the ensemble.
        names: of the pool, in the order of the scores.
        choosing: scores (n, S, C) and right labels (n,) of the half that chose.
        reporting: the same of the half that reports.
        unscaled: its scores before they were set right, where they were.
        seed: of the intervals.
    """
    scores, key = reporting
    places = [list(names).index(m) for m in built.members]
    ours = scores[:, places]
    weights = np.array([built.weights[m] for m in built.members])
    shares: Mapping[str, Floats] = {
        "linear pool": linear_pool(ours, weights),
        "trained network": built.network.probabilities(ours),
    }
    said: dict[str, NDArray[np.int64]] = {name: p.argmax(axis=1) for name, p in shares.items()}
    said["plurality of all"] = plurality(scores.argmax(axis=2))
    said["linear pool of all"] = linear_pool(scores, pool_weights(*choosing)).argmax(axis=1)
    quality = _measure(key, scores.shape[2], seed)
    joined = {name: quality(answers) for name, answers in said.items()}
    members, given = (
        {} if each is None else {name: quality(each[:, i].argmax(axis=1)) for i, name in enumerate(names)}
        for each in (scores, unscaled)
    )
    best = names[int((choosing[0].argmax(axis=2) == choosing[1][:, None]).mean(axis=0).argmax())]
    most_frequent = np.bincount(choosing[1]).argmax()
    difference = np.array(joined[built.joining].right, dtype=float) - np.array(members[best].right, dtype=float)
    return Compared(
        n=len(key),
        majority=float(np.mean(key == most_frequent)),
        members=members,
        joined=joined,
        ensemble=built.joining,
        best_member=best,
        gain=(float(difference.mean()), *_interval(difference, seed)),
        calibration=calibration(shares[built.joining], key),
        unscaled=given,
    )


def _measure(key: NDArray[np.int64], options: int, seed: int) -> Callable[[NDArray[np.int64]], Quality]:
    def quality(said: NDArray[np.int64]) -> Quality:
        right = said == key
        table = confusion(said, key, options)
        counts = tuple(tuple(map(int, row)) for row in table)
        low, high = _interval(right.astype(float), seed)
        return Quality(float(right.mean()), low, high, macro_f1(table), counts, tuple(map(bool, right)))

    return quality


def _interval(values: Floats, seed: int) -> tuple[float, float]:
    rows = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[rows].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
