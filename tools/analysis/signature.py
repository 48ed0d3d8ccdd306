"""Prognostic signature: penalised Cox, everything chosen inside each training fold, judged on held-out patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines.statistics import multivariate_logrank_test
from numpy.typing import NDArray

from labwright.tools.analysis.concordance import (
    bootstrap_interval,
    concordance,
    pair_matrices,
    stratified_folds,
)
from labwright.tools.analysis.cox_penalised import MIX, choose_penalty
from labwright.tools.analysis.cox_univariate import fit_each
from labwright.tools.analysis.findings import Cell, Finding, Ledger, write_table
from labwright.tools.analysis.kaplan_meier import draw_curves
from labwright.tools.analysis.study import Study

Array = NDArray[np.float64]
RISK, FOLDS, GENES = "held_out_risk.csv", "concordance.csv", "signature.csv"
INNER_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Cohort:
    """Expression and outcome of the same patients."""

    values: Array
    """Features by patients."""
    time: Array
    """Follow-up, length n."""
    event: Array
    """1 for an event, length n."""


def survival_signature(
    study: Study, *, max_features: int = 100, penalty: str = "ridge", folds: int = 5
) -> list[Finding]:
    """Cross-validate a penalised Cox signature.

    Args:
        study: a data set with expression and follow-up.
        max_features: most features kept by the univariate filter inside each fold.
        penalty: "ridge", "elastic_net" or "lasso".
        folds: number of outer folds.

    Returns:
        The findings; tables and figure are in the study's output folder.

    Raises:
        ValueError: no follow-up, no expression, or too few events for the folds.
    """
    outcome = study.outcome()
    expression = study.expression[outcome.index]
    data = Cohort(expression.to_numpy(), outcome["time"].to_numpy(), outcome["event"].to_numpy())
    rng = np.random.default_rng(study.seed)
    fold_of = stratified_folds(data.event, folds, rng)
    held = outcome.assign(fold=fold_of + 1, risk=np.nan, group="")
    weights = np.zeros((len(expression), folds))
    for fold in range(folds):
        train, test = fold_of != fold, fold_of == fold
        beta, risk = fit_signature(data, train=train, rng=rng, limits=(max_features, MIX[penalty]))
        weights[:, fold] = beta
        held.loc[test, "risk"] = risk[test]
        held.loc[test, "group"] = np.where(risk[test] > np.median(risk[train]), "high risk", "low risk")
    table = held.reset_index(names="sample")[["sample", "fold", "time", "event", "risk", "group"]]
    write_table(study, table, RISK)
    scores = _score_table(table, rng)
    write_table(study, scores, FOLDS)
    write_table(study, _gene_table(expression.index, weights), GENES)
    return _report(study, table, folds)


def fit_signature(
    cohort: Cohort, *, train: NDArray[np.bool_], rng: np.random.Generator, limits: tuple[int, float]
) -> tuple[Array, Array]:
    """Fit on the training patients only; score everybody.

    Args:
        cohort: all patients.
        train: which patients may be looked at.
        rng: source of the inner folds.
        limits: most features kept, and the share of the l1 penalty.

    Returns:
        Coefficients per training standard deviation (0 outside the filter), length p, and the risk of
        every patient, length n.
    """
    values, time, event = cohort.values, cohort.time, cohort.event
    filtered = fit_each(values[:, train], time[train], event[train])
    order = np.argsort(np.where(np.isnan(filtered.p), 2.0, filtered.p), kind="stable")[: limits[0]]
    centre = values[order][:, train].mean(axis=1, keepdims=True)
    spread = values[order][:, train].std(axis=1, keepdims=True)
    scaled = ((values[order] - centre) / np.where(spread > 0, spread, 1.0)).T  # (n, kept)
    inner = stratified_folds(event[train], INNER_FOLDS, rng)
    chosen = choose_penalty(scaled[train], time[train], event[train], mix=limits[1], folds=inner)
    beta = np.zeros(len(values))
    beta[order] = chosen
    return beta, scaled @ chosen


def _score_table(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    rows, pairs = [], []
    for fold, part in table.groupby("fold"):
        data = (part["risk"].to_numpy(), part["time"].to_numpy(), part["event"].to_numpy())
        pairs.append(pair_matrices(*data))
        rows.append(
            {"fold": str(fold), "n": len(part), "events": int(data[2].sum()), "concordance": concordance(*data)}
        )
    scores = pd.DataFrame(rows)
    low, high = bootstrap_interval(pairs, rng)
    test = multivariate_logrank_test(table["time"], table["group"], table["event"])
    mean = {
        "fold": "mean",
        "n": len(table),
        "events": int(table["event"].sum()),
        "concordance": scores["concordance"].mean(),
        "low95": low,
        "high95": high,
        "log_rank_p": float(test.p_value),
    }
    return pd.concat([scores, pd.DataFrame([mean])], ignore_index=True)


def _gene_table(features: pd.Index, weights: Array) -> pd.DataFrame:
    used = np.abs(weights) > 1e-9
    table = pd.DataFrame(
        {"feature": features, "folds_used": used.sum(axis=1), "mean_coefficient": weights.mean(axis=1)}
    )
    table = table[table["folds_used"] > 0]
    size = table["mean_coefficient"].abs()
    return (
        table.assign(size=size)
        .sort_values(["folds_used", "size", "feature"], ascending=[False, False, True])
        .drop(columns="size")
    )


def _report(study: Study, table: pd.DataFrame, folds: int) -> list[Finding]:
    endpoint, unit = study.card["survival"]["endpoint"], study.card["survival"]["unit"]
    ledger = Ledger(study, "survival_signature", len(table))
    ledger.add(
        f"The signature ranks held-out patients by time to {endpoint} with concordance {{concordance:.3f}} "
        f"(95% CI {{low95:.3f}}-{{high95:.3f}}; mean of {folds} folds, 0.5 is chance)",
        Cell(table=FOLDS, row={"fold": "mean"}, column="concordance"),
    )
    ledger.add(
        "Held-out risk groups differ in survival with log-rank p = {log_rank_p:.2g}",
        Cell(table=FOLDS, row={"fold": "mean"}, column="log_rank_p"),
    )
    genes = pd.read_csv(study.out / GENES, keep_default_na=False)
    for name in genes["feature"].head(5):
        row = genes[genes["feature"] == name].iloc[0]
        ledger.add(
            f"{{feature}} is in the signature of {{folds_used}} of {folds} folds "
            "(mean coefficient {mean_coefficient:.3f})",
            Cell(table=GENES, row={"feature": str(name)}, column="mean_coefficient"),
            direction="up" if row["mean_coefficient"] > 0 else "down",
        )
    mean = pd.read_csv(study.out / FOLDS).iloc[-1]
    draw_curves(
        table,
        study.out / "survival_signature.png",
        levels=[level for level in ("low risk", "high risk") if (table["group"] == level).any()],
        labels=(
            f"Time ({unit})",
            f"Free of: {endpoint}",
            f"Held-out risk groups (n = {len(table)}, concordance {mean['concordance']:.2f}, "
            f"log-rank p = {mean['log_rank_p']:.1g})",
        ),
    )
    return ledger.write()
