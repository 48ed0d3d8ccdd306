"""What the reference scripts share: reading a data set and writing an analysis. No statistics of labwright, no import of it.

A reference script answers its objective with SciPy, statsmodels, lifelines and scikit-learn alone. It runs in a
folder that it may write to, with its data sets under /in (or under LABWRIGHT_DATA_ROOT outside a sandbox).
"""

import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: the models are small, threads would wait for one another

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import false_discovery_control

ROOT = Path(os.environ.get("LABWRIGHT_DATA_ROOT", "/in"))


class Data:
    """One data set: its card, a row per sample, and features by samples where there are any."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.card = json.loads((ROOT / name / "card.json").read_text(encoding="utf-8"))
        self.samples = pd.read_parquet(ROOT / name / "samples.parquet").set_index("sample")
        path = ROOT / name / "matrix.parquet"
        self.matrix = pd.read_parquet(path).set_index("feature") if path.is_file() else None

    def log_expression(self) -> pd.DataFrame:
        """Features by samples; a missing value takes the median of its feature."""
        values = self.matrix.astype(float)
        return values.apply(lambda row: row.fillna(row.median()), axis=1) if values.isna().any(axis=None) else values

    def alterations(self) -> pd.DataFrame:
        """Alterations by samples, 0 or 1."""
        table = pd.read_parquet(ROOT / self.name / "alterations.parquet").set_index("alteration")
        return table[self.matrix.columns]

    def follow_up(self) -> pd.DataFrame:
        """Columns time and event of the samples that have both."""
        about = self.card["survival"]
        frame = self.samples[[about["time"], about["event"]]].astype(float).dropna()
        return frame.set_axis(["time", "event"], axis=1)

    def groups(self, column: str, least: int = 3) -> pd.Series:
        """Level by sample, without missing values and levels of fewer than `least` samples."""
        labels = self.samples[column].dropna().astype(str)
        return labels[labels.groupby(labels).transform("size") >= least]


class Analysis:
    """The folder of one analysis: tables, a figure, findings, and what was analysed how."""

    def __init__(self, operator: str, data: Data, **parameters: object) -> None:
        self.operator, self.data = operator, data
        self.folder = Path(operator)
        self.folder.mkdir()
        self.findings: list[dict[str, object]] = []
        about = {"operator": operator, "dataset": data.name, "parameters": parameters}
        (self.folder / "analysis.json").write_text(json.dumps(about), encoding="utf-8")

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table with ten digits."""
        frame.to_csv(self.folder / name, index=False, float_format="%.10g")

    def figure(self, name: str, figure: Figure) -> None:
        """Write a figure, 800 pixels wide or more."""
        figure.tight_layout()
        figure.savefig(self.folder / name, dpi=110)
        plt.close(figure)

    def find(self, name: str, row: dict[str, str], column: str, text: str) -> None:
        """State the value of one cell, read back from the table as it was written."""
        table = pd.read_csv(self.folder / name, keep_default_na=False, na_values=[""])
        chosen = table[np.logical_and.reduce([table[key].astype(str) == value for key, value in row.items()])]
        value = chosen[column].item()
        where = {"row": row, "column": column}
        statement = f"{text}: {column} {value:.3g}"
        self.findings.append(
            {"id": f"{self.operator}_{len(self.findings) + 1}", "statement": statement, "value": value, "unit": "",
             "file": name, "where": where, "direction": "none"}
        )  # fmt: skip

    def close(self, n: int) -> None:
        """Write the findings of an analysis of `n` samples."""
        document = {"operator": self.operator, "dataset": self.data.name, "n": n, "findings": self.findings}
        (self.folder / "findings.json").write_text(json.dumps(document), encoding="utf-8")


def adjusted(p: pd.Series) -> np.ndarray:
    """Benjamini and Hochberg's adjustment of the p values that are there."""
    result = np.full(len(p), np.nan)
    known = p.notna().to_numpy()
    result[known] = false_discovery_control(p[known])
    return result


def components(values: pd.DataFrame, most: int = 20) -> np.ndarray:
    """Principal component scores of the samples on the 2,000 most variable features, each of unit variance."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    spread = values.var(axis=1)
    chosen = values.loc[spread[spread > 0].nlargest(2000).index].T
    number = min(most, chosen.shape[0] - 1, chosen.shape[1] - 1)
    return PCA(number, svd_solver="full").fit_transform(StandardScaler().fit_transform(chosen))


def volcano(x: pd.Series, p: pd.Series, label: str) -> Figure:
    """Effect against -log10 p."""
    figure, axis = plt.subplots(figsize=(8, 5.5))
    height = -np.log10(p.astype(float).clip(lower=1e-300))
    points = axis.scatter(x, height, c=height, s=12, cmap="viridis")
    figure.colorbar(points, label="-log10 p")
    axis.axvline(0, color="grey", lw=0.8)
    axis.set(xlabel=label, ylabel="-log10 p")
    return figure


def describe(data: Data, column: str | None = None) -> None:
    """Table 1 by groups, and the quality of the samples."""
    out = Analysis("cohort_summary", data, **({"group_column": column} if column else {}))
    parts = {"all": data.samples}
    if column:
        parts |= {
            level: part
            for level, part in data.samples.groupby(data.samples[column].astype(str))
            if level in data.card["groups"][column]
        }
    rows = [row for group, part in parts.items() for row in _table_one(data.card["columns"], part, group)]
    out.table("cohort_summary.csv", pd.DataFrame(rows, columns=["variable", "level", "group", "statistic", "value"]))
    quality = pd.DataFrame(
        {"sample": data.samples.index, "missing_columns": data.samples.isna().sum(axis=1).to_numpy()}
    )
    quality["outlier"] = False
    if data.matrix is not None:
        quality["total"] = data.matrix.sum(axis=0).to_numpy()
        scores = components(data.log_expression(), 2)
        for number in (0, 1):
            quality[f"pc{number + 1}"] = scores[:, number]
            distance = np.abs(scores[:, number] - np.median(scores[:, number]))
            quality["outlier"] |= (distance > 5 * 1.482602218505602 * np.median(distance)) & (len(quality) >= 20)
    out.table("sample_quality.csv", quality)
    share = data.samples.notna().mean() * 100
    figure, axis = plt.subplots(figsize=(8, 0.35 * len(share) + 4))
    axis.barh(share.index, share, color=plt.get_cmap("viridis")(np.linspace(0, 0.9, len(share))))
    axis.set(xlabel="Samples with a value (%)", xlim=(0, 105))
    out.figure("cohort_summary.png", figure)
    out.find("cohort_summary.csv", {"variable": "samples", "group": "all"}, "value", "Samples of the cohort")
    out.close(len(data.samples))


def _table_one(columns: dict[str, dict[str, str]], part: pd.DataFrame, group: str) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [("samples", "", group, "n", len(part))]
    for name, about in columns.items():
        rows.append((name, "", group, "missing", part[name].isna().sum()))
        if about["type"] == "categorical":
            rows += [
                (name, level, group, "n", n)
                for level, n in part[name].astype(object).dropna().astype(str).value_counts().items()
            ]
        elif about["type"] == "event":
            rows.append((name, "", group, "events", int(part[name].sum())))
        elif part[name].notna().any():
            numbers = part[name].astype(float).quantile([0.25, 0.5, 0.75])
            rows += [(name, "", group, label, q) for label, q in zip(("q1", "median", "q3"), numbers, strict=True)]
    return rows
