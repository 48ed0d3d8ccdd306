"""What an operator works on: a converted data set, a folder for its outputs, a seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

MIN_GROUP = 3
"""Least samples of a group that is compared."""


@dataclass(frozen=True)
class Study:
    """One data set opened for one analysis."""

    data: Path
    """Folder with `samples.parquet`, `card.json` and, where there are features, `matrix.parquet`."""
    out: Path
    """Existing folder that receives the outputs."""
    seed: int = 0
    """Seed of everything random."""
    upstream: Path | None = None
    """Outputs of the task before, where an operator needs them."""
    gene_sets: Path | None = None
    """Folder of a GMT file, where an operator needs gene sets."""

    @cached_property
    def card(self) -> dict[str, Any]:
        """Description and counts of the data set."""
        loaded: dict[str, Any] = json.loads((self.data / "card.json").read_text(encoding="utf-8"))
        return loaded

    @cached_property
    def samples(self) -> pd.DataFrame:
        """Clinical and group columns, a row per sample, indexed by sample name."""
        return pq.read_table(self.data / "samples.parquet").to_pandas().set_index("sample")

    @cached_property
    def matrix(self) -> pd.DataFrame:
        """Features by samples as stored: counts for RNA-seq, log values else; may hold missing values."""
        path = self.data / "matrix.parquet"
        if not path.is_file():
            raise ValueError(f"{self.card['id']} has no matrix of features; choose a data set with expression")
        return pq.read_table(path).to_pandas().set_index("feature")

    @cached_property
    def expression(self) -> pd.DataFrame:
        """Features by samples on a log scale; counts become log2(CPM + 1), a missing value its feature's median."""
        matrix = self.matrix.astype(float)
        if self.card["kind"] == "rnaseq_counts":
            matrix = np.log2(matrix / matrix.sum(axis=0) * 1e6 + 1.0)
        if matrix.isna().to_numpy().any():
            matrix = matrix.T.fillna(matrix.median(axis=1)).T
        return matrix

    @cached_property
    def alterations(self) -> pd.DataFrame:
        """Alterations by samples, 0 or 1."""
        path = self.data / "alterations.parquet"
        if not path.is_file():
            raise ValueError(f"{self.card['id']} has no genomic alterations; choose a drug response data set")
        return pq.read_table(path).to_pandas().set_index("alteration")

    def outcome(self) -> pd.DataFrame:
        """Follow-up of the samples that have it.

        Returns:
            Columns `time` and `event` (0 or 1), indexed by sample.

        Raises:
            ValueError: the data set has no follow-up.
        """
        survival = self.card.get("survival")
        if not survival:
            raise ValueError(f"{self.card['id']} has no follow-up time and event; choose a survival data set")
        frame = self.samples[[survival["time"], survival["event"]]].set_axis(["time", "event"], axis=1)
        return frame.dropna().astype(float)

    def labels(self, column: str, *, least: int = MIN_GROUP) -> pd.Series:
        """Levels of a grouping column, without missing values and levels that are too small.

        Args:
            column: name of a categorical column.
            least: smallest level kept.

        Returns:
            Level by sample name.

        Raises:
            ValueError: no such column, or fewer than two levels are left.
        """
        groups = self.card["groups"]
        if column not in groups:
            raise ValueError(f"no grouping column {column!r}; the data set has {', '.join(groups) or 'none'}")
        labels = self.samples[column].dropna().astype(str)
        counts = labels.value_counts()
        kept = labels[labels.map(counts) >= least]
        if kept.nunique() < 2:
            raise ValueError(f"column {column!r} has fewer than two levels of {least} samples ({counts.to_dict()})")
        return kept

    def levels(self, column: str, labels: pd.Series) -> list[str]:
        """Levels of a column that occur in `labels`, in the order of the card.

        Args:
            column: name of a categorical column.
            labels: as `labels` returns them.

        Returns:
            Level names, reference level first.
        """
        present = set(labels)
        return [level for level in self.card["groups"][column] if level in present]

    def feature(self, name: str) -> pd.Series:
        """Values of one feature by sample name.

        Args:
            name: a row of the matrix.

        Returns:
            The values on a log scale.

        Raises:
            ValueError: the feature is not in the data; close names are suggested.
        """
        if name not in self.expression.index:
            near = [other for other in self.expression.index if name.lower() in str(other).lower()][:5]
            hint = f"; near: {', '.join(near)}" if near else "; see features.txt of the data set"
            raise ValueError(f"feature {name!r} is not in {self.card['id']}{hint}")
        return self.expression.loc[name]


def open_study(
    data: str | Path,
    out: str | Path = ".",
    *,
    upstream: str | Path | None = None,
    gene_sets: str | Path | None = None,
    seed: int = 0,
) -> Study:
    """Open a converted data set for analysis.

    Args:
        data: folder of the converted data set.
        out: folder for the outputs; made if absent.
        upstream: folder with the outputs of the task before.
        gene_sets: folder of a GMT file.
        seed: seed of everything random.

    Returns:
        The study that every operator takes first.

    Raises:
        ValueError: the folder holds no converted data set.
    """
    folder, target = Path(data), Path(out)
    if not (folder / "samples.parquet").is_file() or not (folder / "card.json").is_file():
        raise ValueError(f"{folder} holds no converted data set (samples.parquet and card.json are needed)")
    target.mkdir(parents=True, exist_ok=True)
    return Study(
        data=folder,
        out=target,
        seed=seed,
        upstream=Path(upstream) if upstream else None,
        gene_sets=Path(gene_sets) if gene_sets else None,
    )
