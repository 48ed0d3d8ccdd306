"""Rows of cells in a folder that several machines share: a cell's row is written once, however often it was measured.

It stands on what every shared file system gives: a hard link is made whole, by one, or not at all. What is not
covered: a folder that only looks shared (each machine has its own) is noticed by who collects, not by who writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any

from labwright.eval.suites.figures import Row
from labwright.eval.suites.objective_cells import Cell
from labwright.eval.suites.rows import sync_folder
from labwright.store import file_name


class SharedResults:
    """Results of cells below one folder: rows/, started/ and runs/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        """Folder of the run folders."""

    def path(self, cell: Cell) -> Path:
        """The file of a cell's row; the hash keeps apart what looks alike as a file name."""
        digest = hashlib.sha256(cell.name.encode()).hexdigest()[:16]
        return self.folder / "rows" / f"{file_name(cell.name)}.{digest}.json"

    def get(self, cell: Cell) -> Row | None:
        """The row of a cell; None before it was measured."""
        try:
            text = self.path(cell).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        row: Row = json.loads(text)
        return row

    def put(self, cell: Cell, row: Row) -> bool:
        """Write the row of a cell unless it is there; whether this call wrote it."""
        path = self.path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with draft.open("x", encoding="utf-8") as out:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            out.flush()
            os.fsync(out.fileno())
        try:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            # On network file systems an answer can be lost: the count of names says whether the link was made.
            ours = os.stat(draft).st_nlink == 2
        finally:
            draft.unlink()
        sync_folder(path.parent)
        return ours

    def mark_started(self, cell: Cell) -> None:
        """Leave word that this process carries out a cell now."""
        folder = self.folder / "started"
        folder.mkdir(parents=True, exist_ok=True)
        mark = {"cell": cell.name, "host": socket.gethostname(), "pid": os.getpid(), "at": time.time()}
        draft = folder / f".{secrets.token_hex(8)}"
        draft.write_text(json.dumps(mark) + "\n", encoding="utf-8")
        draft.rename(folder / f"{secrets.token_hex(8)}.json")

    def started(self) -> list[dict[str, Any]]:
        """Every time that a cell was begun: cell, host, pid, at."""
        return [
            json.loads(path.read_text(encoding="utf-8")) for path in sorted((self.folder / "started").glob("*.json"))
        ]
