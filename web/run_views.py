"""A run folder as the pages show it, computed again only when the folder has changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.domain import Dataset, FigureReading, Picture, Protocol, RunRecord, Task, TaskResult
from labwright.eval.automation import automation_of, automation_rows
from labwright.eval.report_files import Choice, RunFiles
from labwright.eval.report_parts import (
    Literature,
    PartView,
    ReviewTable,
    literature,
    protocol_parts,
    review_tables,
    unsupported,
)
from labwright.eval.report_summary import Decisions, decisions
from labwright.eval.report_summary import models as models_of
from labwright.eval.report_tasks import TaskView, task_view
from labwright.tools.analysis.contracts import OPERATORS
from labwright.web.pages import segment

MOST_RUNS, MOST_TASKS = 12, 24
"""Runs and tasks whose pages are kept in memory."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as the list of a run shows it."""

    task: Task
    result: TaskResult | None
    title: str

    @property
    def state(self) -> str:
        """How it stands, in a word."""
        if self.result is None:
            return "not run"
        if self.result.skipped:
            return "skipped"
        return "verified" if self.result.level == 3 else "failed"

    @property
    def why(self) -> str:
        """Why it is not verified; empty when it is."""
        if self.result is None or self.result.level == 3:
            return ""
        last = self.result.attempts[-1] if self.result.attempts else None
        failed = [c.check for c in last.checks if not c.passed] if last else []
        return self.result.skipped or "; ".join(failed) or (last.error.splitlines()[-1] if last and last.error else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """Everything of a run but the inside of its tasks."""

    record: RunRecord
    protocol: Protocol | None
    parts: list[PartView]
    literature: Literature
    datasets: list[Dataset]
    dataset_choices: list[Choice]
    operator_choices: list[Choice]
    reviews: list[ReviewTable]
    tasks: list[TaskRow]
    pictures: list[Picture] | None
    """Of papers and of the objective, as a model read them; None without such a step."""
    figures: list[FigureReading] | None
    """Plots of the analyses, likewise."""
    decided: Decisions
    models: list[tuple[str, str, str, str]]
    automation: list[tuple[str, str]]
    n_unsupported: int
    report: bool
    """Whether the run has written its report."""
    faults: list[str]


def run_view(folder: Path) -> RunView:
    """Read a run folder in whatever state it is."""
    files = RunFiles(folder)
    record, protocol, found = files.record(), files.protocol(), literature(files)
    tasks = [TaskRow(task, files.result(task.id), _title(task)) for task in files.tasks()]
    at = {row.task.step: f"/runs/{record.id}/tasks/{segment(row.task.id)}" for row in tasks}
    parts = protocol_parts(protocol, found, at)
    return RunView(
        record=record,
        protocol=protocol,
        parts=parts,
        literature=found,
        datasets=files.datasets(),
        dataset_choices=files.choices("datasets", "_screening.json"),
        operator_choices=files.choices("analyses.json"),
        reviews=review_tables(files.reviews(), parts),
        tasks=tasks,
        pictures=files.pictures(),
        figures=files.figures(),
        decided=decisions(record, files.decided()),
        models=models_of(record),
        automation=automation_rows(automation_of(files)),
        n_unsupported=unsupported(parts),
        report=(folder / "report.html").is_file(),
        faults=list(dict.fromkeys(files.faults)),
    )


def _title(task: Task) -> str:
    contract = OPERATORS.get(task.operator)
    return contract.title if contract else task.operator or "Free script"


class Views:
    """Views of the runs that were looked at last."""

    def __init__(self) -> None:
        self._runs: OrderedDict[Path, tuple[Any, RunView]] = OrderedDict()
        self._tasks: OrderedDict[tuple[Path, str], tuple[Any, TaskView]] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, folder: Path) -> RunView:
        """The view of a run as its folder is now."""
        stamp = stamp_of(folder)
        with self._lock:
            kept = self._runs.get(folder)
            if kept is not None and kept[0] == stamp:
                self._runs.move_to_end(folder)
                return kept[1]
        view = run_view(folder)
        with self._lock:
            self._runs[folder] = (stamp, view)
            while len(self._runs) > MOST_RUNS:
                self._runs.popitem(last=False)
        return view

    def task(self, folder: Path, name: str) -> TaskView | None:
        """One task with its figures, tables, script and log; None when the run has no such task."""
        task = next((row.task for row in self.run(folder).tasks if row.task.id == name), None)
        if task is None:
            return None
        stamp = stamp_of(folder)
        with self._lock:
            kept = self._tasks.get((folder, name))
        if kept is not None and kept[0] == stamp:
            return kept[1]
        view = task_view(RunFiles(folder), task)
        with self._lock:
            self._tasks[folder, name] = (stamp, view)
            while len(self._tasks) > MOST_TASKS:
                self._tasks.popitem(last=False)
        return view


def stamp_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when a file of the run that is shown changes: names, times and sizes."""
    listed = [folder, *(folder / name for name in ("papers", "reports", "datasets", "reviews", "tasks"))]
    listed += [path for path in sorted((folder / "tasks").glob("*")) if path.is_dir()]
    found = []
    for path in (*listed, *folder.glob("*.json"), *folder.glob("*.sqlite*"), *folder.glob("tasks/*/result.json")):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((path.name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)
