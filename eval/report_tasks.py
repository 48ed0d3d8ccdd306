"""Tasks and findings as the report shows them.

A finding counts only when its task reached level 3 and its table, unchanged, still holds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.domain import Attempt, Task, TaskResult
from labwright.eval.report_files import RunFiles
from labwright.eval.report_quotes import anchor
from labwright.eval.report_tables import (
    FigureView,
    TableView,
    cell_anchor,
    figure_view,
    output_file,
    same,
    table_view,
    unchanged,
)
from labwright.store import file_name
from labwright.tools.analysis.contract_types import OperatorContract
from labwright.tools.analysis.contracts import OPERATORS

LEVELS = {
    0: "The script did not run to its end, or did not run at all.",
    1: "The script ended without an error (exit code 0), but a declared output is missing.",
    2: "Every declared output was written, but at least one check on them failed.",
    3: "Every output passed its checks, and the script was seen to read its declared inputs.",
}
LOG_LINES = 200
SCRIPT_CHARS = 40_000
LINE_CHARS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """One finding and where its number comes from."""

    id: str
    statement: str
    value: str
    unit: str
    file: str
    where: str
    """The cell in words."""
    script: str
    """Anchor of the script."""
    cell: str
    """Anchor of the cell, or of the table when two findings share a cell."""
    fault: str
    """Why it is not shown as a result; empty when it is."""


@dataclass(frozen=True, slots=True)
class OutputView:
    """An output file by name, recorded hash, and whether the file on disk still has it."""

    name: str
    sha256: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One attempt, with its own script and log where it is not the one that counts."""

    attempt: Attempt
    best: bool
    script: str
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task."""

    task: Task
    result: TaskResult | None
    anchor: str
    script_anchor: str
    title: str
    contract: OperatorContract | None
    changed: dict[str, tuple[str, str]]
    """Parameter to its planned and its final value, where they differ."""
    script: str | None
    log: str | None
    attempts: list[AttemptView]
    best: Attempt | None
    figures: list[FigureView]
    tables: list[TableView]
    others: list[tuple[str, str]]
    outputs: list[OutputView]
    findings: list[FindingView]

    @property
    def verified(self) -> bool:
        """Level 3, the only success."""
        return self.result is not None and self.result.level == 3

    @property
    def state(self) -> str:
        """How it ended, in a few words."""
        if self.result is None:
            return "not run"
        if self.result.skipped:
            return "failed (skipped)"
        return "verified" if self.result.level == 3 else "failed"

    @property
    def results(self) -> list[FindingView]:
        """Findings that count."""
        return [f for f in self.findings if not f.fault]


def task_views(files: RunFiles) -> list[TaskView]:
    """Every task of the run, in the order of the protocol."""
    return [task_view(files, task) for task in files.tasks()]


def task_view(files: RunFiles, planned: Task) -> TaskView:
    """One task, as the list of tasks plans it."""
    task, result = files.task_as_run(planned), files.result(planned.id)
    contract = OPERATORS.get(task.operator)
    best = max(result.attempts, key=lambda a: (a.level, a.number)) if result and result.attempts else None
    folder = files.folder / "tasks" / file_name(task.id) / "outputs"
    found = list(result.findings) if result is not None and result.level == 3 else []
    recorded = best.outputs if best is not None else {}
    paths = {name: output_file(folder, name) for name in recorded}
    tables = [table_view(paths[n], n, task.id, found) for n in sorted(recorded) if n.endswith(".csv")]
    outputs = [OutputView(n, recorded[n], unchanged(paths[n], recorded[n])) for n in sorted(recorded)]
    figures = [n for n in sorted(recorded) if n.casefold().endswith((".png", ".jpg", ".jpeg"))]
    # The findings of a failed task are not repeated, not even as the file that holds them.
    hidden = () if result is not None and result.level == 3 else ("findings.json",)
    others = [n for n in sorted(recorded) if n.endswith((".json", ".txt")) and n not in hidden]
    return TaskView(
        task=task,
        result=result,
        anchor=anchor("task", task.id),
        script_anchor=anchor("script", task.id),
        title=contract.title if contract else task.operator or "Free script",
        contract=contract,
        changed=_changed(planned.parameters, task.parameters),
        script=_clipped(files.text("tasks", file_name(task.id), "script.py")),
        log=_tail(files.text("tasks", file_name(task.id), "log.txt")),
        attempts=_attempts(files, task.id, result, best),
        best=best,
        figures=[figure_view(paths[n], n) for n in figures],
        tables=tables,
        others=[(n, _shown(paths[n])) for n in others],
        outputs=outputs,
        findings=_findings(task.id, found, tables, outputs),
    )


def _changed(planned: Mapping[str, Any], final: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    names = [*planned, *(name for name in final if name not in planned)]
    return {n: (str(planned.get(n)), str(final.get(n))) for n in names if planned.get(n) != final.get(n)}


def _attempts(files: RunFiles, task: str, result: TaskResult | None, best: Attempt | None) -> list[AttemptView]:
    views = []
    for attempt in result.attempts if result is not None else ():
        counts = best is not None and attempt.number == best.number
        # The one that counts is shown as the task's script and log.
        script = "" if counts else files.text("tasks", file_name(task), file_name(attempt.script))
        log = "" if counts else files.text("tasks", file_name(task), f"attempt-{attempt.number}.log")
        views.append(AttemptView(attempt=attempt, best=counts, script=_clipped(script) or "", log=_tail(log) or ""))
    return views


def _findings(
    task: str, found: list[dict[str, Any]], tables: list[TableView], outputs: list[OutputView]
) -> list[FindingView]:
    by_name = {table.name: table for table in tables}
    states = {output.name: output.state for output in outputs}
    views = []
    for finding in found:
        name, table = str(finding.get("id")), by_name.get(str(finding.get("file")))
        shown = {cell.anchor for row in table.rows for cell in row.cells if cell.anchor} if table else set()
        cell = cell_anchor(task, name)
        views.append(
            FindingView(
                id=name,
                statement=str(finding.get("statement", "")),
                value=_number(finding.get("value")),
                unit=str(finding.get("unit") or ""),
                file=str(finding.get("file", "")),
                where=_place(finding.get("where")),
                script=anchor("script", task),
                cell=cell if cell in shown else table.anchor if table else "",
                fault=_fault(finding, table, states),
            )
        )
    return views


def _fault(finding: Mapping[str, Any], table: TableView | None, states: Mapping[str, str]) -> str:
    if table is None or table.fault:
        return "its table cannot be read"
    if str(finding.get("id")) not in table.held:
        return "its table has no such cell"
    if not same(table.held[str(finding["id"])], finding.get("value")):
        return f"its cell holds {table.held[str(finding['id'])]!r}"
    if states.get(table.name) != "as recorded":
        return f"its table was {states.get(table.name, 'not recorded')}"
    return ""


def _place(where: object) -> str:
    if not isinstance(where, Mapping) or not isinstance(where.get("row"), Mapping):
        return ""
    row = ", ".join(f"{column} = {value}" for column, value in where["row"].items())
    return f"column {where.get('column')}, row {row}"


def _number(value: object) -> str:
    """A value for reading: four significant digits; the statement and the table hold the rest."""
    return f"{value:.4g}" if isinstance(value, float) else "missing" if value is None else str(value)


def _tail(text: str | None) -> str | None:
    """The last 200 lines, long ones cut."""
    if text is None:
        return None
    lines = text.splitlines()
    left = [f"[{len(lines) - LOG_LINES} lines left out]"] if len(lines) > LOG_LINES else []
    return "\n".join([*left, *(line[:LINE_CHARS] for line in lines[-LOG_LINES:])])


def _clipped(text: str | None) -> str | None:
    if text is None or len(text) <= SCRIPT_CHARS:
        return text
    return f"{text[:SCRIPT_CHARS]}\n[{len(text) - SCRIPT_CHARS} characters left out]"


def _shown(path: Path | None) -> str:
    if path is None:
        return "(the file is missing)"
    with path.open(encoding="utf-8", errors="replace") as stream:
        text = stream.read(200_000)
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    lines = text.splitlines()
    return "\n".join([line[:LINE_CHARS] for line in lines[:120]] + (["[...]"] if len(lines) > 120 else []))
