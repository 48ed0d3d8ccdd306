"""Output files of a task as the report shows them, and whether they are still what was recorded."""

from __future__ import annotations

import base64
import csv
import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from labwright.eval.report_quotes import anchor

FIRST_ROWS = 10
MOST_COLUMNS = 40
CELL_CHARS = 160
TABLE_BYTES = 64 * 2**20
FIGURE_BYTES = 5 * 2**20
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class CellView:
    """One cell; it has an anchor when a finding stands on it."""

    text: str
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class RowView:
    """One row of a table and its number, counted from 1."""

    number: int
    cells: tuple[CellView, ...]


@dataclass(slots=True)
class TableView:
    """The first rows of a table, and the rows that findings stand on."""

    name: str
    anchor: str
    columns: list[str] = field(default_factory=list)
    rows: list[RowView] = field(default_factory=list)
    n_rows: int = 0
    n_columns: int = 0
    fault: str = ""
    held: dict[str, str] = field(default_factory=dict)
    """Finding id to what its cell holds; a finding whose cell is not found is absent."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A cell to be found."""

    finding: str
    column: int
    key: list[tuple[int, Any]]


@dataclass(frozen=True, slots=True)
class FigureView:
    """A figure as a data address."""

    name: str
    data: str = ""
    fault: str = ""


def output_file(folder: Path, name: str) -> Path | None:
    """A regular file below the output folder; None for anything else, links included."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        return None
    path = folder.joinpath(*parts)
    steps = [folder.joinpath(*parts[: i + 1]) for i in range(len(parts))]
    try:
        regular = path.is_file() and not any(step.is_symlink() for step in steps)
        return path if regular and os.access(path, os.R_OK) else None
    except (OSError, ValueError):
        return None


def unchanged(path: Path | None, sha256: str) -> str:
    """Whether a file is "as recorded", "changed since" or "missing"."""
    if path is None:
        return "missing"
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    return "as recorded" if found == sha256 else "changed since"


def figure_view(path: Path | None, name: str) -> FigureView:
    """A PNG or JPEG of at most 5 MB as a data address."""
    if path is None:
        return FigureView(name, fault="the file is missing")
    size = path.stat().st_size
    if size > FIGURE_BYTES:
        return FigureView(name, fault=f"{size / 2**20:.1f} MB, too large to be shown; see the run folder")
    content = path.read_bytes()
    kind = "png" if content.startswith(PNG) else "jpeg" if content.startswith(JPEG) else ""
    if not kind:
        return FigureView(name, fault="neither PNG nor JPEG; see the run folder")
    return FigureView(name, f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}")


def cell_anchor(task: str, finding: str) -> str:
    """Where the cell of a finding is shown."""
    return anchor("cell", task, finding)


def table_view(path: Path | None, name: str, task: str, findings: Sequence[Mapping[str, Any]]) -> TableView:
    """The first ten rows of a CSV file, and every row that a finding stands on.

    Args:
        path: the file.
        name: its name in the output folder.
        task: the task's id, for anchors.
        findings: all findings of the task; those of other files are left aside.
    """
    view = TableView(name, anchor("table", task, name))
    if path is None:
        view.fault = "the file is missing"
        return view
    if path.stat().st_size > TABLE_BYTES:
        view.fault = f"{path.stat().st_size / 2**20:.0f} MB, too large to be read here"
        return view
    mine = [f for f in findings if f.get("file") == name]
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as stream:
            _fill(view, csv.reader(stream), task, mine)
    except csv.Error as error:
        view.fault = f"not a readable CSV file: {error}"
    return view


def _fill(view: TableView, lines: Iterator[list[str]], task: str, findings: Sequence[Mapping[str, Any]]) -> None:
    columns = next(lines, [])
    view.n_columns = len(columns)
    place = {column: i for i, column in enumerate(columns)}
    wanted = [_Wanted(str(f.get("id")), *cell) for f in findings if (cell := _cell(f, place)) is not None]
    shown = [i for i in range(len(columns)) if i < MOST_COLUMNS or i in {w.column for w in wanted}]
    view.columns = [columns[i] for i in shown]
    matches: Counter[str] = Counter()
    for number, line in enumerate(lines, start=1):
        view.n_rows = number
        row = line + [""] * (len(columns) - len(line))
        here: dict[int, str] = {}
        for want in wanted:
            if all(same(row[i], value) for i, value in want.key):
                matches[want.finding] += 1
                view.held[want.finding] = row[want.column]
                # Of two findings on one cell the first gets the anchor; the other links to the table.
                here.setdefault(want.column, cell_anchor(task, want.finding))
        if number <= FIRST_ROWS or here:
            view.rows.append(RowView(number, tuple(CellView(row[i][:CELL_CHARS], here.get(i, "")) for i in shown)))
    for finding in [name for name, times in matches.items() if times > 1]:
        del view.held[finding]


def _cell(finding: Mapping[str, Any], place: Mapping[str, int]) -> tuple[int, list[tuple[int, Any]]] | None:
    """Column of a finding's value, and columns and values that name its row."""
    where = finding.get("where")
    if not isinstance(where, Mapping) or not isinstance(where.get("row"), Mapping):
        return None
    column, row = str(where.get("column")), where["row"]
    if column not in place or not row or not row.keys() <= place.keys():
        return None
    return place[column], [(place[name], value) for name, value in row.items()]


def same(text: str, value: object) -> bool:
    """Whether a CSV cell holds a value, up to the ten digits that tables are written with.

    Example:
        >>> same("0.8500000000", 0.85), same("TP53", "TP53"), same("", None), same("0.85", 0.86)
        (True, True, True, False)
    """
    if value is None:
        return text == ""
    if text == str(value):
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isclose(float(text), value, rel_tol=1e-9, abs_tol=0.0)
    except (ValueError, OverflowError):
        return False
