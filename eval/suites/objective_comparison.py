"""From raw rows of cells to comparisons between workflows. Higher is better throughout.

A row stands for one run. An objective is complete for a workflow when every seed is there that the workflow was to
have; only complete objectives enter a comparison, so that an interrupted table compares like with like.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from labwright.config import DEFAULT_MODEL
from labwright.eval.intervals import Share
from labwright.eval.protocol_findings import METRICS
from labwright.eval.suites.cell_work import KIND
from labwright.eval.suites.figures import Row
from labwright.eval.suites.objective_cells import BASELINES, DEFAULT_SEEDS, NO_MODEL, OURS

LEAST_VALID = 0.5
"""A workflow of which less than this share of tool calls is valid is no comparator: it could not use the tools."""
RESAMPLES = 2000
"""Of every bootstrap on rows of the table."""
Points = Literal["code", "judged"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A workflow that is no comparator, and why."""

    workflow: str
    share: float
    n: int

    @property
    def reason(self) -> str:
        """In words."""
        return f"{self.share:.2f} of its {self.n} tool calls were valid, below {LEAST_VALID:g}"


def cells_of(rows: Sequence[Row], model: str | None = None) -> list[Row]:
    """Rows of cells, each cell once, of one model and of workflows that ask none.

    Args:
        rows: raw rows.
        model: whose; None for `main_model`.
    """
    model = main_model(rows) if model is None else model
    found = {r["name"]: r for r in rows if r["kind"] == KIND and r["model"] in (model, NO_MODEL)}
    return list(found.values())


def main_model(rows: Sequence[Row]) -> str:
    """The default model when ours was run with it, else that of most of our cells, else of most; empty without any."""
    models = [r["model"] for r in rows if r["kind"] == KIND and r["workflow"] == OURS]
    models = models or [r["model"] for r in rows if r["kind"] == KIND and r["model"] != NO_MODEL]
    count: Counter[str] = Counter(models)
    if DEFAULT_MODEL in count or not count:
        return DEFAULT_MODEL if count else ""
    return max(sorted(count), key=lambda name: count[name])


def runs_of(cells: Sequence[Row], workflow: str) -> dict[str, list[Row]]:
    """Objective to the runs of a workflow, complete objectives only."""
    of: dict[str, list[Row]] = {}
    for row in cells:
        if row["workflow"] == workflow:
            of.setdefault(row["objective"], []).append(row)
    seen = {row["seed"] for runs in of.values() for row in runs}
    needed = seen & set(range(DEFAULT_SEEDS.get(workflow, 1)))
    return {name: runs for name, runs in of.items() if needed <= {r["seed"] for r in runs}}


def share_of(row: Row) -> Share:
    """Entries of both frozen lists that a run meets, of all."""
    verdicts = [*row["outputs"].values(), *row["gold"].values()]
    return Share(sum(verdicts), len(verdicts))


def rates(runs: Mapping[str, Sequence[Row]]) -> dict[str, float]:
    """Objective to the mean rate of its runs, in [0, 1]."""
    return {name: statistics.fmean(r["level3_gold"] for r in each) for name, each in runs.items()}


def tool_calls(cells: Sequence[Row], workflow: str) -> Share:
    """Valid tool calls of all of a workflow; of a workflow without a model there are none."""
    mine = [r for r in cells if r["workflow"] == workflow]
    return Share(sum(r["calls_valid"] for r in mine), sum(r["calls_total"] for r in mine))


def comparators(cells: Sequence[Row]) -> tuple[list[str], list[LeftOut]]:
    """Workflows that ours is compared with, and those left out with the reason."""
    kept, out = [], []
    for workflow in BASELINES:
        if not any(r["workflow"] == workflow for r in cells):
            continue
        valid = tool_calls(cells, workflow)
        if valid.n and valid.hits / valid.n < LEAST_VALID:
            out.append(LeftOut(workflow, valid.hits / valid.n, valid.n))
        else:
            kept.append(workflow)
    return kept, out


def paired(cells: Sequence[Row], base: str) -> tuple[dict[str, float], dict[str, float]]:
    """Rates of ours and of a baseline, on the objectives that are complete for both."""
    ours, theirs = rates(runs_of(cells, OURS)), rates(runs_of(cells, base))
    both = sorted(ours.keys() & theirs.keys())
    return {name: ours[name] for name in both}, {name: theirs[name] for name in both}


def quality_of(runs: Sequence[Row], points: Points) -> list[float] | None:
    """The five metrics, 1 to 5, each the mean over the runs that have a protocol; None where one cannot be given."""
    columns = []
    for metric in METRICS:
        values = [r["quality"][metric][points] for r in runs if r["quality"]]
        found = [v for v in values if v is not None]
        if not found or (points == "judged" and not all(r["judge"] for r in runs if r["quality"])):
            return None
        columns.append(statistics.fmean(found))
    return columns


def qualities(
    cells: Sequence[Row], bases: Sequence[str], points: Points
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """The five metrics of ours and of the mean of the baselines, by objective.

    An objective is there when it is complete for ours and for every baseline, ours has points, and a baseline has.
    A run without a protocol has no points: it lowers nobody's mean, which favours workflows that often write none.
    """
    of = {workflow: runs_of(cells, workflow) for workflow in (OURS, *bases)}
    complete = set.intersection(*(set(runs) for runs in of.values()))
    ours: dict[str, list[float]] = {}
    base: dict[str, list[float]] = {}
    for name in sorted(complete):
        mine = quality_of(of[OURS][name], points)
        found = [q for workflow in bases if (q := quality_of(of[workflow][name], points)) is not None]
        if mine is not None and found:
            ours[name] = mine
            base[name] = [statistics.fmean(column) for column in zip(*found, strict=True)]
    return ours, base
