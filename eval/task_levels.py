"""How many of a run's dry steps succeeded, by its own protocol, at each of three levels.

Level 1: the script exited 0. Level 2: every declared output is there as well. Level 3: every output is valid and the
declared inputs were read; the made-up data of a script ends at level 2 (agents/programming.py judges). Only level 3 is
success. Every dry step of the protocol counts: one that became no task, was skipped or never ended has failed.
A run's own protocol is not a fixed yardstick, since a run that plans less can succeed with more of it; for a
comparison between systems use the frozen lists of eval/execution.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labwright.domain import Level, Step, Task
from labwright.eval.report_files import RunFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One dry step as it was carried out, or was not."""

    step: str
    task: str
    """Empty for a step that became no task."""
    level: Level
    attempts: int
    """Scripts that were run for it."""
    skipped: bool = False
    ended: bool = False
    """It has a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLevels:
    """Dry steps of a run, and how many of them reached each level; a level includes those above it."""

    dry: int
    exited: int
    """Level 1 or more: exit code 0."""
    present: int
    """Level 2 or more: every declared output is there."""
    valid: int
    """Level 3: success."""
    skipped: int
    not_run: int
    """Became no task, or their task has no result."""

    @property
    def rate(self) -> float:
        """Share of the dry steps that succeeded, in [0, 1]; 0 for a run that planned none, for it has done nothing."""
        return self.valid / self.dry if self.dry else 0.0


def units_of(files: RunFiles) -> list[Unit]:
    """Every dry step of a run's protocol, in its order, then tasks that belong to no step of it.

    Args:
        files: of any run; what is absent or damaged counts as not done, and stands in `files.faults`.
    """
    tasks = files.tasks()
    protocol = files.protocol()
    dry = [step for part in (protocol.parts if protocol else ()) for step in part.steps if step.kind != "wet"]
    by_step: dict[str, list[Task]] = {}
    for task in tasks:
        by_step.setdefault(task.step, []).append(task)
    found = [unit for step in dry for unit in _of_step(files, step, by_step.pop(step.id, []))]
    return [*found, *(_carried_out(files, task) for left in by_step.values() for task in left)]


def _of_step(files: RunFiles, step: Step, tasks: Sequence[Task]) -> list[Unit]:
    if not tasks:
        return [Unit(step=step.id, task="", level=0, attempts=0)]
    return [_carried_out(files, task) for task in tasks]


def _carried_out(files: RunFiles, task: Task) -> Unit:
    result = files.result(task.id)
    if result is None:
        return Unit(step=task.step, task=task.id, level=0, attempts=0)
    return Unit(
        step=task.step,
        task=task.id,
        level=0 if result.skipped else result.level,
        attempts=len(result.attempts),
        skipped=bool(result.skipped),
        ended=True,
    )


def levels_of(units: Sequence[Unit]) -> TaskLevels:
    """The counts over a run's dry steps."""
    return TaskLevels(
        dry=len(units),
        exited=sum(u.level >= 1 for u in units),
        present=sum(u.level >= 2 for u in units),
        valid=sum(u.level == 3 for u in units),
        skipped=sum(u.skipped for u in units),
        not_run=sum(not u.ended for u in units),
    )
