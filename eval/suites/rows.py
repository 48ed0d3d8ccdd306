"""Raw rows of a benchmark, one JSON object a line: what was measured is kept for the next time, on any machine."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from labwright.errors import RunFailed
from labwright.eval.suites import document as about
from labwright.eval.suites.figures import Row


class Rows:
    """The rows of one file. A row is appended whole and is on the disk when `put` returns; a torn end is no row."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[Row]:
        """Every whole row, in the order of the file.

        Raises:
            RunFailed: a line is no row, though lines follow it: the file was changed by something else.
        """
        if not self.path.is_file():
            return []
        return self._whole(self.path.read_bytes())[0]

    def mend(self) -> str:
        """Cut off a last line that a crash left torn; what was done, in words, empty when nothing was."""
        if not self.path.is_file():
            return ""
        with self._locked() as file:
            return self._mend(file)

    def has(self, kind: str, name: str) -> bool:
        """A row of that kind and name was measured."""
        return any(r["kind"] == kind and r["name"] == name for r in self.all())

    def has_kind(self, kind: str) -> bool:
        """A row of that kind was measured."""
        return any(r["kind"] == kind for r in self.all())

    def put(self, row: Row) -> None:
        """Append a row that has its kind and name."""
        with self._locked() as file:
            self._mend(file)
            self._append(file, row)

    def put_once(self, row: Row) -> bool:
        """Append a row unless one of its kind and name is there, whoever wrote it; whether it was appended."""
        with self._locked() as file:
            self._mend(file)
            file.seek(0)
            there = {(r["kind"], r["name"]) for r in self._whole(file.read())[0]}
            if (row["kind"], row["name"]) in there:
                return False
            self._append(file, row)
            return True

    def add(self, kind: str, name: str, values: dict[str, Any]) -> None:
        """Append one row, with the commit that it was measured at."""
        self.put({"kind": kind, "name": name, "commit": about.commit()[:12], **values})

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """The file, opened for appending, while no other process appends; the kernel frees a dead holder's lock."""
        new = not self.path.exists()
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        if new:
            sync_folder(self.path.parent)

    @staticmethod
    def _append(file: BinaryIO, row: Row) -> None:
        file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())

    def _mend(self, file: BinaryIO) -> str:
        file.seek(0)
        content = file.read()
        _, whole = self._whole(content)
        note = ""
        if whole < len(content):
            note = f"{self.path.name}: the last line was torn by a crash and is dropped; what it held is measured again"
            file.truncate(whole)
        if whole and content[whole - 1 : whole] != b"\n":
            file.write(b"\n")
            file.flush()
        return note

    def _whole(self, content: bytes) -> tuple[list[Row], int]:
        """The rows, and the length up to which the file holds whole ones."""
        rows: list[Row] = []
        end = 0
        for number, line in enumerate(lines := content.splitlines(keepends=True), start=1):
            row = _row(line)
            if row is None:
                if number < len(lines):
                    raise RunFailed(f"{self.path}: line {number} is no row of a benchmark; restore the file with git")
                break
            rows.append(row)
            end += len(line)
        return rows, end


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:  # not JSON, or not UTF-8
        return None
    return row if isinstance(row, dict) and {"kind", "name"} <= set(row) else None


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: a new file is there after a power cut only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
