"""Moderated t statistics for two groups, with blocks where given (Smyth 2004, as in limma)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma
from scipy.stats import t as student

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ModeratedFit:
    """Results of all features, length p each, and the prior they share."""

    effect: Array
    """Difference test minus reference, adjusted for blocks."""
    statistic: Array
    p: Array
    prior_df: float
    """Degrees of freedom of the prior; infinite when variances do not differ beyond chance."""
    prior_variance: float


def moderated_t(values: Array, design: Array, column: int) -> ModeratedFit:
    """Fit a linear model per feature and moderate the t statistic of one column.

    Args:
        values: features by samples, (p, n).
        design: model matrix, (n, k), of full rank.
        column: coefficient that is tested.

    Returns:
        Effects, statistics and p values.

    Raises:
        ValueError: the groups and blocks cannot be told apart, or no degree of freedom is left.
    """
    n, k = design.shape
    if np.linalg.matrix_rank(design) < k or n - k < 1:
        raise ValueError("group and block cannot be told apart with these samples; leave the block out")
    inverse = np.linalg.inv(design.T @ design)
    coefficients = values @ design @ inverse  # (p, k)
    residual = values - coefficients @ design.T
    variance = (residual**2).sum(axis=1) / (n - k)
    prior_df, prior_variance = fit_prior(variance, n - k)
    if np.isinf(prior_df):
        posterior, freedom = np.full_like(variance, prior_variance), np.inf
    else:
        posterior = (prior_df * prior_variance + (n - k) * variance) / (prior_df + n - k)
        freedom = min(prior_df + n - k, (n - k) * len(variance))
    effect = coefficients[:, column]
    statistic = effect / np.sqrt(posterior * inverse[column, column])
    return ModeratedFit(effect, statistic, 2.0 * student.sf(np.abs(statistic), freedom), prior_df, prior_variance)


def fit_prior(variance: Array, df: int) -> tuple[float, float]:
    """Prior of the variances by matching moments of their logarithms (Smyth 2004, section 6.2).

    Args:
        variance: residual variance of each feature, length p.
        df: residual degrees of freedom.

    Returns:
        Degrees of freedom (may be infinite) and variance of the prior.
    """
    logs = np.log(variance[variance > 0])
    centred = logs - digamma(df / 2.0) + np.log(df / 2.0)
    excess = float(centred.var(ddof=1) - polygamma(1, df / 2.0)) if len(logs) > 1 else 0.0
    if excess <= 0:
        return float("inf"), float(np.exp(centred.mean()))
    prior_df = 2.0 * trigamma_inverse(excess)
    return prior_df, float(np.exp(centred.mean() + digamma(prior_df / 2.0) - np.log(prior_df / 2.0)))


def trigamma_inverse(value: float) -> float:
    """Solve trigamma(x) = value by Newton's method (appendix of Smyth 2004).

    Args:
        value: a positive number.

    Returns:
        The solution.

    Example:
        >>> round(trigamma_inverse(float(polygamma(1, 3.0))), 6)
        3.0
    """
    x = 0.5 + 1.0 / value
    for _ in range(50):
        slope = float(polygamma(1, x))
        step = slope * (1.0 - slope / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x
