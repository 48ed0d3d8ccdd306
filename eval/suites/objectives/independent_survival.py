"""Survival analyses of the reference scripts: lifelines for curves and models, statsmodels for one gene at a time."""

import warnings
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from independent import Analysis, Data, adjusted, volcano
from lifelines import CoxPHFitter, KaplanMeierFitter, NelsonAalenFitter
from lifelines.statistics import multivariate_logrank_test, proportional_hazard_test
from lifelines.utils import concordance_index
from matplotlib.figure import Figure
from sklearn.model_selection import StratifiedKFold
from statsmodels.duration.hazard_regression import PHReg

FOLDS, DRAWS, SEED = 5, 200, 1


def compare_survival(data: Data, column: str | None = None, feature: str | None = None) -> None:
    """Curves and log-rank tests of the levels of a column, or of the halves of the patients by a gene."""
    named = {"group_column": column} if column else {"feature": feature}
    out = Analysis("survival_curves", data, **named)
    frame = data.follow_up()
    if column:
        frame = frame.join(data.groups(column).rename("group"), how="inner")
    else:
        values = data.log_expression().loc[feature, frame.index]
        frame["group"] = np.where(values > values.median(), "high", "low")
    levels = [g for g in (data.card["groups"][column] if column else ["low", "high"]) if (frame["group"] == g).any()]
    out.table("survival_curves.csv", pd.DataFrame([_curve(frame, level) for level in levels]))
    tests = [("overall", frame)]
    if len(levels) > 2:
        tests += [(f"{a} vs {b}", frame[frame["group"].isin((a, b))]) for a, b in combinations(levels, 2)]
    rows = []
    for name, part in tests:
        test = multivariate_logrank_test(part["time"], part["group"], part["event"])
        rows.append(
            {"comparison": name, "statistic": test.test_statistic, "df": part["group"].nunique() - 1, "p": test.p_value}
        )
    table = pd.DataFrame(rows).assign(fdr=np.nan)
    if len(table) > 1:
        table.loc[1:, "fdr"] = adjusted(table["p"][1:])
    out.table("log_rank.csv", table)
    out.figure("survival_curves.png", draw_curves(frame, levels))
    out.find("log_rank.csv", {"comparison": "overall"}, "p", f"Survival by {column or feature}")
    for level in levels:
        out.find("survival_curves.csv", {"group": level}, "observed_expected", f"Events seen over expected, {level}")
    out.close(len(frame))


def _curve(frame: pd.DataFrame, level: str) -> dict[str, object]:
    """Counts of a group; its expected events are the pooled cumulative hazard summed over its patients."""
    part = frame[frame["group"] == level]
    pooled = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(frame["time"], frame["event"])
    expected = pooled.predict(part["time"]).sum()
    median = KaplanMeierFitter().fit(part["time"], part["event"]).median_survival_time_
    return {
        "group": level,
        "n": len(part),
        "events": int(part["event"].sum()),
        "expected": expected,
        "observed_expected": part["event"].sum() / expected,
        "median": median if np.isfinite(median) else np.nan,
    }


def draw_curves(frame: pd.DataFrame, levels: list[str]) -> Figure:
    """Kaplan-Meier curves with their bands."""
    figure, axis = plt.subplots(figsize=(8, 5.5))
    for level in levels:
        part = frame[frame["group"] == level]
        KaplanMeierFitter(label=f"{level} (n = {len(part)})").fit(part["time"], part["event"]).plot_survival_function(
            ax=axis
        )
    axis.set(xlabel="Time", ylabel="Without event", ylim=(0, 1.02))
    return figure


def model_survival(data: Data, covariates: list[str], feature: str | None = None) -> None:
    """One Cox model of all covariates, numbers per standard deviation, and its concordance in held-out patients."""
    out = Analysis("cox_regression", data, covariates=covariates, feature=feature)
    columns = []
    for name in covariates:
        if data.card["columns"][name]["type"] == "numeric":
            columns.append(_scaled(data.samples[name]))
            continue
        labels = data.groups(name)
        levels = [level for level in data.card["groups"][name] if (labels == level).any()]
        for level in levels[1:]:
            columns.append((labels == level).astype(float).reindex(data.samples.index).rename(f"{name}: {level}"))
    if feature:
        columns.append(_scaled(data.log_expression().loc[feature]))
    frame = data.follow_up().join(pd.concat(columns, axis=1), how="inner").dropna()
    model = cox(frame)
    found = model.summary
    proportional = proportional_hazard_test(model, frame, time_transform="rank").summary["p"]
    table = pd.DataFrame(
        {
            "term": found.index,
            "unit": ["against the first level" if ": " in term else "per SD" for term in found.index],
            "hazard_ratio": found["exp(coef)"].to_numpy(),
            "low95": found["exp(coef) lower 95%"].to_numpy(),
            "high95": found["exp(coef) upper 95%"].to_numpy(),
            "statistic": found["z"].to_numpy(),
            "p": found["p"].to_numpy(),
            "ph_p": proportional[found.index].to_numpy(),
        }
    )
    out.table("cox_regression.csv", table)
    risk, fold = pd.Series(np.nan, index=frame.index), pd.Series(0, index=frame.index)
    for number, (train, test) in enumerate(
        StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(frame, frame["event"])
    ):
        part = frame.iloc[train]
        part = part.loc[:, part.std() > 0]
        fitted = cox(part)
        risk.iloc[test] = fitted.predict_log_partial_hazard(frame.iloc[test][part.columns]).to_numpy()
        fold.iloc[test] = number + 1
    out.table("concordance.csv", score_folds(frame.assign(risk=risk, fold=fold)))
    out.figure("cox_regression.png", _forest(table))
    for term in table["term"]:
        out.find("cox_regression.csv", {"term": term}, "hazard_ratio", f"Adjusted, {term}")
    out.find("concordance.csv", {"fold": "mean"}, "concordance", "In held-out patients")
    out.close(len(frame))


def cox(frame: pd.DataFrame, ridge: float = 0.0) -> CoxPHFitter:
    """A fitted model; careful steps, since the full ones of lifelines can leave the maximum with no more than a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*failed to converge")
        return CoxPHFitter(penalizer=ridge, l1_ratio=0.0).fit(frame, "time", "event", fit_options={"step_size": 0.25})


def _scaled(values: pd.Series) -> pd.Series:
    numbers = values.astype(float)
    return (numbers - numbers.mean()) / numbers.std()


def _forest(table: pd.DataFrame) -> Figure:
    figure, axis = plt.subplots(figsize=(8, 0.5 * len(table) + 3))
    paint = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(table)))
    for y, (row, colour) in enumerate(zip(table.itertuples(), paint, strict=True)):
        axis.plot([row.low95, row.high95], [y, y], color=colour, lw=3)
        axis.plot(row.hazard_ratio, y, "o", color=colour)
    axis.set_yticks(range(len(table)), table["term"])
    axis.axvline(1, color="grey", lw=0.8)
    axis.set(xscale="log", xlabel="Hazard ratio, 95 % interval")
    return figure


def score_folds(held: pd.DataFrame) -> pd.DataFrame:
    """Harrell's concordance of each fold, and their mean with a bootstrap interval of patients within folds."""
    parts = [part[["time", "risk", "event"]].to_numpy() for _, part in held.groupby("fold")]
    rows = [
        {"fold": str(i + 1), "n": len(part), "events": int(part[:, 2].sum()), "concordance": _concordance(part)}
        for i, part in enumerate(parts)
    ]
    rng = np.random.default_rng(SEED)
    draws = [np.mean([_concordance(rng.choice(part, len(part))) for part in parts]) for _ in range(DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    mean = np.mean([row["concordance"] for row in rows])
    last = {
        "fold": "mean",
        "n": len(held),
        "events": int(held["event"].sum()),
        "concordance": mean,
        "low95": low,
        "high95": high,
    }
    return pd.DataFrame([*rows, last])


def _concordance(part: np.ndarray) -> float:
    return float(concordance_index(part[:, 0], -part[:, 1], part[:, 2]))


def each_gene(data: Data) -> None:
    """One Cox model a gene, per standard deviation, by statsmodels."""
    out = Analysis("prognostic_features", data)
    outcome = data.follow_up()
    rows = []
    for gene, values in data.log_expression()[outcome.index].iterrows():
        fit = PHReg(outcome["time"], _scaled(values).to_numpy()[:, None], outcome["event"], ties="breslow").fit(disp=0)
        low, high = np.exp(fit.conf_int()[0])
        rows.append((gene, np.exp(fit.params[0]), low, high, fit.params[0], fit.tvalues[0], fit.pvalues[0]))
    names = ["feature", "hazard_ratio", "low95", "high95", "coefficient", "statistic", "p"]
    table = pd.DataFrame(rows, columns=names).sort_values("p", ignore_index=True)
    table["fdr"] = adjusted(table["p"])
    out.table("prognostic_features.csv", table)
    out.figure("prognostic_features.png", volcano(table["coefficient"], table["p"], "log hazard ratio per SD"))
    for gene in table["feature"].head(5):
        out.find("prognostic_features.csv", {"feature": gene}, "hazard_ratio", gene)
    out.close(len(outcome))


def signature(data: Data, genes: int, ridge: float) -> None:
    """A ridge Cox model of the genes that go with survival in the training patients, judged on the held-out ones.

    Genes are ranked by their covariance with the martingale residuals of the model without genes (Therneau,
    Grambsch and Fleming 1990), which is the score test. Their number and the ridge are fixed beforehand.
    """
    out = Analysis("survival_signature", data, max_features=genes, penalty="ridge", folds=FOLDS)
    outcome = data.follow_up()
    values = data.log_expression()[outcome.index].T
    held = outcome.assign(fold=0, risk=np.nan, group="")
    weights = {}
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(values, outcome["event"])
    for number, (train, test) in enumerate(splits):
        seen, centre, spread = outcome.iloc[train], values.iloc[train].mean(), values.iloc[train].std()
        scaled = ((values - centre) / spread.where(spread > 0, 1.0)).fillna(0.0)
        hazard = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(seen["time"], seen["event"])
        residual = seen["event"].to_numpy() - hazard.predict(seen["time"]).to_numpy()
        score = (scaled.iloc[train].to_numpy().T @ residual) ** 2
        kept = values.columns[np.argsort(-score, kind="stable")[:genes]]
        model = cox(seen.join(scaled.iloc[train][kept]), ridge)
        risk = scaled[kept] @ model.params_[kept]
        weights[number] = model.params_[kept]
        held.iloc[test, held.columns.get_loc("fold")] = number + 1
        held.iloc[test, held.columns.get_loc("risk")] = risk.iloc[test]
        high = risk.iloc[test] > risk.iloc[train].median()
        held.iloc[test, held.columns.get_loc("group")] = np.where(high, "high risk", "low risk")
    out.table(
        "held_out_risk.csv", held.reset_index(names="sample")[["sample", "fold", "time", "event", "risk", "group"]]
    )
    test = multivariate_logrank_test(held["time"], held["group"], held["event"])
    scores = score_folds(held)
    scores["log_rank_p"] = np.where(scores["fold"] == "mean", test.p_value, np.nan)
    out.table("concordance.csv", scores)
    used = pd.DataFrame(weights)
    table = pd.DataFrame({"folds_used": used.notna().sum(axis=1), "mean_coefficient": used.fillna(0.0).mean(axis=1)})
    table = table.rename_axis("feature").reset_index().sort_values(["folds_used", "feature"], ascending=[False, True])
    out.table("signature.csv", table)
    out.figure("survival_signature.png", draw_curves(held, ["low risk", "high risk"]))
    out.find("concordance.csv", {"fold": "mean"}, "concordance", "In held-out patients")
    out.find("concordance.csv", {"fold": "mean"}, "log_rank_p", "High against low risk in held-out patients")
    out.close(len(outcome))
