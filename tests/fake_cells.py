"""Cells that do no work, for tests of the engines: importable by the processes that they start.

What a cell is to do stands in its objective's id. Each execution leaves a file below `runs`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labwright.errors import EngineMissing
from labwright.eval.suites.cell_work import Work
from labwright.eval.suites.local_engine import measure_here
from labwright.eval.suites.objective_cells import Cell
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.shared_results import SharedResults

CELL = Cell("a", "react", "org/m", 0)


def row_of(cell: Cell, **values: Any) -> dict[str, Any]:
    """A row as `run_cell` makes it, of a run that met one of two entries."""
    row = {
        "kind": "cell", "name": cell.name, "commit": "", "objective": cell.objective, "field": "survival",
        "workflow": cell.workflow, "model": cell.model, "seed": cell.seed, "run": "", "status": "done", "failed": "",
        "outputs": {"o1": True}, "gold": {"g1": False}, "level3_gold": 0.5, "tasks": {"t1": 3},
        "levels": {"1": 1, "2": 1, "3": 1, "n": 1}, "repairs": 0, "interventions": 0, "quality": {}, "judge": "",
        "calls_valid": 4, "calls_total": 4, "prompt_tokens_evaluated": 100, "generated_tokens": 10, "seconds": 1.0,
        "usd": 0.0, "model_share": 1.0,
    }  # fmt: skip
    return {**row, **values}


def fake_cell(cell: Cell, runs: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Do what the objective's id says, and leave a mark."""
    runs.mkdir(parents=True, exist_ok=True)
    marks = len(list(runs.glob(f"{cell.objective}.{cell.seed}.*")))
    (runs / f"{cell.objective}.{cell.seed}.{os.getpid()}.{time.monotonic_ns()}").touch()
    say("begun")
    what = cell.objective
    if what == "slow":
        time.sleep(1.5)
    elif what == "forever":
        time.sleep(600)
    elif (what == "dies_once" and not marks) or what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "no_engine":
        raise EngineMissing("no engine answers; `make engine`")
    elif what == "bug":
        raise ZeroDivisionError("a fault of the programmer")
    elif what == "other_row":
        return row_of(Cell("x", "react", "m", 0))
    return row_of(cell)


def begun(runs: Path, objective: str) -> int:
    """How often a cell of that objective was carried out."""
    return len(list(runs.glob(f"{objective}.*")))


def put_many(path: Path, number: int) -> None:
    """Append twenty rows that other processes append too."""
    for i in range(20):
        Rows(path).put_once({"kind": "cell", "name": str(i), "by": number, "text": "x" * 5000})


def share(folder: Path, number: int) -> None:
    """Write the row of a cell that other processes write too."""
    SharedResults(folder).put(CELL, {"kind": "cell", "name": CELL.name, "by": number})


def endless_table(runs: Path) -> None:
    """A table of one cell that does not end."""
    measure_here([Cell("forever", "react", "m", 0)], Work(run=fake_cell, runs=runs, keep=print, say=print), 1)
