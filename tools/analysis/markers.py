"""Marker features of labelled groups: each level against all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from labwright.tools.analysis.findings import Cell, Finding, Ledger, write_table
from labwright.tools.analysis.multiple_testing import benjamini_hochberg
from labwright.tools.analysis.rank_test import rank_features, rank_sum
from labwright.tools.analysis.study import Study
from labwright.tools.analysis.style import new_figure, save_figure, short

TABLE = "marker_features.csv"


def marker_features(study: Study, *, group_column: str, top: int = 5) -> list[Finding]:
    """Find the features that mark each level of a column.

    Args:
        study: a data set with expression.
        group_column: column of labels.
        top: markers shown and reported for each level.

    Returns:
        The findings; the table and the figure are in the study's output folder.

    Raises:
        ValueError: the column is missing or has fewer than two levels of three samples.
    """
    labels = study.labels(group_column)
    levels = study.levels(group_column, labels)
    values = study.expression[labels.index]
    table = one_versus_rest(values, labels, levels)
    write_table(study, table, TABLE)
    tops = {level: table[table["level"] == level].head(top)["feature"].tolist() for level in levels}
    _draw(values, labels, tops, study.out / "marker_features.png")
    ledger = Ledger(study, "marker_features", len(labels))
    for level in levels:
        for feature in tops[level]:
            ledger.add(
                f"{{feature}} marks {group_column} {{level}} (AUC {{auc:.2f}} against the rest, difference of means "
                "{difference:.2f}, FDR = {fdr:.2g})",
                Cell(table=TABLE, row={"level": level, "feature": feature}, column="auc"),
                direction="up",
            )
    return ledger.write()


def one_versus_rest(values: pd.DataFrame, labels: pd.Series, levels: list[str]) -> pd.DataFrame:
    """Rank-sum test of every level against the rest for every feature.

    Args:
        values: features by samples.
        labels: level by sample, in the order of the columns of `values`.
        levels: levels tested.

    Returns:
        Columns level, feature, difference, auc, statistic, p, fdr; per level sorted by falling z.
    """
    matrix = values.to_numpy()
    ranks, ties = rank_features(matrix)
    parts = []
    for level in levels:
        inside = (labels == level).to_numpy()
        auc, z, p = rank_sum(ranks, ties, inside)
        part = pd.DataFrame(
            {
                "level": level,
                "feature": values.index,
                "difference": matrix[:, inside].mean(axis=1) - matrix[:, ~inside].mean(axis=1),
                "auc": auc,
                "statistic": z,
                "p": p,
                "fdr": benjamini_hochberg(p),
            }
        )
        parts.append(part.sort_values(["statistic", "feature"], ascending=[False, True]))
    return pd.concat(parts, ignore_index=True)


def _draw(values: pd.DataFrame, labels: pd.Series, tops: dict[str, list[str]], path: Path) -> None:
    """Dot plot: colour is the mean scaled over levels, size the share of samples above the feature's median."""
    most = max(2, 48 // len(tops))
    features = list(dict.fromkeys(name for names in tops.values() for name in names[:most]))
    levels = list(tops)
    shown = values.loc[features]
    means = pd.DataFrame({level: shown.loc[:, (labels == level).to_numpy()].mean(axis=1) for level in levels})
    above = shown.gt(shown.median(axis=1), axis=0)
    share = pd.DataFrame({level: above.loc[:, (labels == level).to_numpy()].mean(axis=1) for level in levels})
    span = (means.max(axis=1) - means.min(axis=1)).replace(0.0, 1.0)
    scaled = means.sub(means.min(axis=1), axis=0).div(span, axis=0)
    width, height = 3.4 + 0.24 * len(features), 2.4 + 0.34 * len(levels)
    figure, (axis,) = new_figure(max(7.0, width), height)
    x, y = np.meshgrid(range(len(features)), range(len(levels)), indexing="ij")
    dots = axis.scatter(x, y, c=scaled.to_numpy(), s=8 + 110 * share.to_numpy(), cmap="viridis_r", linewidths=0)
    axis.set_xticks(range(len(features)), [short(name, 18) for name in features], rotation=90)
    names = [f"{short(level, 30)} (n = {int((labels == level).sum())})" for level in levels]
    axis.set_yticks(range(len(levels)), names)
    axis.set(xlim=(-0.8, len(features) - 0.2), ylim=(len(levels) - 0.4, -0.6), title="Top markers of each group")
    figure.colorbar(dots, ax=axis, label="Mean, scaled over groups", shrink=0.9, aspect=14)
    handles = [axis.scatter([], [], s=8 + 110 * part, c="#666666", label=f"{part:.0%}") for part in (0.25, 0.5, 1.0)]
    figure.legend(handles=handles, title="Samples above the overall median", ncols=3, loc="outside lower right")
    save_figure(figure, path)
