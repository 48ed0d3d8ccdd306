"""What labwright's own plots show, from the tables behind them: what a reading of a plot is checked against.

A fact that the tables do not hold is not made up; its field is not asked.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.agents.figures import DIRECTIONS, KINDS, Field

CLEAR = 0.2
"""Difference of observed over expected events from which curves lie apart."""
AXES: Mapping[str, tuple[str, str]] = {
    "volcano plot": ("effect", "-log10 p"),
    "forest plot": ("hazard ratio, log scale", "covariate"),
    "bar chart": ("-log10 FDR", "gene set"),
    "scatter plot": ("first principal component", "second principal component"),
}
"""Kind to what is on its axes."""
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """One plot of a task, its legend, and what is known of its content."""

    file: str
    legend: str
    truth: Mapping[str, str]
    """Field to what is right."""

    def fields(self) -> list[Field]:
        """The questions, each with the right option among others."""
        return [Field(name, _options(name, right, self.file)) for name, right in self.truth.items()]


def facts_of(operator: str, outputs: Path, card: Mapping[str, Any]) -> list[Facts]:
    """The plots of a task that something is known of.

    Args:
        operator: of the task.
        outputs: folder of the verified outputs.
        card: the data set.
    """
    make = MAKERS.get(operator)
    return [] if make is None else [found for found in make(outputs, card) if (outputs / found.file).is_file()]


def _options(name: str, right: str, file: str) -> tuple[str, ...]:
    draw = random.Random(f"{file}:{name}:{right}")  # noqa: S311  (an order, not a secret)
    if name == "kind":
        away = [k for k in KINDS if k != right]
    elif name == "direction":
        away = [d for d in DIRECTIONS if d != right]
    elif name == "groups":
        away = [str(n) for n in range(1, 9) if str(n) != right]
    elif name == "n":
        away = sorted({str(round(int(right) * f)) for f in (0.5, 0.8, 1.25, 2.0)} - {right, "0"})
    else:
        away = sorted({text for pair in AXES.values() for text in pair} | {"time", "share without the event"} - {right})
    away = [option for option in away if option != right]
    options = [right, *draw.sample(away, min(3, len(away)))]
    draw.shuffle(options)
    return tuple(options)


def _rows(path: Path) -> list[Row]:
    """A table of a task; empty where there is none."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _survival(outputs: Path, card: Mapping[str, Any]) -> list[Facts]:
    rows = _rows(outputs / "survival_curves.csv")
    if len(rows) < 2:
        return []
    truth = {"kind": "survival curves", "x": "time", "y": "share without the event", "groups": str(len(rows)),
             "n": str(sum(int(float(r["n"])) for r in rows))}  # fmt: skip
    first, last = (float(rows[i]["observed_expected"]) for i in (0, -1))
    # More events than expected in the last group: its curve lies lower.
    truth["direction"] = "falls" if last - first > CLEAR else "rises" if first - last > CLEAR else "neither"
    groups = ", ".join(r["group"] for r in rows)
    return [Facts("survival_curves.png", f"Kaplan-Meier estimates. Groups: {groups}.", truth)]


def _plain(kind: str, file: str, legend: str, table: str = "") -> Callable[[Path, Mapping[str, Any]], list[Facts]]:
    """A plot whose kind and axes are known, and where a table is named, how many rows it shows."""

    def make(outputs: Path, card: Mapping[str, Any]) -> list[Facts]:
        x, y = AXES[kind]
        truth = {"kind": kind, "x": x, "y": y}
        if table and (rows := _rows(outputs / table)):
            truth["n"] = str(len(rows))
        return [Facts(file, legend, truth)]

    return make


MAKERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Sequence[Facts]]] = {
    "survival_curves": _survival,
    "cox_regression": _plain("forest plot", "cox_regression.png", "Hazard ratios with 95 % intervals."),
    "prognostic_features": _plain("volcano plot", "prognostic_features.png", "One point a gene."),
    "differential_expression": _plain("volcano plot", "volcano.png", "One point a gene."),
    "gene_set_enrichment": _plain("bar chart", "gene_set_enrichment.png", "Gene sets with the clearest shift."),
    "cluster_samples": _plain("scatter plot", "clusters.png", "Samples, coloured by cluster.", "clusters.csv"),
    "drug_association": _plain("volcano plot", "drug_association.png", "One point a drug or alteration."),
}
"""Operator to its plots."""
