"""Intervals and tests, against published or independently computed values and by their properties."""

from __future__ import annotations

import math
import random
import statistics
from itertools import product

import pytest
from statsmodels.stats.proportion import proportion_confint

from labwright.errors import MetricUndefined
from labwright.eval.intervals import (
    Share,
    cluster_bootstrap,
    gain_mean_of_ratios,
    gain_ratio_of_means,
    macro,
    mean_of_means,
    micro,
    paired_difference,
    relative_gain,
    sign_flip,
    wilson,
)

A, B = [Share(3, 4)], [Share(1, 2)]
OURS, BASE = [4, 4, 4, 4, 4], [3, 4, 2, 4, 5]


def test_t10_macro_and_micro():
    """Specification T10: A 3 of 4 and B 1 of 2 give 0.625 and 4/6."""
    assert macro([A, B]) == 0.625
    assert micro([A, B]) == pytest.approx(4 / 6)


def test_runs_of_one_objective_are_averaged_before_objectives_are():
    """A twice (1 and 0) and B once (1): (0.5 + 1) / 2, not 2 / 3."""
    assert macro([[Share(2, 2), Share(0, 2)], [Share(1, 1)]]) == 0.75
    assert mean_of_means([[1.0, 0.0], [1.0]]) == 0.75


def test_a_run_that_planned_nothing_has_failed_and_is_no_trial():
    assert macro([A, [Share(0, 0)]]) == 0.375
    assert micro([A, [Share(0, 0)]]) == 0.75


def test_of_nothing_there_is_no_mean():
    for clusters in ([], [[]], [A, []]):
        with pytest.raises(MetricUndefined):
            macro(clusters)
        with pytest.raises(MetricUndefined):
            mean_of_means([[0.5] * len(runs) for runs in clusters])
        with pytest.raises(MetricUndefined):
            cluster_bootstrap({str(i): c for i, c in enumerate(clusters)}, macro)
    with pytest.raises(MetricUndefined):
        micro([[Share(0, 0)]])
    with pytest.raises(MetricUndefined):
        wilson(0, 0)
    with pytest.raises(ValueError, match="k"):
        wilson(3, 2)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 4), (5, 10), (81, 263), (15, 148), (1, 29), (29, 29)])
def test_wilson_agrees_with_statsmodels_and_the_closed_formula(hits, n):
    """Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E), table I: 81/263 0.2553 to 0.3662."""
    low, high = wilson(hits, n)
    assert (low, high) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-12)
    z, p = 1.959963984540054, hits / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (low, high) == pytest.approx(
        ((centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)), abs=1e-12
    )
    if (hits, n) == (81, 263):
        assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize("n", [2, 5, 10, 16])
def test_the_sign_flip_test_is_exact_up_to_16(n):
    """Against all 2^n patterns by hand; with every difference on one side p is 2 / 2^n."""
    names = [f"o{i}" for i in range(n)]
    assert sign_flip(dict.fromkeys(names, 2.0), dict.fromkeys(names, 1.0)) == pytest.approx(2 / 2**n)
    rng = random.Random(n)
    differences = [rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0, 2.0]) for _ in names]
    found = sign_flip(dict(zip(names, differences, strict=True)), dict.fromkeys(names, 0.0))
    if n <= 10:
        observed = abs(sum(differences))
        every = [
            abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in product((1, -1), repeat=n)
        ]
        assert found == pytest.approx(sum(value >= observed - 1e-12 for value in every) / len(every))


def test_beyond_16_the_sign_flip_test_samples_with_its_seed():
    rng = random.Random(1)
    ours = {str(i): rng.gauss(0.3, 1.0) for i in range(24)}
    zero = dict.fromkeys(ours, 0.0)
    once = sign_flip(ours, zero, resamples=20_000, seed=3)
    assert once == sign_flip(ours, zero, resamples=20_000, seed=3)
    assert abs(once - sign_flip(ours, zero, resamples=20_000, seed=4)) < 0.02
    far = sign_flip(dict.fromkeys(ours, 1.0), zero, resamples=999)
    assert 0 < far <= 2 / 1000
    assert sign_flip(zero, zero, resamples=999) == 1.0


def test_a_comparison_is_over_the_same_objectives():
    assert sign_flip({"a": 1.0}, {"a": 0.0}) == 1.0
    for compare in (sign_flip, paired_difference):
        with pytest.raises(ValueError, match="'b' was measured in one system only"):
            compare({"a": 1.0, "b": 1.0}, {"a": 1.0})
        with pytest.raises(MetricUndefined):
            compare({}, {})


def test_t11_both_relative_gains():
    """Specification T11: (1/3 + 0 + 1 + 0 - 0.2) / 5 and 20/18 - 1."""
    assert gain_mean_of_ratios(OURS, BASE) == pytest.approx(0.226667, abs=1e-6)
    assert gain_ratio_of_means(OURS, BASE) == pytest.approx(0.111111, abs=1e-6)


@pytest.mark.parametrize("gain", [gain_mean_of_ratios, gain_ratio_of_means])
def test_a_gain_over_nothing_is_undefined(gain):
    for ours, base in (([], []), ([1.0], [0.0]), ([1.0], [-1.0])):
        with pytest.raises(MetricUndefined):
            gain(ours, base)
    with pytest.raises(ValueError, match=r"."):
        gain([1.0, 2.0], [1.0])


@pytest.mark.parametrize("gain", [gain_mean_of_ratios, gain_ratio_of_means])
def test_the_gain_over_objectives_is_that_of_the_metrics_means(gain):
    """Three objectives whose metrics average to those of T11; equal objectives leave an interval of one point."""
    ours = {"a": [3, 4, 4, 4, 4], "b": [5, 4, 4, 4, 4], "c": OURS}
    base = {"a": [3, 4, 1, 4, 5], "b": [3, 4, 3, 4, 5], "c": BASE}
    value, interval = relative_gain(ours, base, gain, resamples=500)
    assert value == pytest.approx(gain(OURS, BASE))
    assert interval.low < value < interval.high
    value, interval = relative_gain(dict.fromkeys("abc", OURS), dict.fromkeys("abc", BASE), gain, resamples=50)
    assert interval == pytest.approx((value, value))


def clusters(seed: int, n: int = 12, runs: int = 3) -> dict[str, list[Share]]:
    rng = random.Random(seed)
    return {f"o{i}": [Share(rng.randint(0, 4), 4) for _ in range(runs)] for i in range(n)}


def test_the_bootstrap_depends_on_its_seed_and_on_nothing_else():
    values = clusters(1)
    once = cluster_bootstrap(values, macro, 300, seed=5)
    assert once == cluster_bootstrap(dict(reversed(values.items())), macro, 300, seed=5)
    assert once != cluster_bootstrap(values, macro, 300, seed=6)
    assert 0 <= once.low < macro(list(values.values())) < once.high <= 1


def test_of_fewer_than_three_objectives_there_is_no_interval():
    assert cluster_bootstrap({"a": A, "b": B}, macro, 10) == (None, None)
    assert paired_difference({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.0}) == (0.5, (None, None))


def test_objectives_that_differ_make_the_interval_wider_than_independent_runs_would():
    """Six objectives, all runs of each alike: the spread is that of 6 values, not of 24."""
    values = {str(i): [Share(i % 2, 1)] * 4 for i in range(6)}
    low, high = cluster_bootstrap(values, macro, 2000)
    one_by_one = wilson(12, 24)
    assert high - low > one_by_one.high - one_by_one.low


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """120 samples of 20 objectives with true mean 0.5: at nominal 95 %, between 88 and 100 % cover it."""
    covered = 0
    for sample in range(120):
        rng = random.Random(sample)
        values = {str(i): [Share(round(8 * rng.random()), 8)] for i in range(20)}
        low, high = cluster_bootstrap(values, macro, 150, seed=sample)
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 120 <= 1


def test_a_statistic_that_is_often_undefined_has_no_interval():
    """Of four objectives three have no trial; most resamples of the micro share still hold the fourth, many do not."""
    values = {"a": [Share(1, 2)], "b": [Share(0, 0)], "c": [Share(0, 0)], "d": [Share(0, 0)]}
    assert cluster_bootstrap(values, micro, 500) == (None, None)
    assert cluster_bootstrap(values, macro, 500).low == 0.0


def test_the_paired_interval_resamples_pairs():
    """Values that move together: the interval of the difference is a point although the values vary."""
    base = {str(i): float(i) for i in range(8)}
    ours = {name: value + 0.25 for name, value in base.items()}
    mean, interval = paired_difference(ours, base, 200)
    assert mean == pytest.approx(0.25)
    assert interval == pytest.approx((0.25, 0.25))
    assert statistics.fmean(ours.values()) != statistics.fmean(base.values())
