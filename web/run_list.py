"""All runs of a folder, each record read again only when its file has changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labwright.domain import RunRecord
from labwright.store import RUN_ID


@dataclass(frozen=True, slots=True)
class Row:
    """One run as the list shows it."""

    id: str
    status: str
    workflow: str
    objective: str
    started_at: str
    started_by: str
    seconds: float
    verified: int
    tasks: int
    evaluated_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class _Read:
    stamp: tuple[int, int]
    row: Row
    record: bytes
    """The record as JSON without line breaks."""


class RunList:
    """The runs below one folder."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._read: dict[str, _Read] = {}
        self._lock = threading.Lock()

    def rows(self) -> list[Row]:
        """Every run with a readable record, newest first."""
        return [read.row for read in self._current()]

    def records(self) -> bytes:
        """All records as one JSON list, oldest first: what `labwright runs --json` prints."""
        return b"[" + b",".join(read.record for read in reversed(self._current())) + b"]"

    def documents(self) -> list[dict[str, Any]]:
        """All records as plain documents, newest first."""
        return [json.loads(read.record) for read in self._current()]

    def _current(self) -> Sequence[_Read]:
        with self._lock:
            found: dict[str, _Read] = {}
            for folder in sorted(self._runs.iterdir(), reverse=True) if self._runs.is_dir() else ():
                if not RUN_ID.fullmatch(folder.name):
                    continue
                read = _reread(folder, self._read.get(folder.name))
                if read is not None:
                    found[folder.name] = read
            self._read = found
            return list(found.values())


def _reread(folder: Path, before: _Read | None) -> _Read | None:
    path = folder / "record.json"
    try:
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if before is not None and before.stamp == stamp:
            return before
        record = RunRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return _Read(stamp, _row(record), record.model_dump_json().encode())


def _row(record: RunRecord) -> Row:
    return Row(
        id=record.id,
        status=record.status,
        workflow=record.workflow,
        objective=record.objective.text,
        started_at=record.started_at,
        started_by=record.started_by,
        seconds=record.seconds,
        verified=sum(level == 3 for level in record.tasks.values()),
        tasks=len(record.tasks),
        evaluated_tokens=record.evaluated_tokens,
        generated_tokens=record.generated_tokens,
    )
