"""metrics.jsonl: one line for a logged step, one for a measurement on held-out examples."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from labwright.models.training.files import disk, write_text

FILE = "metrics.jsonl"


class MetricsLog:
    """Appends lines; each is on the disk's way when `add` returns, and a line that a crash cut off is dropped."""

    def __init__(self, folder: Path, *, active: bool = True) -> None:
        self.path = folder / FILE
        self._active = active

    def go_back_to(self, step: int) -> None:
        """Drop the lines after `step`: they will be written again."""
        if not self._active:
            return
        kept = [row for row in self.rows() if row["step"] <= step]
        write_text(self.path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in kept))

    def rows(self) -> list[dict[str, Any]]:
        """All whole lines."""
        if not self.path.is_file():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def add(self, **row: Any) -> None:
        """Append one line."""
        if self._active:
            with disk(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, allow_nan=False) + "\n")

    def flush(self) -> None:
        """Wait for the disk."""
        if self._active and self.path.is_file():
            with disk(self.path), self.path.open("rb") as file:
                os.fsync(file.fileno())
