"""What the command line shows: results on stdout, progress on stderr."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Group

    from labwright.models.calls import CallLog

LINE_EVERY_S = 5.0


def emit(value: Any) -> None:
    """Print one JSON document on stdout; what could steer a terminal is written as an escape."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    # Outside its strings a document holds nothing unprintable but line breaks, and inside they are escaped already.
    sys.stdout.write("".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text) + "\n")


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*head, box=None, pad_edge=False)
    for row in rows:
        shown.add_row(*(Text(printable(str(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(shown)


def printable(text: str) -> str:
    """`text` without what steers a terminal: it may hold what a paper, a model or a stranger wrote."""
    return "".join(c if c.isprintable() else " " for c in text)


@dataclass
class _Stage:
    """A branch of the tree: what was said in a stage of the run, and what the stage cost."""

    name: str
    log: CallLog
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    said: list[str] = field(default_factory=list)
    tokens: tuple[int, int] = (0, 0)
    before: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.before = self._tokens() or (0, 0)

    def _tokens(self) -> tuple[int, int] | None:
        try:
            totals = self.log.totals()
        except sqlite3.Error:  # the run has closed its log, or its disk is full
            return None
        return totals.evaluated_tokens, totals.generated_tokens

    def title(self) -> str:
        """Name, seconds, tokens read and written."""
        now = self._tokens() if self.ended is None else None
        if now is not None:
            self.tokens = (now[0] - self.before[0], now[1] - self.before[1])
        seconds = (self.ended or time.monotonic()) - self.began
        return f"{self.name}  {seconds:.0f} s, {self.tokens[0]} tokens read, {self.tokens[1]} written"


class Screen:
    """Progress on stderr: in a terminal a live tree of stages with their tokens and time, elsewhere plain lines."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False, markup=False)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._stages: list[_Stage] = []
        self._tasks: dict[str, Any] = {}
        self._started = time.monotonic()
        self._live = Live(get_renderable=self._tree, console=self._console, refresh_per_second=2)

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._close_stage()
            self._live.stop()

    def on_stage(self, stage: str, log: CallLog) -> None:
        """Open a branch, unless the run is in that stage already."""
        if self._stages and self._stages[-1].name == stage and self._stages[-1].ended is None:
            return
        self._close_stage()
        self._stages.append(_Stage(stage, log))

    def _close_stage(self) -> None:
        if self._stages:
            self._stages[-1].title()
            self._stages[-1].ended = time.monotonic()

    def say(self, text: str) -> None:
        """Show that something was done."""
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        line = f"{minutes:02d}:{seconds:02d} {printable(text)}"
        if self._stages and self._console.is_terminal:
            self._stages[-1].said.append(line)
        else:
            self._console.print(line)

    def download(self, what: str, done: int, total: int) -> None:
        """Show how far a download is."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, visible=done < total)

    def _tree(self) -> Group:
        from rich.console import Group
        from rich.text import Text
        from rich.tree import Tree

        tree = Tree(Text("labwright"), hide_root=True)
        for stage in self._stages:
            branch = tree.add(Text(stage.title(), style="bold" if stage.ended is None else ""))
            for line in stage.said:
                branch.add(Text(line, style="dim"))
        return Group(tree, self._bar) if self._stages else Group(self._bar)


class ProgressBar:
    """Progress of one long work on stderr: a bar in a terminal, elsewhere a line now and then."""

    def __init__(self, *columns: Any) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bar = Progress(*columns, console=self._console)
        self._shown = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(printable(text))

    def say_now_and_then(self, text: str, *, last: bool) -> None:
        """Print a line unless one was printed within the last seconds; the last one in any case."""
        if last or time.monotonic() - self._shown >= LINE_EVERY_S:
            self._shown = time.monotonic()
            self.say(text)


class Counter(ProgressBar):
    """How many of many alike things are done."""

    def __init__(self, name: str, what: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        super().__init__(TextColumn(printable(name)), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._task = self._bar.add_task(name, total=None)
        self._shown = time.monotonic()
        self._what = what

    def report(self, name: str, done: int, total: int) -> None:
        """Show how far it is."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, total=total)
        else:
            self.say_now_and_then(f"{name}: {done} of {total} {self._what}", last=done == total)
