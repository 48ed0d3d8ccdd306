"""Generalised and focal diversity of a set of models, from which of them failed on which row.

Definitions of LLM-TOPLA (Tekin et al. 2024, arXiv:2410.03953) and, for the generalised diversity, Partridge and
Krzanowski, Inf. Softw. Technol. 39 (1997) 707-717. Both need no histogram: with k of S members wrong on a row,
P1 = mean(k)/S and P2 = mean(k(k-1))/(S(S-1)), and sums of k and of k(k-1) over a focal member's failures are linear and
quadratic forms of the subset. So one table of triple failures serves every subset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def correctness(values: ArrayLike) -> NDArray[np.bool_]:
    """A checked matrix (n, S): row and model to right or wrong.

    Raises:
        ValueError: not a matrix, no rows, fewer than two models, or values other than 0 and 1 (NaN included).
    """
    raw = np.asarray(values)
    if raw.ndim != 2 or raw.shape[0] == 0:
        raise ValueError(f"a correctness matrix has rows and a column a model; this one has the shape {raw.shape}")
    if raw.shape[1] < 2:
        raise ValueError("diversity needs at least two models")
    if raw.dtype != np.bool_ and not np.isin(raw, (0, 1)).all():
        raise ValueError("a correctness matrix holds 0 and 1 only; NaN or scores must be turned into failures first")
    return raw.astype(bool)


def failure_histogram(ok: ArrayLike) -> NDArray[np.int64]:
    """Rows on which exactly 0, 1, ..., S models are wrong; shape (S + 1,)."""
    right = correctness(ok)
    return np.bincount((~right).sum(axis=1), minlength=right.shape[1] + 1)


def generalised_diversity(ok: ArrayLike) -> float:
    """1 - P2/P1 over all rows, in [0, 1]; 1 when no model ever fails."""
    right = correctness(ok)
    wrong = (~right).sum(axis=1).astype(float)
    return _ratio(float(wrong.sum()), float((wrong * (wrong - 1)).sum()), right.shape[1])


def focal_negative_correlations(ok: ArrayLike) -> Floats:
    """Generalised diversity on the rows where each model in turn is wrong; shape (S,), 1 where one never fails."""
    right = correctness(ok)
    return np.array([generalised_diversity(right[~right[:, f]]) if (~right[:, f]).any() else 1.0
                     for f in range(right.shape[1])])  # fmt: skip


def focal_diversity(ok: ArrayLike) -> float:
    """Mean of the focal negative correlations, in [0, 1]."""
    return float(focal_negative_correlations(ok).mean())


def _ratio(first: float, pairs: float, size: int) -> float:
    return 1.0 if first == 0 else 1.0 - pairs / ((size - 1) * first)


@dataclass(frozen=True, slots=True)
class TripleFailures:
    """How often any three of N models fail together; the focal diversity of every subset follows from it."""

    counts: Floats
    """Shape (N, N, N): rows on which models f, e and g are wrong at once."""

    @classmethod
    def of(cls, ok: ArrayLike) -> TripleFailures:
        """Count them in a correctness matrix (n, N)."""
        wrong = (~correctness(ok)).astype(np.float64)
        return cls(np.stack([(wrong * wrong[:, [f]]).T @ wrong for f in range(wrong.shape[1])]))

    def focal_diversity(self, subsets: ArrayLike) -> Floats:
        """Focal diversity of subsets given as 0/1 rows; shape (m, N) to (m,).

        Raises:
            ValueError: a subset has fewer than two members, or another number of models.
        """
        chosen = np.asarray(subsets, dtype=np.float64)
        if chosen.ndim != 2 or chosen.shape[1] != len(self.counts):
            raise ValueError(f"subsets are rows of {len(self.counts)} zeros and ones; the shape is {chosen.shape}")
        sizes = chosen.sum(axis=1)
        if (sizes < 2).any():
            raise ValueError("diversity needs at least two members")
        total = np.zeros(len(chosen))
        for focal, counts in enumerate(self.counts):
            first = chosen @ np.diag(counts)
            pairs = np.einsum("ij,ij->i", chosen @ counts, chosen) - first
            with np.errstate(divide="ignore", invalid="ignore"):
                rho = np.where(first > 0, 1.0 - pairs / ((sizes - 1) * first), 1.0)
            total += chosen[:, focal] * rho
        return np.asarray(total / sizes)


def closed_failures(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
    """Correctness of closed answers: a member is right when its best-scored option is the key.

    Args:
        scores: shape (n, S, C): score of each option by each member.
        labels: shape (n,): index of the key.

    Returns:
        Correctness, shape (n, S).

    Raises:
        ValueError: a score is NaN, or shapes or labels do not fit.
    """
    given, key = np.asarray(scores, dtype=float), np.asarray(labels)
    if given.ndim != 3 or key.shape != given.shape[:1]:
        raise ValueError(f"scores are (rows, members, options), labels (rows,); got {given.shape} and {key.shape}")
    if np.isnan(given).any():
        row, member, _ = np.argwhere(np.isnan(given))[0]
        raise ValueError(f"the score of member {member} on row {row} is not a number")
    if len(key) and not (np.issubdtype(key.dtype, np.integer) and key.min() >= 0 and key.max() < given.shape[2]):
        raise ValueError(f"labels are whole numbers from 0 to {given.shape[2] - 1}")
    return np.asarray(given.argmax(axis=2) == key[:, None])


@dataclass(frozen=True, slots=True)
class OpenFailures:
    """Correctness of open answers by a threshold, and how far the result hangs on it."""

    ok: NDArray[np.bool_]
    """Shape (n, S)."""
    threshold: float
    sensitivity: tuple[tuple[float, float], ...]
    """Other thresholds with the focal diversity that each gives."""


def open_failures(
    quality: ArrayLike, threshold: float | None = None, others: Sequence[float] = (0.25, 0.5, 0.75)
) -> OpenFailures:
    """Correctness of open answers: one scored below the threshold failed.

    Args:
        quality: shape (n, S): score of each member's answer, such as F1 or ROUGE-1.
        threshold: None takes the median of all scores.
        others: quantiles of the scores that are tried as thresholds too.

    Raises:
        ValueError: a score is NaN, or the matrix is empty.
    """
    scores = np.asarray(quality, dtype=float)
    if scores.ndim != 2 or not scores.size or np.isnan(scores).any():
        raise ValueError("scores of open answers are a matrix (rows, members) of numbers")
    tau = float(np.median(scores)) if threshold is None else threshold
    tried = [float(np.quantile(scores, q)) for q in others]
    return OpenFailures(scores >= tau, tau, tuple((t, focal_diversity(scores >= t)) for t in tried))
