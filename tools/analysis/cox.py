"""Multivariable Cox regression on clinical covariates, with held-out concordance."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from lifelines.statistics import proportional_hazard_test

from labwright.tools.analysis.concordance import (
    bootstrap_interval,
    concordance,
    pair_matrices,
    stratified_folds,
)
from labwright.tools.analysis.findings import Cell, Finding, Ledger, write_table
from labwright.tools.analysis.study import MIN_GROUP, Study
from labwright.tools.analysis.style import PALETTE, new_figure, save_figure, short

TABLE, FOLDS = "cox_regression.csv", "concordance.csv"
N_FOLDS = 5
NO_MAXIMUM = "the Cox model has no maximum (collinear or separating covariates); take fewer"


def cox_regression(study: Study, *, covariates: list[str], feature: str | None = None) -> list[Finding]:
    """Fit one Cox model with all covariates together, and judge it on held-out patients.

    Args:
        study: a data set with follow-up.
        covariates: clinical columns; numeric ones enter per standard deviation.
        feature: gene or probe added to them, per standard deviation.

    Returns:
        The findings; tables and figure are in the study's output folder.

    Raises:
        ValueError: a column is missing, too few events, or the model has no maximum.
    """
    design, scales = design_matrix(study, covariates, feature)
    frame = study.outcome().join(design, how="inner").dropna()
    if frame["event"].sum() < 5 * design.shape[1]:
        raise ValueError(
            f"{int(frame['event'].sum())} events are too few for {design.shape[1]} terms; take fewer covariates"
        )
    fitted = _fit(frame)
    table = _term_table(fitted, frame, scales)
    write_table(study, table, TABLE)
    write_table(study, _held_out(frame, study.seed), FOLDS)
    endpoint = study.card["survival"]["endpoint"]
    title = f"{endpoint} (n = {len(frame)}, {int(frame['event'].sum())} events)"
    _draw_forest(table, study.out / "cox_regression.png", title)
    return _report(study, table, len(frame))


def _report(study: Study, table: pd.DataFrame, n: int) -> list[Finding]:
    endpoint = study.card["survival"]["endpoint"]
    ledger = Ledger(study, "cox_regression", n)
    for row in table.itertuples():
        ledger.add(
            f"{{term}}: hazard ratio {{hazard_ratio:.2f}} {{unit}} (95% CI {{low95:.2f}}-{{high95:.2f}}, "
            f"p = {{p:.2g}}) for {endpoint}, adjusted for the other covariates"
            + ("; proportional hazards in doubt (p = {ph_p:.2g})" if row.ph_p < 0.01 else ""),
            Cell(table=TABLE, row={"term": row.term}, column="hazard_ratio"),
            direction="up" if row.hazard_ratio > 1 else "down",
        )
    ledger.add(
        "Held-out concordance of the model {concordance:.3f} (95% CI {low95:.3f}-{high95:.3f}), "
        f"{N_FOLDS}-fold cross-validation",
        Cell(table=FOLDS, row={"fold": "mean"}, column="concordance"),
    )
    return ledger.write()


def design_matrix(study: Study, covariates: list[str], feature: str | None) -> tuple[pd.DataFrame, dict[str, str]]:
    """Columns of the model: one per numeric covariate, one per level but the first of a category.

    Args:
        study: the data set.
        covariates: clinical columns.
        feature: a feature to add, or None.

    Returns:
        The design (missing values kept) and the unit of each term.

    Raises:
        ValueError: a column is missing or is part of the outcome.
    """
    design: dict[str, pd.Series] = {}
    units: dict[str, str] = {}
    for name in covariates:
        kind = study.card["columns"].get(name, {}).get("type")
        if kind not in ("numeric", "categorical"):
            known = [n for n, c in study.card["columns"].items() if c["type"] in ("numeric", "categorical")]
            raise ValueError(f"{name!r} is no clinical covariate of the data set; it has {', '.join(known)}")
        if kind == "numeric":
            _add_scaled(design, units, study.samples[name].astype(float))
            continue
        labels = study.labels(name, least=MIN_GROUP)
        levels = study.levels(name, labels)
        for level in levels[1:]:
            term = f"{name}: {level}"
            design[term] = (labels == level).astype(float).reindex(study.samples.index)
            units[term] = f"against {levels[0]}"
    if feature is not None:
        _add_scaled(design, units, study.feature(feature).rename(feature))
    return pd.DataFrame(design), units


def _add_scaled(design: dict[str, pd.Series], units: dict[str, str], values: pd.Series) -> None:
    name, spread = str(values.name), float(values.std())
    if not spread > 0:
        raise ValueError(f"{name} does not vary; leave it out")
    design[name] = (values - values.mean()) / spread
    units[name] = f"per SD ({spread:.3g})"


def _fit(frame: pd.DataFrame) -> CoxPHFitter:
    """The fit at the maximum; lifelines' full Newton steps can leave it for good, with a warning only."""
    try:
        for options in ({}, {"step_size": 0.25}):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always", ConvergenceWarning)
                fitted = CoxPHFitter().fit(frame, "time", "event", fit_options=options)
            if not any("failed to converge" in str(warning.message) for warning in told):
                return fitted
    except (ConvergenceError, np.linalg.LinAlgError) as error:
        raise ValueError(NO_MAXIMUM) from error
    raise ValueError(NO_MAXIMUM)


def _term_table(fitted: CoxPHFitter, frame: pd.DataFrame, units: dict[str, str]) -> pd.DataFrame:
    summary = fitted.summary
    ph = proportional_hazard_test(fitted, frame, time_transform="rank").summary
    return pd.DataFrame(
        {
            "term": summary.index,
            "unit": [units[term] for term in summary.index],
            "hazard_ratio": summary["exp(coef)"].to_numpy(),
            "low95": summary["exp(coef) lower 95%"].to_numpy(),
            "high95": summary["exp(coef) upper 95%"].to_numpy(),
            "statistic": summary["z"].to_numpy(),
            "p": summary["p"].to_numpy(),
            "ph_p": ph["p"].loc[summary.index].to_numpy(),
        }
    )


def _held_out(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    fold_of = stratified_folds(frame["event"].to_numpy(), N_FOLDS, rng)
    rows, pairs = [], []
    for fold in range(N_FOLDS):
        train, test = frame[fold_of != fold], frame[fold_of == fold]
        varying = [c for c in train.columns if train[c].std() > 0]
        risk = _fit(train[varying]).predict_log_partial_hazard(test[varying]).to_numpy()
        data = (risk, test["time"].to_numpy(), test["event"].to_numpy())
        pairs.append(pair_matrices(*data))
        rows.append(
            {"fold": str(fold + 1), "n": len(test), "events": int(data[2].sum()), "concordance": concordance(*data)}
        )
    table = pd.DataFrame(rows)
    low, high = bootstrap_interval(pairs, rng)
    mean = {
        "fold": "mean",
        "n": len(frame),
        "events": int(frame["event"].sum()),
        "concordance": table["concordance"].mean(),
        "low95": low,
        "high95": high,
    }
    return pd.concat([table, pd.DataFrame([mean])], ignore_index=True)


def _draw_forest(table: pd.DataFrame, path: Path, title: str) -> None:
    figure, (axis,) = new_figure(7.6, max(3.0, 1.3 + 0.42 * len(table)))
    y = np.arange(len(table))[::-1]
    ratio = table["hazard_ratio"].to_numpy()
    error = np.vstack([ratio - table["low95"], table["high95"] - ratio])
    axis.errorbar(ratio, y, xerr=error, fmt="s", ms=6, color=PALETTE[0], ecolor=PALETTE[0], capsize=3)
    axis.axvline(1.0, color="#888888", lw=0.8, ls="--")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
    names = [f"{short(row.term, 34)}\n{short(row.unit, 34)}" for row in table.itertuples()]
    axis.set_yticks(y, names)
    axis.set_ylim(-0.6, len(table) - 0.4)
    right = axis.secondary_yaxis("right")
    right.set_yticks(
        y, [f"{r.hazard_ratio:.2f} ({r.low95:.2f}-{r.high95:.2f}), p = {r.p:.2g}" for r in table.itertuples()]
    )
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    axis.set(xlabel="Hazard ratio (95% CI), log scale", title=title)
    save_figure(figure, path)
