"""What the command line shows: results on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any


def emit(value: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on stdout."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(*head, box=None, pad_edge=False)
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(shown)


class Screen:
    """Progress on stderr: a line for each thing done, with the time since the start, and a download bar."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._tasks: dict[str, Any] = {}
        self._started = time.monotonic()

    def __enter__(self) -> Screen:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Show that something was done."""
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        self._console.print(f"[dim]{minutes:02d}:{seconds:02d}[/dim] {text}", markup=True)

    def download(self, what: str, done: int, total: int) -> None:
        """Show how far a download is."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, visible=done < total)
