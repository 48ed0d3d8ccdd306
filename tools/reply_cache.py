"""Replies of literature and data services, kept on disk with the date on which they came.

Not an HTTP cache in the sense of RFC 9111: see docs/decisions/013-replies-kept.md.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

SCHEMA = "create table if not exists replies (key text primary key, fetched_on text, body blob) without rowid"


class ReplyCache:
    """One SQLite file; safe to use from several processes and threads.

    A file that cannot be read or written counts as an empty cache: it never stops a run.
    """

    def __init__(self, path: Path, *, days: int) -> None:
        """Use `path`, made at the first reply kept; replies older than `days` are not given out."""
        self._path = path
        self._days = days

    def get(self, key: str, today: date) -> tuple[bytes, date] | None:
        """A kept reply and its date; None when there is none young enough."""
        if not self._path.is_file():
            return None
        try:
            with self._open() as db:
                row = db.execute("select body, fetched_on from replies where key = ?", (key,)).fetchone()
            if row is None:
                return None
            body, fetched_on = zlib.decompress(row[0]), date.fromisoformat(row[1])
        except (sqlite3.Error, zlib.error, ValueError, TypeError):
            return None
        return (body, fetched_on) if fetched_on > today - timedelta(days=self._days) else None

    def put(self, key: str, body: bytes, today: date) -> None:
        """Keep a reply, and let go of those that are too old."""
        oldest = (today - timedelta(days=self._days)).isoformat()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as db:
                db.execute(SCHEMA)
                db.execute("delete from replies where fetched_on <= ?", (oldest,))
                row = (key, today.isoformat(), zlib.compress(body))
                db.execute("insert or replace into replies values (?, ?, ?)", row)
        except (sqlite3.Error, OSError):
            return

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=30)
        try:
            with db:
                yield db
        finally:
            db.close()
