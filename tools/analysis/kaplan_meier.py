"""Kaplan-Meier curves of groups, with log-rank test and numbers at risk."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
from lifelines.utils import median_survival_times
from matplotlib.axes import Axes

from labwright.tools.analysis.findings import Cell, Finding, Ledger, write_table
from labwright.tools.analysis.multiple_testing import benjamini_hochberg
from labwright.tools.analysis.study import Study
from labwright.tools.analysis.style import colours, new_figure, save_figure, short

CURVES, TEST = "survival_curves.csv", "log_rank.csv"
LOW, HIGH = "low", "high"


def survival_curves(study: Study, *, group_column: str | None = None, feature: str | None = None) -> list[Finding]:
    """Compare survival between the levels of a column, or between low and high expression of a feature.

    Args:
        study: a data set with follow-up.
        group_column: column whose levels are compared.
        feature: gene or probe, split at its median; exactly one of the two is given.

    Returns:
        The findings; tables and figure are in the study's output folder.

    Raises:
        ValueError: not exactly one of the two is given, or it is not in the data.
    """
    groups, levels, name = grouping(study, group_column, feature)
    frame = study.outcome().join(groups.rename("group"), how="inner")
    levels = [level for level in levels if level in set(frame["group"])]
    if len(levels) < 2:
        raise ValueError(f"fewer than two groups of {name} have follow-up")
    unit, endpoint = study.card["survival"]["unit"], study.card["survival"]["endpoint"]
    curves = pd.DataFrame([_curve_row(frame, level) for level in levels])
    write_table(study, curves, CURVES)
    tests = _tests(frame, levels)
    write_table(study, tests, TEST)
    overall = float(tests["p"].iloc[0])
    draw_curves(
        frame,
        study.out / "survival_curves.png",
        levels=levels,
        labels=(f"Time ({unit})", f"Free of: {endpoint}", f"{name} (n = {len(frame)}, log-rank p = {overall:.2g})"),
    )
    return _report(study, tests, curves, (name, len(frame)))


def _report(study: Study, tests: pd.DataFrame, curves: pd.DataFrame, about: tuple[str, int]) -> list[Finding]:
    (name, n), endpoint = about, study.card["survival"]["endpoint"]
    overall, levels = float(tests["p"].iloc[0]), curves["group"].tolist()
    ledger = Ledger(study, "survival_curves", n)
    verdict = "differs" if overall < 0.05 else "does not differ significantly"
    ledger.add(
        f"Time to {endpoint} {verdict} by {name} (log-rank chi-square {{statistic:.2f}}, p = {{p:.2g}})",
        Cell(table=TEST, row={"comparison": "overall"}, column="p"),
    )
    for level in levels:
        ledger.add(
            f"{name} {{group}}: {{events}} events in {{n}} patients, {{observed_expected:.2f}} times as many as "
            "expected if the groups did not differ",
            Cell(table=CURVES, row={"group": level}, column="observed_expected"),
        )
    return ledger.write()


def grouping(study: Study, group_column: str | None, feature: str | None) -> tuple[pd.Series, list[str], str]:
    """Groups by a column or by a median split.

    Args:
        study: the data set.
        group_column: a grouping column, or None.
        feature: a feature, or None.

    Returns:
        Group by sample, levels in order, and the name for people.

    Raises:
        ValueError: not exactly one of the two is given, or it is not in the data.
    """
    if (group_column is None) == (feature is None):
        raise ValueError("give exactly one of group_column and feature")
    if group_column is not None:
        labels = study.labels(group_column)
        return labels, study.levels(group_column, labels), group_column
    values = study.feature(str(feature))
    values = values[study.outcome().index]
    split = pd.Series(np.where(values > values.median(), HIGH, LOW), index=values.index)
    return split, [LOW, HIGH], f"{feature} expression"


def _curve_row(frame: pd.DataFrame, level: str) -> dict[str, object]:
    part = frame[frame["group"] == level]
    fitted = KaplanMeierFitter().fit(part["time"], part["event"])
    bounds = median_survival_times(fitted.confidence_interval_)
    median = float(fitted.median_survival_time_)
    expected = expected_events(frame, level)
    return {
        "group": level,
        "n": len(part),
        "events": int(part["event"].sum()),
        "expected": expected,
        "observed_expected": part["event"].sum() / expected,
        "median": median if np.isfinite(median) else np.nan,
        "median_low95": _finite(bounds.iloc[0, 0]),
        "median_high95": _finite(bounds.iloc[0, 1]),
    }


def expected_events(frame: pd.DataFrame, level: str) -> float:
    """Events expected in a group if all groups had the same hazard (log-rank).

    Args:
        frame: columns time, event, group.
        level: the group.

    Returns:
        Sum over event times of events times the group's share of those at risk.
    """
    times = np.sort(frame["time"].to_numpy())
    own = np.sort(frame["time"][frame["group"] == level].to_numpy())
    when, count = np.unique(frame["time"][frame["event"] > 0], return_counts=True)
    at_risk = len(times) - np.searchsorted(times, when, side="left")
    own_at_risk = len(own) - np.searchsorted(own, when, side="left")
    return float((count * own_at_risk / at_risk).sum())


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else float("nan")


def _tests(frame: pd.DataFrame, levels: list[str]) -> pd.DataFrame:
    overall = multivariate_logrank_test(frame["time"], frame["group"], frame["event"])
    rows = [_test_row("overall", overall, len(levels) - 1)]
    if len(levels) > 2:
        for first, second in combinations(levels, 2):
            part = frame[frame["group"].isin((first, second))]
            pair = multivariate_logrank_test(part["time"], part["group"], part["event"])
            rows.append(_test_row(f"{first} vs {second}", pair, 1))
    table = pd.DataFrame(rows)
    table["fdr"] = np.nan
    table.loc[1:, "fdr"] = benjamini_hochberg(table["p"].to_numpy(dtype=float)[1:])
    return table


def _test_row(name: str, result: object, freedom: int) -> dict[str, object]:
    statistic, p = getattr(result, "test_statistic"), getattr(result, "p_value")  # noqa: B009 - untyped package
    return {"comparison": name, "statistic": float(statistic), "df": freedom, "p": float(p)}


def draw_curves(frame: pd.DataFrame, path: Path, *, levels: list[str], labels: tuple[str, str, str]) -> None:
    """Draw Kaplan-Meier curves with 95 % bands, censoring ticks and numbers at risk.

    Args:
        frame: columns time, event, group.
        path: file to write.
        levels: groups in order.
        labels: x label, y label, title.
    """
    height = 4.6 + 0.24 * len(levels)
    figure, (axis, below) = new_figure(7.2, height, rows=2)
    axis.get_gridspec().set_height_ratios([4.0, 0.34 * (len(levels) + 1)])
    paint = colours(levels)
    for level in levels:
        part = frame[frame["group"] == level]
        fitted = KaplanMeierFitter().fit(part["time"], part["event"], label=short(level, 30))
        fitted.plot_survival_function(ax=axis, color=paint[level], show_censors=True, censor_styles={"ms": 4})
    axis.set(ylim=(0.0, 1.02), xlim=(0.0, None), xlabel="", ylabel=labels[1], title=labels[2])
    axis.legend(loc="lower left")
    _draw_at_risk(below, frame, levels=levels, ticks=[t for t in axis.get_xticks() if t <= axis.get_xlim()[1]])
    below.set_xlim(axis.get_xlim())
    below.set_xlabel(labels[0])
    save_figure(figure, path)


def _draw_at_risk(axis: Axes, frame: pd.DataFrame, *, levels: list[str], ticks: list[float]) -> None:
    paint = colours(levels)
    for line, level in enumerate(levels):
        times = frame["time"][frame["group"] == level].to_numpy()
        for tick in ticks:
            count = str(int((times >= tick).sum()))
            axis.text(tick, -line, count, ha="center", va="center", color=paint[level], fontsize=9)
    axis.set_ylim(-len(levels) + 0.4, 0.6)
    axis.set_yticks([-line for line in range(len(levels))], [short(level, 24) for level in levels])
    axis.set_title("Number at risk", fontsize=9)
    axis.tick_params(axis="both", length=0)
    axis.tick_params(axis="y", pad=22)
    for spine in axis.spines.values():
        spine.set_visible(False)
