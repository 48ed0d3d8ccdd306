"""What every engine is given to carry out cells, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labwright.eval.suites.figures import Row
from labwright.eval.suites.objective_cells import Cell

Say = Callable[[str], None]
RunCell = Callable[[Cell, Path, Say], Row]
"""Carries out one cell below a folder of run folders and returns its raw row; picklable, since engines use processes."""
KIND = "cell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How cells are carried out, whatever the engine."""

    run: RunCell
    runs: Path
    """Folder of the run folders."""
    keep: Callable[[Row], None]
    """Told each row as soon as it is there."""
    say: Say
    """Shows progress."""
    may_start: Callable[[], bool] = lambda: True
    """Whether another cell may be begun; those that run are always let finish."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A cell that gave no row: nothing was measured, so it is no failure of its workflow and is tried the next time."""

    cell: Cell
    error: str


def checked(row: Row, cell: Cell) -> Row:
    """`row` when it is that of `cell`.

    Raises:
        ValueError: it is another row.
    """
    if (row.get("kind"), row.get("name")) != (KIND, cell.name):
        raise ValueError(f"the row of {cell.name} calls itself {row.get('kind')} {row.get('name')}")
    return row
