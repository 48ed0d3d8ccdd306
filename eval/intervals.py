"""Intervals and tests for shares and means over objectives, and relative gains between two systems.

Runs of one objective resemble one another, so an interval over several objectives resamples objectives first. All
intervals are two-sided at 95 %. What a figure needs and has not got raises; an interval that would rest on fewer
than three objectives is (None, None), since it would be an artefact of their number.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from scipy import stats

from labwright.errors import MetricUndefined

T = TypeVar("T")
LEVEL = 0.95
FEWEST = 3
"""Objectives below which an interval over objectives is not given."""
RESAMPLES = 10_000
EXACT_UP_TO = 16
"""Differences up to which the sign-flip test goes through all 2^n patterns."""


class Interval(NamedTuple):
    """Both ends, or none."""

    low: float | None
    high: float | None


NONE = Interval(None, None)


class Share(NamedTuple):
    """So many of so many."""

    hits: int
    n: int


def wilson(successes: int, n: int) -> Interval:
    """Wilson's score interval of a share, without continuity correction.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212, doi:10.1080/01621459.1927.10502953. It takes the
    trials as independent, which tasks of one run are only in part.

    Args:
        successes: 0 to n.
        n: trials, 1 or more.

    Raises:
        MetricUndefined: n is 0.
        ValueError: successes lie outside 0 to n.

    Example:
        >>> [round(end, 4) for end in wilson(3, 4)]
        [0.3006, 0.9544]
    """
    if n == 0:
        raise MetricUndefined("an interval of the share of no trials")
    found = stats.binomtest(successes, n).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Interval(float(found.low), float(found.high))


def mean_of_means(clusters: Sequence[Sequence[float]]) -> float:
    """Mean over objectives of the mean over their runs.

    Raises:
        MetricUndefined: there is no objective, or one without a run.
    """
    if not clusters or not all(clusters):
        raise MetricUndefined("mean over no objectives, or over one without a run")
    return statistics.fmean(statistics.fmean(runs) for runs in clusters)


def macro(clusters: Sequence[Sequence[Share]]) -> float:
    """Mean over objectives of the mean share of their runs, in [0, 1].

    A run of nothing (n = 0) has succeeded in nothing: its share is 0.

    Raises:
        MetricUndefined: there is no objective, or one without a run.
    """
    return mean_of_means([[s.hits / s.n if s.n else 0.0 for s in runs] for runs in clusters])


def micro(clusters: Sequence[Sequence[Share]]) -> float:
    """All hits over all trials, in [0, 1]; a run of nothing adds nothing.

    Raises:
        MetricUndefined: there is no trial.
    """
    n = sum(s.n for runs in clusters for s in runs)
    if n == 0:
        raise MetricUndefined("micro share of no trials")
    return sum(s.hits for runs in clusters for s in runs) / n


def cluster_bootstrap(
    values_by_cluster: Mapping[str, Sequence[T]],
    statistic: Callable[[list[list[T]]], float],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic, resampling objectives and then the runs of each.

    Source: A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application (1997), section 3.8, strategy with
    replacement at both stages, which errs on the wide side where an objective has few runs.

    Args:
        values_by_cluster: objective to one value a run; each has one or more.
        statistic: of a list of objectives, each a list of its runs' values. A resample on which it raises
            MetricUndefined is left out.
        resamples: 1 or more.
        seed: of the resampling; the result does not depend on the order of the objectives.

    Returns:
        (None, None) for fewer than three objectives, or when the statistic is undefined on a tenth of the resamples.

    Raises:
        MetricUndefined: there is no objective, or one without a run.
    """
    clusters = [list(values_by_cluster[name]) for name in sorted(values_by_cluster)]
    if not clusters or not all(clusters):
        raise MetricUndefined("an interval over no objectives, or over one without a run")
    if len(clusters) < FEWEST:
        return NONE
    rng = np.random.default_rng(seed)
    return _percentile([_or_nan(statistic, _resampled(clusters, rng)) for _ in range(resamples)])


def _resampled(clusters: list[list[T]], rng: np.random.Generator) -> list[list[T]]:
    drawn = [clusters[i] for i in rng.integers(len(clusters), size=len(clusters))]
    return [[runs[j] for j in rng.integers(len(runs), size=len(runs))] if len(runs) > 1 else runs for runs in drawn]


def _or_nan(statistic: Callable[[Any], float], sample: Any) -> float:
    try:
        return statistic(sample)
    except MetricUndefined:
        return math.nan


def _percentile(values: Sequence[float]) -> Interval:
    defined = np.asarray([v for v in values if not math.isnan(v)])
    if len(defined) < 0.9 * len(values):
        return NONE
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def paired_difference(
    ours: Mapping[str, float], base: Mapping[str, float], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, Interval]:
    """Mean over objectives of ours minus base, and its percentile interval; whole pairs are resampled.

    Args:
        ours: objective to its value, the mean of its runs.
        base: likewise, of the same objectives.
        resamples: 1 or more.
        seed: of the resampling.

    Raises:
        MetricUndefined: there is no objective.
        ValueError: the objectives differ.
    """
    differences = _differences(ours, base)
    named = {name: [d] for name, d in zip(sorted(ours), differences, strict=True)}
    mean = statistics.fmean(differences)
    return mean, cluster_bootstrap(named, lambda sample: statistics.fmean(d for [d] in sample), resamples, seed)


def sign_flip(ours: Mapping[str, float], base: Mapping[str, float], resamples: int = 100_000, seed: int = 0) -> float:
    """Two-sided p-value of the paired sign-flip permutation test on the mean difference over objectives.

    Under the hypothesis that both systems are alike, each difference is as likely to have the other sign. Up to 16
    objectives all 2^n patterns of signs are gone through; beyond, a seeded sample of them, with the observed one
    counted (B. Phipson, G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39, doi:10.2202/1544-6115.1585).

    Args:
        ours: objective to its value.
        base: likewise, of the same objectives.
        resamples: patterns sampled beyond 16 objectives.
        seed: of the sample.

    Returns:
        In (0, 1]. Of n objectives the smallest exact p-value is 2 / 2^n.

    Raises:
        MetricUndefined: there is no objective.
        ValueError: the objectives differ.

    Example:
        >>> sign_flip({"a": 3.0, "b": 2.0, "c": 1.0}, {"a": 0.0, "b": 0.0, "c": 0.0})
        0.25
    """
    differences = _differences(ours, base)
    if len(differences) == 1:  # scipy wants two observations; of one, both signs are as extreme as it is
        return 1.0
    exact = len(differences) <= EXACT_UP_TO
    found = stats.permutation_test(
        (np.asarray(differences),),
        np.mean,
        permutation_type="samples",
        n_resamples=2**EXACT_UP_TO if exact else resamples,
        batch=2**12,
        random_state=seed,
    )
    return float(found.pvalue)


def _differences(ours: Mapping[str, float], base: Mapping[str, float]) -> list[float]:
    if not ours:
        raise MetricUndefined("a comparison over no objectives")
    if ours.keys() != base.keys():
        raise ValueError(f"objective {min(ours.keys() ^ base.keys())!r} was measured in one system only")
    return [ours[name] - base[name] for name in sorted(ours)]


def gain_mean_of_ratios(ours: Sequence[float], base: Sequence[float]) -> float:
    """Relative gain over metrics: the mean of ours / base, less 1.

    Raises:
        MetricUndefined: there is no metric, or a value of base is not above 0.
        ValueError: the lengths differ.

    Example:
        >>> round(gain_mean_of_ratios([4, 4, 4, 4, 4], [3, 4, 2, 4, 5]), 6)
        0.226667
    """
    if not base or min(base) <= 0:
        raise MetricUndefined("a ratio to nothing, or to a value that is not above 0")
    return statistics.fmean(o / b for o, b in zip(ours, base, strict=True)) - 1


def gain_ratio_of_means(ours: Sequence[float], base: Sequence[float]) -> float:
    """Relative gain over metrics: mean of ours / mean of base, less 1.

    Raises:
        MetricUndefined: there is no metric, or the mean of base is not above 0.
        ValueError: the lengths differ.

    Example:
        >>> round(gain_ratio_of_means([4, 4, 4, 4, 4], [3, 4, 2, 4, 5]), 6)
        0.111111
    """
    if len(ours) != len(base):
        raise ValueError(f"{len(ours)} metrics against {len(base)}")
    if not base or sum(base) <= 0:
        raise MetricUndefined("a ratio to nothing, or to a mean that is not above 0")
    return sum(ours) / sum(base) - 1


def relative_gain(
    ours: Mapping[str, Sequence[float]],
    base: Mapping[str, Sequence[float]],
    gain: Callable[[Sequence[float], Sequence[float]], float],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, Interval]:
    """A relative gain of the metrics' means over objectives, and its interval; whole objectives are resampled.

    Args:
        ours: objective to its metrics, in one order.
        base: likewise, of the same objectives.
        gain: gain_mean_of_ratios or gain_ratio_of_means.
        resamples: 1 or more.
        seed: of the resampling.

    Raises:
        MetricUndefined: there is no objective, or the gain is undefined on the means.
        ValueError: the objectives or the numbers of metrics differ.
    """
    if not ours:
        raise MetricUndefined("a gain over no objectives")
    if ours.keys() != base.keys():
        raise ValueError(f"objective {min(ours.keys() ^ base.keys())!r} was measured in one system only")
    pairs = {name: [(ours[name], base[name])] for name in ours}

    def of(sample: list[list[tuple[Sequence[float], Sequence[float]]]]) -> float:
        return gain(_means([o for [(o, _)] in sample]), _means([b for [(_, b)] in sample]))

    return of([*pairs.values()]), cluster_bootstrap(pairs, of, resamples, seed)


def _means(rows: Sequence[Sequence[float]]) -> list[float]:
    """Mean of each metric over objectives."""
    return [statistics.fmean(column) for column in zip(*rows, strict=True)]
