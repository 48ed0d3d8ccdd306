"""What a run answers to an objective: its verified analyses against the objective's frozen lists.

The score of a run is (required outputs at level 3 + gold properties that hold) / (size of both lists), in [0, 1],
higher is better. What was not attempted counts as failed, and nothing below level 3 counts at all: a script that
only exited 0, wrote files that no check accepted, or made up its data, has produced no artefact.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.domain import Task, TaskResult
from labwright.errors import RunFailed
from labwright.eval.objective_file import FindingCheck, Gold, ObjectiveFile, Range, RequiredOutput, TableCheck
from labwright.store import RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """One verified (level 3) analysis."""

    operator: str
    dataset: str
    parameters: Mapping[str, Any]
    outputs: Path
    """Folder with the output files."""
    types: frozenset[str]
    """Types of its declared outputs: table, figure, json."""
    findings: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Which required outputs are there and which gold properties hold, by id, in the order of the lists."""

    outputs: dict[str, bool]
    gold: dict[str, bool]

    @property
    def rate(self) -> float:
        """Share of both lists that is met, in [0, 1]."""
        every = [*self.outputs.values(), *self.gold.values()]
        return sum(every) / len(every)


def artefacts_of(run_folder: Path) -> list[Artefact]:
    """The verified analyses of a run, in the order of their task folders' names.

    Args:
        run_folder: of any run, finished or not.

    Raises:
        RunFailed: a task's file is missing or damaged.
    """
    store, found = RunStore(run_folder), []
    for path in sorted((run_folder / "tasks").glob("*/result.json")):
        task = store.read(path.with_name("task.json"), Task)
        result = store.read(path, TaskResult)
        if result.level == 3:
            found.append(_artefact(task, result, path.parent / "outputs"))
    return found


def _artefact(task: Task, result: TaskResult, outputs: Path) -> Artefact:
    return Artefact(
        operator=task.operator,
        dataset=task.datasets[0],
        parameters=task.parameters,
        outputs=outputs,
        types=frozenset(o.type for o in task.outputs),
        findings=result.findings,
    )


def verdicts(objective: ObjectiveFile, artefacts: Sequence[Artefact]) -> Verdicts:
    """Judge verified analyses against an objective's lists; one analysis may meet several entries.

    Args:
        objective: with its lists.
        artefacts: of one run; none is a valid answer, and scores 0.

    Raises:
        RunFailed: a table lacks a column that a gold check names: the objective is out of date.
    """
    artefacts = [a for a in artefacts if a.dataset in objective.datasets_allowed]  # no answer from other data
    return Verdicts(
        outputs={o.id: any(_is(a, o) for a in artefacts) for o in objective.required_outputs},
        gold={g.id: _holds(g, artefacts) for g in objective.gold},
    )


def _is(artefact: Artefact, wanted: RequiredOutput) -> bool:
    return artefact.operator in wanted.operator and artefact.dataset in wanted.dataset and wanted.type in artefact.types


def _holds(gold: Gold, artefacts: Sequence[Artefact]) -> bool:
    """Whether any verified output meets the property."""
    check = gold.check
    if isinstance(check, FindingCheck):
        return any(_found(finding, check) for a in artefacts for finding in a.findings)
    paths = [a.outputs / check.table for a in artefacts]
    return any(_table_meets(path, check) for path in paths if path.is_file())


def _found(finding: Mapping[str, Any], check: FindingCheck) -> bool:
    value = finding["value"]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return finding["id"] == check.finding and number and check.low <= value <= check.high


def _table_meets(path: Path, check: TableCheck) -> bool:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    absent = {check.column, *check.where} - set(rows[0] if rows else ())
    if rows and absent:
        raise RunFailed(f"{path.name} has no column {min(absent)!r}; the objective's gold check is out of date")
    fitting = [row for row in rows if all(_cell_fits(row[name] or "", value) for name, value in check.where.items())]
    held = {str(row[check.column]).upper() for row in fitting[: check.n]}
    return len(held & {wanted.upper() for wanted in check.any_of}) >= check.min_hits


def _cell_fits(cell: str, wanted: str | Range) -> bool:
    """A cell equals a text, lies on a side of zero ("positive", "negative"), or in a range."""
    if isinstance(wanted, Range):
        return wanted.above <= _number(cell) <= wanted.below
    if wanted in ("positive", "negative"):
        return _number(cell) > 0 if wanted == "positive" else _number(cell) < 0
    return cell == wanted


def _number(cell: str) -> float:
    """A cell's number; what is none lies in no range."""
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan
