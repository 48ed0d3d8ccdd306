"""The log and cache of model calls: `calls.sqlite` in the run folder.

A call is found again by the content of its request, so a resumed run repeats no finished one. The same
table is the source of every count in the record.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from labwright.domain import Call, Decider, Shares
from labwright.errors import BudgetExhausted, DiskFull, RunFailed

SCHEMA = """
create table if not exists calls (
  key text primary key, at real not null, record text not null, reply text not null);
create table if not exists decisions (
  name text primary key, decided_by text not null, fields integer not null);
create table if not exists spans (
  stage text not null, kind text not null, seconds real not null);
create table if not exists notes (note text primary key);
create table if not exists tool_calls (name text primary key, valid integer not null);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may use; None is no limit."""

    tokens: int | None = None
    """Prompt tokens evaluated plus tokens generated."""
    usd: float | None = None
    """US dollars."""
    seconds: float | None = None
    """Wall-clock seconds of this invocation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a run may spend on models before rules take over; None is no limit."""

    prompt_tokens: int | None = None
    """Prompt tokens evaluated."""
    generated_tokens: int | None = None
    """Tokens generated."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the calls of a run."""

    calls: int
    prompt_tokens: int
    evaluated_tokens: int
    generated_tokens: int
    usd: float
    seconds: float


class CallLog:
    """Calls of one run; safe to use from several threads."""

    def __init__(self, path: Path, budget: Budget | None = None, allowance: Allowance | None = None) -> None:
        """Open or make the log.

        Raises:
            DiskFull: the file cannot be written.
            RunFailed: the file is damaged.
        """
        self._budget = budget or Budget()
        self._allowance = allowance or Allowance()
        self._started = time.monotonic()
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=full")
            self._db.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            raise DiskFull(f"cannot write {path}: {error}; make room, then `labwright resume`") from error
        except sqlite3.DatabaseError as error:
            raise RunFailed(f"{path}: {error}; move it away, then `labwright resume` asks the model again") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def find(self, key: str) -> tuple[Call, Any] | None:
        """The recorded call of that key and its reply, or None."""
        with self._lock:
            row = self._db.execute("select record, reply from calls where key = ?", (key,)).fetchone()
        return None if row is None else (Call.model_validate_json(row[0]), json.loads(row[1]))

    def add(self, key: str, call: Call, reply: Any) -> None:
        """Record a finished call; it is on disk when this returns."""
        self._write(
            "insert or replace into calls values (?, ?, ?, ?)",
            (key, time.time(), call.model_dump_json(), json.dumps(reply)),
        )

    def decide(self, name: str, decided_by: Decider, fields: int = 1) -> None:
        """Say who decided the final value of `fields` values that go by `name`; the last word counts."""
        self._write("insert or replace into decisions values (?, ?, ?)", (name, decided_by, fields))

    def tool_call(self, name: str, *, valid: bool) -> None:
        """Record a model's choice of a data set, an analysis or its parameters; the last word under a name counts."""
        self._write("insert or replace into tool_calls values (?, ?)", (name, int(valid)))

    def tool_calls(self) -> tuple[int, int]:
        """How many tool calls were valid, of how many."""
        with self._lock:
            valid, total = self._db.execute("select coalesce(sum(valid), 0), count(*) from tool_calls").fetchone()
        return int(valid), int(total)

    def note(self, text: str) -> None:
        """Keep something that the reader of the report must know."""
        self._write("insert or ignore into notes values (?)", (text,))

    def notes(self) -> tuple[str, ...]:
        """What was noted, in order."""
        with self._lock:
            return tuple(row[0] for row in self._db.execute("select note from notes order by rowid"))

    def spend(self, stage: str, kind: str, seconds: float) -> None:
        """Add seconds to a stage ("search", ...) or, with an empty stage, to a kind of work ("sandbox", ...)."""
        self._write("insert into spans values (?, ?, ?)", (stage, kind, seconds))

    @contextmanager
    def spending(self, stage: str, kind: str) -> Iterator[None]:
        """Add the seconds of a block, also when it fails."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.spend(stage, kind, time.monotonic() - started)

    def spent(self, by: Literal["stage", "kind"]) -> dict[str, float]:
        """Seconds by stage or by kind."""
        column = {"stage": "stage", "kind": "kind"}[by]
        with self._lock:
            rows = self._db.execute(
                f"select {column}, sum(seconds) from spans where {column} != '' group by {column}"  # noqa: S608
            ).fetchall()
        return {str(name): round(float(seconds), 3) for name, seconds in rows}

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            with self._lock:
                self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise DiskFull(f"cannot write calls.sqlite: {error}; make room, then `labwright resume`") from error

    def calls(self) -> list[Call]:
        """All recorded calls, oldest first."""
        with self._lock:
            rows = self._db.execute("select record from calls order by at").fetchall()
        return [Call.model_validate_json(row[0]) for row in rows]

    def shares(self) -> Shares:
        """How many values the model, a fallback, code and people decided."""
        with self._lock:
            rows = self._db.execute("select decided_by, sum(fields) from decisions group by decided_by").fetchall()
        return Shares(**dict(rows))

    def shares_by_role(self) -> dict[str, Shares]:
        """Of the values that a role's model was asked for, how many it decided and how many a fallback did."""
        with self._lock:
            rows = self._db.execute(
                "select json_extract(record, '$.role'), decided_by, sum(fields) "
                "from decisions join calls on key = name group by 1, 2"
            ).fetchall()
        found: dict[str, dict[str, int]] = {}
        for role, decider, fields in rows:
            found.setdefault(str(role), {})[str(decider)] = int(fields)
        return {role: Shares(**counts) for role, counts in found.items()}

    def totals(self) -> Totals:
        """Sums over all recorded calls; asked before every call, so the database adds them up."""
        fields = ("prompt_tokens", "evaluated_tokens", "generated_tokens", "usd", "seconds")
        sums = ", ".join(f"coalesce(sum(json_extract(record, '$.{name}')), 0)" for name in fields)
        with self._lock:
            row = self._db.execute(f"select count(*), {sums} from calls").fetchone()  # noqa: S608
        return Totals(*map(int, row[:4]), *map(float, row[4:]))

    def allowance_spent(self) -> bool:
        """Whether the run may ask no model any more."""
        limits = self._allowance
        if limits.prompt_tokens is None and limits.generated_tokens is None:
            return False
        totals = self.totals()
        used = ((limits.prompt_tokens, totals.evaluated_tokens), (limits.generated_tokens, totals.generated_tokens))
        return any(limit is not None and spent >= limit for limit, spent in used)

    def check_budget(self) -> None:
        """Stop the run when a limit is reached.

        Raises:
            BudgetExhausted: it is.
        """
        totals = self.totals()
        used = {
            "tokens": totals.evaluated_tokens + totals.generated_tokens,
            "usd": totals.usd,
            "seconds": time.monotonic() - self._started,
        }
        for kind, limit in (
            ("tokens", self._budget.tokens),
            ("usd", self._budget.usd),
            ("seconds", self._budget.seconds),
        ):
            if limit is not None and used[kind] >= limit:
                raise BudgetExhausted(kind=kind, limit=limit, used=used[kind])
