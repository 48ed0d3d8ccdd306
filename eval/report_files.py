"""Reads a run folder in whatever state it is: an absent file is None, a damaged one is None and a fault.

Nothing here raises for what a run folder may hold, because the report is also written for runs that failed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from labwright.domain import (
    Analysis,
    Dataset,
    Decider,
    FigureReading,
    Objective,
    Paper,
    Picture,
    Protocol,
    Report,
    Review,
    RunRecord,
    Task,
    TaskResult,
)
from labwright.store import file_name

T = TypeVar("T")
DECISIONS = """
select c.record, d.decided_by, sum(d.fields) from decisions d left join calls c on c.key = d.name
group by json_extract(c.record, '$.role'), json_extract(c.record, '$.prompt'), d.decided_by
"""


SPENT = """
select count(*), coalesce(sum(json_extract(record, '$.evaluated_tokens')), 0),
  coalesce(sum(json_extract(record, '$.generated_tokens')), 0), coalesce(sum(json_extract(record, '$.usd')), 0.0)
from calls
"""


class Choice(BaseModel):
    """A data set or an analysis that was considered."""

    id: str
    title: str = ""
    similarity: float | None = None
    probability: float | None = None
    score: float | None = None
    chosen: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decided:
    """Values asked by one prompt of one role, by who decided them in the end."""

    role: str
    prompt: str
    by: dict[Decider, int]


@dataclass(frozen=True, slots=True)
class Spent:
    """Sums over the calls of a run."""

    calls: int
    evaluated_tokens: int
    generated_tokens: int
    usd: float


@dataclass(slots=True)
class RunFiles:
    """What a run folder holds, read once."""

    folder: Path
    faults: list[str] = field(default_factory=list)
    """Files that are there and cannot be read."""

    def text(self, *parts: str) -> str | None:
        """A text file as the run wrote it; bytes that are no UTF-8 become replacement characters."""
        path = self.folder.joinpath(*parts)
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.faults.append(f"{'/'.join(parts)}: {error.strerror or error}")
            return None

    def read(self, kind: type[T], *parts: str) -> T | None:
        """A JSON file as a typed thing."""
        text = self.text(*parts)
        if text is None:
            return None
        try:
            return TypeAdapter(kind).validate_json(text)
        except ValidationError as error:
            self.faults.append(f"{'/'.join(parts)} is not what it should be ({error.error_count()} faults)")
            return None

    def record(self) -> RunRecord:
        """The record; a stand-in that says so when there is none."""
        found: RunRecord | None = self.read(RunRecord, "record.json")
        if found is not None:
            return found
        unknown = Objective(text="(unknown: record.json cannot be read)")
        message = "record.json is missing or damaged; what else the run folder holds is shown"
        return RunRecord(id=self.folder.name, objective=unknown, status="failed", message=message)

    def protocol(self) -> Protocol | None:
        """The protocol, or None."""
        return self.read(Protocol, "protocol.json")

    def reviews(self) -> list[Review]:
        """All reviews; before the protocol is assembled, those written so far."""
        whole = self.read(list[Review], "reviews.json")
        return whole if whole is not None else [r for loop in self._all(list[Review], "reviews") for r in loop]

    def choices(self, *parts: str) -> list[Choice]:
        """What was considered for a choice."""
        return self.read(list[Choice], *parts) or []

    def papers(self) -> list[Paper]:
        """Every paper found, in the order of the screening."""
        listed = self.read(list[Paper], "papers", "_screening.json") or []
        stored = {paper.id: paper for paper in self._all(Paper, "papers")}  # newer: what was obtained, and its standing
        known = {paper.id for paper in listed}
        found = [stored.get(paper.id, paper) for paper in listed]
        return [*found, *(paper for name, paper in stored.items() if name not in known)]

    def report(self, paper: str) -> Report | None:
        """What was read in a paper."""
        return self.read(Report, "reports", file_name(f"{paper}.json"))

    def analyses(self, paper: str) -> list[Analysis]:
        """How far the parts of a paper can be borrowed."""
        return self.read(list[Analysis], "reports", file_name(f"{paper}.analysis.json")) or []

    def document(self, paper: str) -> str | None:
        """The stored text that quotes of a paper point into."""
        return self.text("papers", file_name(f"{paper}.txt"))

    def datasets(self) -> list[Dataset]:
        """The data sets that were brought in."""
        return self._all(Dataset, "datasets")

    def tasks(self) -> list[Task]:
        """The tasks of the protocol; without their list, those that were begun."""
        listed = self.read(list[Task], "tasks", "_tasks.json")
        if listed is not None:
            return listed
        folders = sorted(path.parent.name for path in self.folder.glob("tasks/*/task.json"))
        begun = [self.read(Task, "tasks", folder, "task.json") for folder in folders]
        return [task for task in begun if task is not None]

    def task_as_run(self, task: Task) -> Task:
        """The task with the parameters it ended with."""
        return self.read(Task, "tasks", file_name(task.id), "task.json") or task

    def result(self, task: str) -> TaskResult | None:
        """How a task ended, None when it has not."""
        return self.read(TaskResult, "tasks", file_name(task), "result.json")

    def figures(self) -> list[FigureReading] | None:
        """Plots as a model read them; None when there was no such step."""
        return self.read(list[FigureReading], "figures.json")

    def pictures(self) -> list[Picture] | None:
        """Pictures from outside, and what a model read in them; None when there was no such step."""
        return self.read(list[Picture], "pictures.json")

    def decided(self) -> list[Decided]:
        """Who decided the values that each prompt asked for; empty when there is no readable log."""
        return _by_prompt(self._logged(DECISIONS))

    def spent(self) -> Spent:
        """What the calls of the run have used so far; of nothing when there is no readable log."""
        rows = self._logged(SPENT)
        return Spent(*rows[0]) if rows else Spent(0, 0, 0, 0.0)

    def _logged(self, query: str) -> list[Any]:
        path = self.folder / "calls.sqlite"
        if not path.is_file():
            return []
        try:
            # Read-only: a report must not change the folder it reports on, which opening a CallLog would. With
            # no writer there is no -wal file, and "immutable" keeps SQLite from leaving one behind.
            live = path.with_name(f"{path.name}-wal").exists()
            how = "mode=ro" if live else "mode=ro&immutable=1"
            db = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)
            try:
                return db.execute(query).fetchall()
            finally:
                db.close()
        except sqlite3.Error as error:
            self.faults.append(f"calls.sqlite: {error}")
            return []

    def _all(self, kind: type[T], folder: str) -> list[T]:
        names = sorted(path.name for path in (self.folder / folder).glob("*.json"))
        found = [
            self.read(kind, folder, name)
            for name in names
            if not name.startswith(("_", ".")) and not name.endswith(".analysis.json")
        ]
        return [thing for thing in found if thing is not None]


def _by_prompt(rows: list[tuple[str | None, Decider, int]]) -> list[Decided]:
    found: dict[tuple[str, str], dict[Decider, int]] = {}
    for record, decider, fields in rows:
        call: Mapping[str, Any] = json.loads(record) if record else {}
        # Code decides some values without asking: there is no call behind them.
        where = (str(call.get("role", "none")), str(call.get("prompt", "without a call")))
        found.setdefault(where, {})[decider] = fields
    return [Decided(role, prompt, by) for (role, prompt), by in sorted(found.items())]
