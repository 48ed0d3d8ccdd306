"""Cohort description: table 1, missing values and quality control of the matrix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from labwright.tools.analysis.clustering import principal_components
from labwright.tools.analysis.findings import Cell, Finding, Ledger, write_table
from labwright.tools.analysis.study import Study
from labwright.tools.analysis.style import PALETTE, UP, new_figure, save_figure, short

TABLE, QUALITY = "cohort_summary.csv", "sample_quality.csv"
OUTLIER_MADS = 5.0
MIN_FOR_OUTLIERS = 20
"""Fewer samples have no stable spread, and none is called an outlier."""
ALL = "all"


def cohort_summary(study: Study, *, group_column: str | None = None) -> list[Finding]:
    """Describe who is in the cohort and which samples look technically odd.

    Args:
        study: any data set.
        group_column: column whose levels become columns of table 1.

    Returns:
        The findings; tables and figure are in the study's output folder.

    Raises:
        ValueError: the group column is not in the data.
    """
    labels = study.labels(group_column, least=1) if group_column else None
    table = pd.DataFrame(_rows(study, labels))
    write_table(study, table, TABLE)
    quality = _sample_quality(study)
    write_table(study, quality, QUALITY)
    _draw(study, quality, study.out / "cohort_summary.png")
    return _report(study, quality)


def _rows(study: Study, labels: pd.Series | None) -> Iterator[dict[str, object]]:
    """Long table 1: one statistic of one variable in one group per row."""
    parts: dict[str, pd.DataFrame] = {ALL: study.samples}
    if labels is not None:
        for level in study.levels(str(labels.name), labels):
            parts[level] = study.samples.loc[labels.index[labels == level]]
    for group, part in parts.items():
        yield {"variable": "samples", "level": "", "group": group, "statistic": "n", "value": len(part)}
        for name, column in study.card["columns"].items():
            yield {
                "variable": name,
                "level": "",
                "group": group,
                "statistic": "missing",
                "value": int(part[name].isna().sum()),
            }
            yield from _describe(name, column["type"], part[name].dropna(), group)


def _describe(name: str, kind: str, values: pd.Series, group: str) -> Iterator[dict[str, object]]:
    head = {"variable": name, "level": "", "group": group}
    if kind == "categorical":
        for level, count in values.astype(str).value_counts().sort_index().items():
            yield {**head, "level": level, "statistic": "n", "value": int(count)}
    elif kind == "event":
        yield {**head, "statistic": "events", "value": int(values.sum())}
    elif len(values):
        for statistic, share in (("q1", 0.25), ("median", 0.5), ("q3", 0.75)):
            yield {**head, "statistic": statistic, "value": float(values.quantile(share))}


def _sample_quality(study: Study) -> pd.DataFrame:
    samples = study.samples
    table = pd.DataFrame({"sample": samples.index, "missing_columns": samples.isna().sum(axis=1).to_numpy()})
    if not (study.data / "matrix.parquet").is_file():
        return table.assign(outlier=False)
    matrix = study.matrix
    table["total"] = matrix.sum(axis=0).to_numpy(dtype=float)
    table["detected"] = ((matrix > 0) if _is_counts(study) else matrix.notna()).sum(axis=0).to_numpy()
    points, _ = principal_components(study.expression, study.seed)
    table["pc1"], table["pc2"] = points[:, 0], points[:, 1] if points.shape[1] > 1 else 0.0
    table["outlier"] = outliers(table["pc1"]) | outliers(table["pc2"])
    return table


def _is_counts(study: Study) -> bool:
    return str(study.card["kind"]) in ("rnaseq_counts", "single_cell")


def outliers(values: pd.Series) -> pd.Series:
    """Values beyond five median absolute deviations (scaled to a normal standard deviation) of the median.

    Args:
        values: one number per sample.

    Returns:
        True for an outlier; nothing is one among fewer than `MIN_FOR_OUTLIERS` values.
    """
    if len(values) < MIN_FOR_OUTLIERS:
        return pd.Series(False, index=values.index)
    centre = values.median()
    spread = 1.4826 * (values - centre).abs().median()
    return (values - centre).abs() > OUTLIER_MADS * max(float(spread), 1e-12)


def _draw(study: Study, quality: pd.DataFrame, path: Path) -> None:
    with_matrix = "pc1" in quality
    figure, axes = new_figure(11.0 if with_matrix else 7.5, 4.6, columns=2 if with_matrix else 1)
    _draw_missing(axes[0], study)
    if with_matrix:
        kind = "Total counts" if study.card["kind"] == "rnaseq_counts" else "Sum of values"
        points = axes[1].scatter(quality["pc1"], quality["pc2"], c=quality["total"], s=18, cmap="viridis")
        odd = quality[quality["outlier"]]
        axes[1].scatter(odd["pc1"], odd["pc2"], s=70, facecolors="none", edgecolors=UP, label=f"outlier ({len(odd)})")
        axes[1].set(xlabel="PC1", ylabel="PC2", title=f"Samples (n = {len(quality)}, {len(study.matrix):,} features)")
        axes[1].legend(loc="best")
        figure.colorbar(points, ax=axes[1], label=kind)
    save_figure(figure, path)


def _draw_missing(axis: Axes, study: Study) -> None:
    columns = list(study.card["columns"])[:24]
    share = [100.0 * float(study.samples[name].isna().mean()) for name in columns]
    axis.barh(range(len(columns)), [100.0 - part for part in share], color=PALETTE[0], label="present")
    axis.barh(range(len(columns)), share, left=[100.0 - part for part in share], color=PALETTE[4], label="missing")
    names = [f"{short(name, 24)} ({int(study.samples[name].notna().sum())})" for name in columns]
    axis.set_yticks(range(len(columns)), names)
    axis.invert_yaxis()
    axis.set(xlabel="Samples (%)", xlim=(0, 100), title=f"Completeness (n = {len(study.samples)})")
    axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=2)


def _report(study: Study, quality: pd.DataFrame) -> list[Finding]:
    ledger = Ledger(study, "cohort_summary", len(quality))
    key = {"group": ALL}
    ledger.add(
        "{value:.0f} samples in the cohort",
        Cell(table=TABLE, row={**key, "variable": "samples", "statistic": "n"}, column="value"),
        unit="samples",
    )
    survival = study.card.get("survival")
    if survival:
        ledger.add(
            f"{{value:.0f}} events ({survival['endpoint']})",
            Cell(table=TABLE, row={**key, "variable": survival["event"], "statistic": "events"}, column="value"),
            unit="events",
        )
    gaps = study.samples.isna().sum()
    if len(gaps) and gaps.max() > 0:
        name = str(gaps.idxmax())
        ledger.add(
            f"{name} is the least complete column: {{value:.0f}} of {len(quality)} samples miss it",
            Cell(table=TABLE, row={**key, "variable": name, "statistic": "missing"}, column="value"),
            unit="samples",
        )
    for sample in quality.loc[quality["outlier"], "sample"].head(5):
        ledger.add(
            "Sample {sample} lies far from the others (PC1 {pc1:.1f}, PC2 {pc2:.1f}): look before use",
            Cell(table=QUALITY, row={"sample": str(sample)}, column="pc1"),
        )
    return ledger.write()
