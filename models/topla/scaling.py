"""A member's probabilities set right before they are joined: one slope and an offset a label.

A model that prefers one answer whatever it is asked may still know which questions it fits better. Bias-corrected
temperature scaling (Alexandari et al. 2020, arXiv:1901.06852) finds that: softmax(slope x log p + offsets), fitted by
likelihood on questions of known answer. A standard normal prior on log slope and offsets keeps few questions from
moving it far, and the slope above 0: a member is never turned around.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from labwright.models.diversity import Floats

FOLDS = 5


class Scaling(BaseModel):
    """How one member's log-probabilities of the labels are set right."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    slope: float = Field(gt=0, allow_inf_nan=False)
    offsets: tuple[float, ...] = Field(min_length=2)
    """Nats, one a label in the order of the labels."""

    def applied(self, scores: ArrayLike) -> Floats:
        """Log-probabilities set right; shape (..., C) as given."""
        from scipy.special import log_softmax

        return np.asarray(log_softmax(self.slope * np.asarray(scores) + np.array(self.offsets), axis=-1))


def fit_scaling(scores: Floats, key: NDArray[np.int64]) -> Scaling:
    """The most probable scaling of one member.

    Args:
        scores: shape (n, C): log-probabilities.
        key: shape (n,): index of the right label.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    right = np.eye(scores.shape[1])[key]

    def loss(given: Floats) -> tuple[float, Floats]:
        slope, offsets = np.exp(given[0]), given[1:]
        logs = log_softmax(slope * scores + offsets, axis=1)
        error = np.exp(logs) - right
        gradient = np.array([slope * (error * scores).sum(), *error.sum(axis=0)]) + given
        return float(given @ given / 2 - (logs * right).sum()), gradient

    found = minimize(loss, np.zeros(1 + scores.shape[1]), jac=True, method="L-BFGS-B").x
    return Scaling(slope=float(np.exp(found[0])), offsets=tuple(map(float, found[1:])))


def scaled_out_of_fold(scores: Floats, key: NDArray[np.int64], seed: int = 0) -> Floats:
    """Each row set right by a scaling that was fitted on the other folds, so that accuracies on these rows are fair.

    Args:
        scores: shape (n, S, C): log-probabilities.
        key: shape (n,): index of the right label.
        seed: of the folds.
    """
    made = np.empty_like(scores)
    for held, rest in folds(len(key), seed):
        for member in range(scores.shape[1]):
            made[held, member] = fit_scaling(scores[rest, member], key[rest]).applied(scores[held, member])
    return made


def folds(n: int, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows that are held out, and all others: FOLDS times, each of n rows held out once."""
    order = np.random.default_rng(seed).permutation(n)
    for held in np.array_split(order, min(FOLDS, n)):
        yield held, np.setdiff1d(order, held)
