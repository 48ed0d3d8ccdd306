"""Own formulas against krippendorff and statsmodels on random data, and what is undefined."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr
from statsmodels.stats.inter_rater import fleiss_kappa

from labwright.eval.judge_agreement import alpha, kappa, pair_counts, percent_agreement, rank_correlation
from labwright.eval.judge_labels import counts


def ratings(seed: int, n: int = 60, raters: int = 6, k: int = 5) -> np.ndarray:
    """Noisy copies of a hidden label, shape (n, raters); some missing (NaN)."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, k + 1, size=(n, 1))
    out = np.clip(truth + rng.integers(-1, 2, size=(n, raters)), 1, k).astype(float)
    out[rng.random(out.shape) < 0.2] = np.nan
    return out


def units(rated: np.ndarray, k: int = 5) -> np.ndarray:
    return counts([[int(x) for x in row if not np.isnan(x)] for row in rated], range(1, k + 1))


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_that_of_the_krippendorff_package_also_with_missing_labels(level, seed):
    rated = ratings(seed)
    wanted = krippendorff.alpha(reliability_data=rated.T, level_of_measurement=level)
    assert alpha(units(rated), level).value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("method", ["fleiss", "randolph"])
@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_statsmodels_for_equal_numbers_of_raters(method, seed):
    rated = np.nan_to_num(ratings(seed), nan=3.0)
    wanted = fleiss_kappa(units(rated), method=method)
    assert kappa(units(rated), method=method).value == pytest.approx(wanted, abs=1e-12)


def test_kappa_with_unequal_numbers_uses_each_items_own():
    # P_1 = (4 + 1 - 3) / 6 = 1/3, P_2 = 1, mean 2/3; pooled shares 2/5 and 3/5, P_e = 13/25; (2/3 - 13/25) / (12/25)
    votes = np.array([[2.0, 1.0], [0.0, 2.0]])
    assert kappa(votes, method="fleiss").value == pytest.approx((2 / 3 - 13 / 25) / (12 / 25))


def test_one_label_is_perfect_within_a_group_and_undefined_between_two_coders():
    same = np.array([[0.0, 3.0], [0.0, 2.0]])
    assert alpha(same, "nominal").value == 1.0
    between = alpha(same, "nominal", two_coders=True)
    assert between.value is None
    assert "same" in between.reason
    assert kappa(same, method="fleiss").value is None


@pytest.mark.parametrize(
    "figure",
    [
        alpha(np.zeros((0, 3)), "nominal"),
        alpha(np.eye(3), "nominal"),
        kappa(np.zeros((0, 3)), method="fleiss"),
        kappa(np.eye(3), method="randolph"),
        percent_agreement(np.zeros((0, 3))),
        rank_correlation(np.array([]), np.array([]), "kendall"),
        rank_correlation(np.array([1.0]), np.array([1.0]), "kendall"),
        rank_correlation(np.array([1.0, 1.0]), np.array([1.0, 2.0]), "spearman"),
    ],
)
def test_every_missing_figure_says_why(figure):
    assert figure.value is None
    assert figure.reason


def test_percentage_agreement_has_its_three_cases():
    cases = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0], [2.0, 1.0]])
    assert percent_agreement(cases).value == pytest.approx((0 + 1 + 0 + 2 / 3) / 4)


def test_rank_correlations_are_those_of_scipy():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 5, 40).astype(float), rng.integers(0, 5, 40).astype(float)
    assert rank_correlation(x, y, "spearman").value == pytest.approx(spearmanr(x, y).statistic)
    assert rank_correlation(x, y, "kendall").value == pytest.approx(kendalltau(x, y).statistic)


def test_pairs_leave_out_items_without_a_judge():
    assert pair_counts(np.array([0, 1]), np.array([1, -1]), 2).tolist() == [[1, 1], [0, 0]]
