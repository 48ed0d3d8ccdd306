"""The server's own state: links, sessions, accounts, forms that were sent, and who did what. One SQLite file.

A write is on the disk when its call returns. Of links and sessions only hashes are kept.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labwright.errors import DiskFull, RunFailed

NAME = "web.sqlite"
SCHEMA = """
create table if not exists secrets (name text primary key, value text not null);
create table if not exists links (hash text primary key, expires real not null, used real);
create table if not exists sessions (
  hash text primary key, name text not null, kind text not null, csrf text not null, expires real not null);
create table if not exists users (
  name text primary key, password text not null, role text not null, made_at text not null);
create table if not exists forms (id text primary key, at real not null, result text not null default '');
create table if not exists audit (
  id integer primary key, at text not null, who text not null, address text not null, act text not null,
  about text not null, detail text not null);
"""


def hashed(secret: str) -> str:
    """What is kept of a secret of full entropy."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


class Ledger:
    """The file; safe to use from several threads, and beside other processes."""

    def __init__(self, folder: Path) -> None:
        """Open or make it, readable by its user alone.

        Raises:
            DiskFull: it cannot be written.
            RunFailed: it is damaged.
        """
        path = folder / NAME
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=full")
            self._db.executescript(SCHEMA)
        except (OSError, sqlite3.OperationalError) as error:
            raise DiskFull(f"cannot write {path}: {error}; use a folder that can be written") from error
        except sqlite3.DatabaseError as error:
            raise RunFailed(f"{path}: {error}; move it away: accounts have to be added again, runs are safe") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def write(self, statement: str, *values: Any) -> int:
        """Carry out one change; returns the number of rows that it changed.

        Raises:
            DiskFull: it cannot be written.
        """
        try:
            with self._lock:
                return self._db.execute(statement, values).rowcount
        except sqlite3.OperationalError as error:
            raise DiskFull(f"cannot write {NAME}: {error}; make room, then try again") from error

    def rows(self, statement: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        """What a query finds."""
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def secret(self, name: str) -> str:
        """A random secret of this ledger, made when it is first asked for."""
        self.write("insert or ignore into secrets values (?, ?)", name, secrets.token_urlsafe(32))
        [(value,)] = self.rows("select value from secrets where name = ?", name)
        return str(value)
