"""Statistics against the reference implementations named in each test."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
pytest.importorskip("lifelines")
stats = pytest.importorskip("scipy.stats")


def _cohort(n: int = 120, p: int = 6, seed: int = 1) -> tuple:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(p, n))
    time = rng.exponential(1.0 / np.exp(0.8 * values[0]))
    event = (rng.random(n) < 0.7).astype(float)
    return values, time, event


def test_benjamini_hochberg_equals_scipy() -> None:
    from labwright.tools.analysis.multiple_testing import benjamini_hochberg

    p = np.random.default_rng(0).random(200) ** 3
    assert np.allclose(benjamini_hochberg(p), stats.false_discovery_control(p))


def test_benjamini_hochberg_leaves_missing_out() -> None:
    from labwright.tools.analysis.multiple_testing import benjamini_hochberg

    adjusted = benjamini_hochberg(np.array([0.01, np.nan, 0.04]))
    assert np.allclose(adjusted, [0.02, np.nan, 0.04], equal_nan=True)


def test_univariate_cox_equals_lifelines() -> None:
    """lifelines 0.30.3, no ties, so Efron and Breslow agree."""
    from lifelines import CoxPHFitter

    from labwright.tools.analysis.cox_univariate import fit_each

    values, time, event = _cohort()
    fit = fit_each(values, time, event)
    for k in range(len(values)):
        frame = pd.DataFrame({"x": (values[k] - values[k].mean()) / values[k].std(ddof=1), "t": time, "e": event})
        summary = CoxPHFitter().fit(frame, "t", "e").summary.loc["x"]
        assert fit.coefficient[k] == pytest.approx(summary["coef"], abs=1e-4)
        assert fit.p[k] == pytest.approx(summary["p"], rel=1e-2)


def test_univariate_cox_of_a_constant_feature_is_missing() -> None:
    from labwright.tools.analysis.cox_univariate import fit_each

    values, time, event = _cohort()
    values[2] = 4.0
    fit = fit_each(values, time, event)
    assert np.isnan(fit.p[2])
    assert not np.isnan(fit.p[0])


def test_univariate_cox_needs_an_event() -> None:
    from labwright.tools.analysis.cox_univariate import fit_each

    values, time, event = _cohort()
    with pytest.raises(ValueError, match="no event"):
        fit_each(values, time, event * 0)


def test_univariate_cox_with_ties_equals_statsmodels_breslow() -> None:
    from labwright.tools.analysis.cox_univariate import fit_each

    hazard_regression = pytest.importorskip("statsmodels.duration.hazard_regression")
    values, time, event = _cohort()
    time = np.ceil(time * 4)
    fit = fit_each(values, time, event)
    x = (values[0] - values[0].mean()) / values[0].std(ddof=1)
    reference = hazard_regression.PHReg(time, x[:, None], event, ties="breslow").fit()
    assert fit.coefficient[0] == pytest.approx(reference.params[0], abs=1e-4)


def test_ridge_cox_equals_lifelines() -> None:
    """lifelines minimises -l/n + penalizer/2 * |b|^2 (l1_ratio 0)."""
    from lifelines import CoxPHFitter

    from labwright.tools.analysis.cox_penalised import fit_path

    values, time, event = _cohort()
    x = ((values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, ddof=1, keepdims=True)).T
    beta = fit_path(x, time, event, mix=0.0, penalties=np.array([0.2]))[:, 0]
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(6)]).assign(t=time, e=event)
    reference = CoxPHFitter(penalizer=0.2, l1_ratio=0.0).fit(frame, "t", "e").params_
    assert np.allclose(beta, reference, atol=2e-3)


def test_lasso_cox_satisfies_its_optimality_conditions() -> None:
    from labwright.tools.analysis.cox_penalised import _loss_gradient, fit_path, penalty_path
    from labwright.tools.analysis.cox_univariate import risk_sets

    values, time, event = _cohort(p=20)
    penalties = penalty_path(values.T, time, event, mix=1.0)
    beta = fit_path(values.T, time, event, mix=1.0, penalties=penalties)
    assert np.allclose(beta[:, 0], 0.0, atol=1e-6)
    sets = risk_sets(time, event)
    _, gradient = _loss_gradient(beta, values.T[sets.order], sets)
    assert (np.abs(gradient) <= penalties * 1.02 + 1e-4).all()
    active = np.abs(beta) > 1e-3
    assert np.allclose(gradient[active], (-np.sign(beta) * penalties)[active], atol=5e-3)


def test_concordance_equals_lifelines() -> None:
    from lifelines.utils import concordance_index

    from labwright.tools.analysis.concordance import concordance

    values, time, event = _cohort()
    assert concordance(values[0], time, event) == pytest.approx(concordance_index(time, -values[0], event))


def test_concordance_of_no_pair_raises() -> None:
    from labwright.tools.analysis.concordance import concordance

    with pytest.raises(ValueError, match="too few events"):
        concordance(np.ones(3), np.ones(3), np.zeros(3))


def test_bootstrap_interval_holds_the_estimate() -> None:
    from labwright.tools.analysis.concordance import bootstrap_interval, concordance, pair_matrices

    values, time, event = _cohort()
    low, high = bootstrap_interval([pair_matrices(values[0], time, event)], np.random.default_rng(0), 300)
    assert low < concordance(values[0], time, event) < high


def test_stratified_folds_spread_events() -> None:
    from labwright.tools.analysis.concordance import stratified_folds

    event = (np.arange(50) < 15).astype(float)
    fold = stratified_folds(event, 5, np.random.default_rng(0))
    assert [int(event[fold == k].sum()) for k in range(5)] == [3] * 5


def test_rank_sum_equals_scipy_with_ties() -> None:
    from labwright.tools.analysis.rank_test import rank_features, rank_sum

    values = np.random.default_rng(2).integers(0, 4, size=(5, 60)).astype(float)
    inside = np.arange(60) < 20
    auc, _, p = rank_sum(*rank_features(values), inside)
    reference = stats.mannwhitneyu(
        values[:, inside], values[:, ~inside], axis=1, method="asymptotic", use_continuity=False
    )
    assert np.allclose(p, reference.pvalue)
    assert np.allclose(auc, reference.statistic / (20 * 40))


def test_moderated_t_without_prior_information_nears_the_t_test() -> None:
    """With wildly different variances the prior has few degrees of freedom, and the plain t test is the limit."""
    from labwright.tools.analysis.moderated_t import moderated_t

    rng = np.random.default_rng(4)
    values = rng.normal(size=(500, 40)) * rng.lognormal(0, 4, size=(500, 1))
    design = np.column_stack([np.ones(40), np.arange(40) < 20]).astype(float)
    fit = moderated_t(values, design, 1)
    reference = stats.ttest_ind(values[:, :20], values[:, 20:], axis=1)
    assert fit.prior_df < 0.5
    assert np.corrcoef(fit.statistic, reference.statistic)[0, 1] > 0.98


def test_moderated_t_finds_the_prior_it_was_given() -> None:
    """Variances drawn from a scaled inverse chi-square with 6 degrees of freedom and scale 2 (Smyth 2004, equation 6)."""
    from labwright.tools.analysis.moderated_t import fit_prior

    rng = np.random.default_rng(5)
    sigma2 = 6 * 2.0 / rng.chisquare(6, size=20000)
    prior_df, prior = fit_prior(sigma2 * rng.chisquare(10, size=20000) / 10, 10)
    assert prior_df == pytest.approx(6, rel=0.08)
    assert prior == pytest.approx(2.0, rel=0.03)


def test_moderated_t_refuses_a_block_that_is_the_group() -> None:
    from labwright.tools.analysis.moderated_t import moderated_t

    group = (np.arange(10) < 5).astype(float)
    with pytest.raises(ValueError, match="leave the block out"):
        moderated_t(np.ones((3, 10)), np.column_stack([np.ones(10), group, group]), 1)


def test_batch_count_fits_equal_pydeseq2(tiny_counts) -> None:
    """PyDESeq2 0.5.4 with its own per-gene solvers on the same counts."""
    dds = pytest.importorskip("pydeseq2.dds")
    from pydeseq2.default_inference import DefaultInference

    import labwright.tools.analysis as operators
    from labwright.tools.analysis.count_inference import BatchInference

    study = operators.open_study(tiny_counts)
    about = study.samples[["dex", "cell"]]
    fits = []
    for inference in (DefaultInference(n_cpus=1), BatchInference(n_cpus=1)):
        model = dds.DeseqDataSet(
            counts=study.matrix.T.iloc[:, :150], metadata=about, design="~cell + dex", inference=inference, quiet=True
        )
        model.deseq2()
        fits.append(model)
    ours, theirs = (model.varm["LFC"].to_numpy()[:, -1] for model in reversed(fits))
    assert np.allclose(ours, theirs, atol=5e-3)
    ratio = np.log(fits[0].var["dispersions"] / fits[1].var["dispersions"])
    assert np.median(np.abs(ratio)) < 0.02


def test_adjusted_outliers_need_many_samples() -> None:
    from labwright.tools.analysis.cohort import outliers

    assert not outliers(pd.Series([1.0] * 7 + [99.0])).any()
    assert outliers(pd.Series([*np.linspace(-1, 1, 30), 99.0])).tolist() == [False] * 30 + [True]


def test_a_cox_fit_that_lifelines_leaves_is_found_again() -> None:
    """Two far values: full Newton steps end at -97.67 with a warning only; the maximum is at the zero of the score."""
    phreg = pytest.importorskip("statsmodels.duration.hazard_regression").PHReg
    from labwright.tools.analysis.cox import _fit

    rng, n = np.random.default_rng(444), 60
    x = np.r_[rng.normal(size=n - 2), [12.0, 14.0]]
    a = np.r_[rng.random(n - 2) < 0.06, [1, 1]].astype(float)
    z = rng.normal(size=n)
    time = rng.exponential(np.exp(-(1.2 * np.clip(x, -3, 5) + a - 0.8 * z))) + 1e-3
    frame = pd.DataFrame({"time": time, "event": (rng.random(n) < 0.6).astype(float), "x": x, "z": z, "a": a})
    fitted = _fit(frame)
    assert fitted.log_likelihood_ == pytest.approx(-84.575, abs=0.01)
    model = phreg(frame["time"], frame[["x", "z", "a"]], frame["event"], ties="efron")
    assert np.abs(model.score(fitted.params_.to_numpy())).max() < 1e-3
