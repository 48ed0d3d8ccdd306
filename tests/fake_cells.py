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
from labwright.eval.suites.objective_cells import Cell


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
