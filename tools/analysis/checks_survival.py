"""Recomputations for the operators about patients and their survival, mostly with statsmodels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from lifelines.utils import concordance_index
from scipy.optimize import minimize
from scipy.stats import chi2, median_abs_deviation, norm, spearmanr
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from labwright.tools.analysis.check_parts import Check, Evidence, check_fdr, close, verdict
from labwright.tools.analysis.concordance import stratified_folds
from labwright.tools.analysis.cox_penalised import MIX
from labwright.tools.analysis.signature import Cohort, fit_signature

SPLITS, SPLIT_MARGIN = 5, 0.015
"""Other splits of the patients that the mean concordance is compared with, and how far it may lie outside them."""
LEAST_AGREEMENT, MOST_GAIN = 0.3, 0.06
"""Rank correlation and gain in concordance of an honest signature against a refit on the same folds."""


def check_cohort_summary(evidence: Evidence) -> Iterator[Check]:
    """Every row of table 1 recomputed; sample totals, components and outlier flags."""
    study, table = evidence.study, evidence.table("cohort_summary.csv").fillna({"level": ""})
    parts = {"all": study.samples}
    column = evidence.params.get("group_column")
    if column:
        known = study.samples[column].dropna().astype(str)
        parts |= {level: study.samples.loc[known.index[known == level]] for level in known.unique()}
    yield close("table 1 recomputed", table["value"], [_cell(row, parts[row.group]) for row in table.itertuples()])
    keys = table[["variable", "level", "group", "statistic"]].astype(str)
    expected = sum(_row_count(study.card["columns"], part) for part in parts.values())
    yield verdict(
        "table 1 is complete",
        len(table) == expected and not keys.duplicated().any(),
        f"{len(table)} rows of {expected}",
    )
    quality = evidence.table("sample_quality.csv")
    yield verdict("one quality row per sample", quality["sample"].astype(str).tolist() == study.samples.index.tolist())
    flagged = np.zeros(len(quality), dtype=bool)
    if "total" in quality:
        yield close("sample totals recomputed", quality["total"], study.matrix.sum(axis=0))
        for name in ("pc1", "pc2") if len(quality) >= 20 else ():
            values = quality[name].to_numpy()
            flagged |= np.abs(values - np.median(values)) > 5.0 * median_abs_deviation(values, scale="normal")
    yield verdict("outlier flags follow the rule", (quality["outlier"].to_numpy(dtype=bool) == flagged).all())


def _row_count(columns: dict[str, dict[str, str]], part: pd.DataFrame) -> int:
    extra = {"event": 1, "categorical": 0}
    sizes = (
        1 + (part[name].nunique() if kind == "categorical" else extra.get(kind, 3 if part[name].notna().any() else 0))
        for name, kind in ((name, column["type"]) for name, column in columns.items())
    )
    return 1 + sum(sizes)


def _cell(row: object, part: pd.DataFrame) -> float:
    variable, level, statistic = (str(getattr(row, name)) for name in ("variable", "level", "statistic"))
    if variable == "samples":
        return float(len(part))
    values = part[variable]
    if statistic == "missing":
        return float(values.isna().to_numpy().sum())
    if statistic == "n":
        return float(np.sum([str(value) == level for value in values.dropna()]))
    if statistic == "events":
        return float(np.nansum(values.to_numpy(dtype=float)))
    return float(np.nanpercentile(values.to_numpy(dtype=float), {"q1": 25, "median": 50, "q3": 75}[statistic]))


def check_survival_curves(evidence: Evidence) -> Iterator[Check]:
    """Counts, medians and log-rank tests with statsmodels."""
    study, curves, tests = evidence.study, evidence.table("survival_curves.csv"), evidence.table("log_rank.csv")
    outcome = study.outcome()
    if evidence.params.get("group_column"):
        group = study.labels(evidence.params["group_column"])
    else:
        values = study.expression.loc[evidence.params["feature"], outcome.index]
        group = pd.Series(np.where(values > np.median(values), "high", "low"), index=outcome.index)
    frame = outcome.join(group.rename("group"), how="inner")
    curves = curves.assign(group=curves["group"].astype(str))
    yield verdict("one row per group", sorted(curves["group"]) == sorted(frame["group"].unique()))
    by_group = frame.groupby("group")["event"]
    yield close("patients per group", curves["n"], by_group.size()[curves["group"]])
    yield close("events per group", curves["events"], by_group.sum()[curves["group"]])
    yield close("median survival", curves["median"], [_median(frame[frame["group"] == g]) for g in curves["group"]])
    yield close("expected events", curves["expected"], [_expected(frame, g) for g in curves["group"]])
    yield close("observed over expected", curves["observed_expected"], curves["events"] / curves["expected"])
    pairs = [
        frame if name == "overall" else frame[frame["group"].isin(name.split(" vs "))] for name in tests["comparison"]
    ]
    statistics = [_log_rank(part) for part in pairs]
    yield close("log-rank statistic", tests["statistic"], [s for s, _ in statistics])
    yield close("log-rank p", tests["p"], [p for _, p in statistics], rtol=1e-2, atol=1e-300)
    k = len(curves)
    yield verdict("every comparison is there", len(tests) == (1 if k == 2 else 1 + k * (k - 1) // 2))
    if k > 2:
        yield check_fdr("log_rank.csv", tests)


def _log_rank(frame: pd.DataFrame) -> tuple[float, float]:
    """Statistic and p; the p of statsmodels is 1 minus a distribution and so 0 below 1e-16."""
    statistic = float(survdiff(frame["time"], frame["event"], frame["group"])[0])
    return statistic, float(chi2.sf(statistic, frame["group"].nunique() - 1))


def _median(part: pd.DataFrame) -> float:
    curve = SurvfuncRight(part["time"], part["event"])
    reached = curve.surv_times[curve.surv_prob <= 0.5 + 1e-12]
    return float(reached[0]) if len(reached) else float("nan")


def _expected(frame: pd.DataFrame, group: str) -> float:
    total = 0.0
    for when in frame["time"][frame["event"] > 0].unique():
        at_risk = frame[frame["time"] >= when]
        dead = float(((frame["time"] == when) & (frame["event"] > 0)).sum())
        total += dead * float((at_risk["group"] == group).mean())
    return total


def check_cox_regression(evidence: Evidence) -> Iterator[Check]:
    """The model refitted with statsmodels, the held-out concordance with statsmodels and lifelines."""
    study, table, folds = evidence.study, evidence.table("cox_regression.csv"), evidence.table("concordance.csv")
    frame = study.outcome().join(_design(evidence), how="inner").dropna()
    terms = [name for name in frame.columns if name not in ("time", "event")]
    yield verdict("the terms are those of the covariates", sorted(table["term"]) == sorted(terms))
    beta, errors = _fit_cox(frame, terms)
    ratio, error = dict(zip(terms, np.exp(beta), strict=True)), dict(zip(terms, errors, strict=True))
    yield close("hazard ratios refitted", table["hazard_ratio"], [ratio[t] for t in table["term"]])
    z = np.log(table["hazard_ratio"]) / [error[t] for t in table["term"]]
    yield close("p values refitted", table["p"], 2.0 * norm.sf(np.abs(z)), rtol=2e-2, atol=1e-12)
    low = np.exp(np.log(table["hazard_ratio"]) - norm.isf(0.025) * np.array([error[t] for t in table["term"]]))
    yield close("confidence intervals refitted", table["low95"], low)
    rows = folds[folds["fold"].astype(str) != "mean"]
    yield verdict(
        "held-out patients add up", int(rows["n"].sum()) == len(frame), f"{int(rows['n'].sum())} of {len(frame)}"
    )
    yield verdict("held-out events add up", int(rows["events"].sum()) == int(frame["event"].sum()))
    yield _check_splits(frame, terms, rows["concordance"], study.seed)
    yield from _check_mean(folds)


def _check_splits(frame: pd.DataFrame, terms: list[str], found: pd.Series, seed: int) -> Check:
    """The mean over the folds lies among those of other splits: the table does not say who was in which fold."""
    again = []
    for number in range(SPLITS):
        part = stratified_folds(frame["event"].to_numpy(), len(found), np.random.default_rng(seed + number))
        again.append(np.mean([_held_out_concordance(frame, terms, part == fold) for fold in range(len(found))]))
    inside = min(again) - SPLIT_MARGIN <= found.mean() <= max(again) + SPLIT_MARGIN
    shown = f"{found.mean():.3f}; {SPLITS} splits give {min(again):.3f} to {max(again):.3f}"
    return verdict("held-out concordance is that of refitted splits", inside, shown)


def _design(evidence: Evidence) -> pd.DataFrame:
    study, columns = evidence.study, []
    for name in evidence.params["covariates"]:
        if study.card["columns"][name]["type"] == "numeric":
            columns.append(study.samples[name].astype(float))
            continue
        counts = study.samples[name].value_counts()
        kept = study.samples[name].where(study.samples[name].map(counts) >= 3)
        order = [level for level in study.card["groups"][name] if (kept == level).any()]
        dummies = pd.get_dummies(pd.Categorical(kept, categories=order)).astype(float)
        dummies.index = study.samples.index
        dummies[kept.isna()] = np.nan
        columns += [dummies[level].rename(f"{name}: {level}") for level in order[1:]]
    if evidence.params.get("feature"):
        columns.append(study.expression.loc[evidence.params["feature"]].rename(evidence.params["feature"]))
    design = pd.concat(columns, axis=1)
    scaled = [
        name
        for name in design.columns
        if not set(design[name].dropna().unique()) <= {0.0, 1.0} or ": " not in str(name)
    ]
    design[scaled] = (design[scaled] - design[scaled].mean()) / design[scaled].std(ddof=1)
    return design


def _fit_cox(frame: pd.DataFrame, terms: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and standard errors; SciPy maximises, since the Newton steps of statsmodels can overshoot."""
    model = PHReg(frame["time"], frame[terms], frame["event"], ties="efron")
    start = np.zeros(len(terms))
    found = minimize(lambda b: -model.loglike(b), start, jac=lambda b: -model.score(b), method="BFGS").x
    return found, np.sqrt(np.diag(np.linalg.inv(-model.hessian(found))))


def _held_out_concordance(frame: pd.DataFrame, terms: list[str], test: np.ndarray) -> float:
    train = frame[~test]
    varying = [name for name in terms if train[name].std() > 0]
    beta, _ = _fit_cox(train, varying)
    risk = frame.loc[test, varying].to_numpy() @ beta
    return float(concordance_index(frame.loc[test, "time"], -risk, frame.loc[test, "event"]))


def _check_mean(folds: pd.DataFrame) -> Iterator[Check]:
    rows, mean = folds[folds["fold"].astype(str) != "mean"], folds[folds["fold"].astype(str) == "mean"].iloc[0]
    yield close("mean of the folds", mean["concordance"], rows["concordance"].mean())
    inside = mean["low95"] < mean["concordance"] < mean["high95"] and mean["high95"] - mean["low95"] < 0.6
    yield verdict("the interval holds the mean", inside, f"{mean['low95']:.3f} to {mean['high95']:.3f}")


def check_prognostic_features(evidence: Evidence) -> Iterator[Check]:
    """One row per feature; the likelihood of 20 models evaluated with statsmodels."""
    study, table = evidence.study, evidence.table("prognostic_features.csv")
    yield verdict("one row per feature", sorted(table["feature"].astype(str)) == sorted(study.matrix.index.astype(str)))
    yield check_fdr("prognostic_features.csv", table)
    yield close("p from the statistic", table["p"], 2.0 * norm.sf(table["statistic"].abs()), atol=1e-300)
    yield close("hazard ratio from the coefficient", table["hazard_ratio"], np.exp(table["coefficient"]))
    yield verdict("sorted by p", table["p"].dropna().is_monotonic_increasing)
    outcome = study.outcome()
    rows = table.iloc[evidence.pick(len(table))].dropna(subset=["p"])
    errors, slopes = [], []
    for row in rows.itertuples():
        values = study.expression.loc[row.feature, outcome.index].to_numpy()
        scaled = (values - values.mean()) / values.std(ddof=1)
        model = PHReg(outcome["time"], scaled[:, None], outcome["event"], ties="breslow")
        errors.append(1.0 / np.sqrt(-model.hessian(np.array([row.coefficient]))[0, 0]))
        slopes.append(model.score(np.array([row.coefficient]))[0] * errors[-1])
    yield close("20 coefficients are at the maximum of the likelihood", slopes, np.zeros(len(rows)), atol=1e-3)
    yield close("20 statistics recomputed", rows["statistic"], rows["coefficient"] / errors)


def check_survival_signature(evidence: Evidence) -> Iterator[Check]:
    """Held-out scores recomputed; every fold refitted with its held-out outcomes scrambled."""
    study, held = evidence.study, evidence.table("held_out_risk.csv")
    outcome = study.outcome()
    yield verdict("every patient is held out once", held["sample"].astype(str).tolist() == outcome.index.tolist())
    yield close(
        "outcomes are those of the data", held[["time", "event"]].to_numpy().ravel(), outcome.to_numpy().ravel()
    )
    folds = evidence.table("concordance.csv")
    rows = folds[folds["fold"].astype(str) != "mean"]
    parts = [held[held["fold"].astype(str) == str(fold)] for fold in rows["fold"]]
    again = [concordance_index(part["time"], -part["risk"], part["event"]) for part in parts]
    yield close("concordance of each fold", rows["concordance"], again, rtol=0, atol=1e-6)
    yield verdict("the folds are the parameter's", len(rows) == evidence.params["folds"])
    yield from _check_mean(folds)
    mean = folds[folds["fold"].astype(str) == "mean"].iloc[0]
    yield close(
        "log-rank of the risk groups",
        mean["log_rank_p"],
        _log_rank(held)[1],
        rtol=1e-2,
        atol=1e-300,
    )
    yield from _check_hidden(evidence, outcome, held)
    genes = evidence.table("signature.csv")
    known = genes["feature"].astype(str).isin(study.matrix.index.astype(str)).all()
    limit = evidence.params["folds"] * evidence.params["max_features"]
    yield verdict(
        "signature genes are in the data",
        known and 0 < len(genes) <= limit and genes["folds_used"].between(1, len(rows)).all(),
    )


def _check_hidden(evidence: Evidence, outcome: pd.DataFrame, held: pd.DataFrame) -> Iterator[Check]:
    """Scramble the outcomes of each fold's held-out patients and refit.

    On the operator's own folds the risks must not change. Another script may have other folds and another
    penalty: its risks must then order the patients much as the refit does, and no better than it by more than
    two honest fits differ. A leak that gains less is not seen.
    """
    rng = np.random.default_rng(evidence.study.seed)
    folds = evidence.params["folds"]
    own = stratified_folds(outcome["event"].to_numpy(), folds, rng)
    fold_of = held["fold"].to_numpy(dtype=int) - 1
    values = evidence.study.expression[outcome.index].to_numpy()
    limits = (evidence.params["max_features"], MIX[evidence.params["penalty"]])
    again = np.full(len(outcome), np.nan)
    for fold in range(folds):
        test = fold_of == fold
        time, event = outcome["time"].to_numpy().copy(), outcome["event"].to_numpy().copy()
        time[test], event[test] = time[test][::-1] * 0.5 + 1.0, 1.0 - event[test]
        _, risk = fit_signature(Cohort(values, time, event), train=~test, rng=rng, limits=limits)
        again[test] = risk[test]
    if (own == fold_of).all():
        yield close("risks do not depend on held-out outcomes", held["risk"], again, rtol=1e-4, atol=1e-5)
        return
    agreement, gain = _against_refit(held.assign(again=again))
    yield verdict("risks order the patients as a refit does", agreement > LEAST_AGREEMENT, f"{agreement:.2f}")
    yield verdict("risks do no better than a refit without the outcomes", gain < MOST_GAIN, f"{gain:+.3f}")


def _against_refit(held: pd.DataFrame) -> tuple[float, float]:
    """Mean over the folds of the rank correlation with the refit, and of the gain in concordance over it."""
    parts = [part for _, part in held.groupby("fold")]
    agreement = np.mean([spearmanr(part["risk"], part["again"]).statistic for part in parts])
    scores = [
        [concordance_index(part["time"], -part[risk], part["event"]) for part in parts] for risk in ("risk", "again")
    ]
    return float(agreement), float(np.mean(scores[0]) - np.mean(scores[1]))
