"""The Ray engine, measured: what a second worker gains, and what is lost or doubled when workers are killed.

The cells are real ones, carried out by `run_cell` with their literature, analyses and sandbox jobs; only the model is
a script that sleeps as long as a remote model would think. What is not covered: machines beyond this one, and a
network file system under the shared folder.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from labwright.config import BackendConfig, Config
from labwright.eval.suites.cell_work import RunCell, Say, Work
from labwright.eval.suites.objective_cells import Cell
from labwright.eval.suites.ray_engine import Cluster, carry_out, connected
from labwright.eval.suites.ray_kills import measure_kills
from labwright.eval.suites.rows import Rows

MODEL = "scripted"
OBJECTIVE = "infarction_prognosis"
WORKFLOW = "react"
RULES = (
    {"match": "Answer yes or no", "probabilities": {"yes": 0.9, "no": 0.1}},
    {"match": "one digit from 1 to 5", "probabilities": {"4": 0.7, "5": 0.3}},
    {"match": "high, medium or low", "probabilities": {"high": 0.8, "medium": 0.2}},
)
WORK = f"{WORKFLOW} on {OBJECTIVE} with a scripted model"
DELAY_S, KILL_DELAY_S = 10.0, 0.5
"""Seconds that the script sleeps before each reply."""
CELLS, ROUNDS = 4, 2
KILLS, KILL_CELLS = 10, 12


def measure_ray(rows: Rows, *, quick: bool, say: Say) -> None:
    """Measure what is missing of both figures; `quick` makes one round and three kills."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        done = [r for r in rows.all() if r["kind"] == "ray_speedup"]
        if len(done) < (1 if quick else ROUNDS):
            speedup_rows(rows, home / "speedup", 1 if quick else ROUNDS, say)
        if not rows.has_kind("ray_kills"):
            kills, cells = (3, _cells(4)) if quick else (KILLS, _cells(KILL_CELLS))
            found = measure_kills(scripted_run(home / "kills", KILL_DELAY_S), cells, home / "kills", kills)
            rows.add("ray_kills", "workers", {**found, "work": WORK})


def scripted_run(folder: Path, delay_s: float) -> RunCell:
    """`run_cell` with a model that sleeps before each scripted reply."""
    from labwright.eval.suites.objective_runs import run_cell

    folder.mkdir(parents=True, exist_ok=True)
    script = folder.resolve() / "script.json"
    script.write_text(json.dumps({"rules": RULES, "delay_s": delay_s, "log_path": str(script.with_name("calls"))}))
    config = Config(backends={MODEL: BackendConfig(kind="scripted", script=str(script))})
    return partial(run_cell, config=config)


def _cells(n: int) -> list[Cell]:
    return [Cell(OBJECTIVE, WORKFLOW, MODEL, seed) for seed in range(n)]


def speedup_rows(rows: Rows, folder: Path, rounds: int, say: Say) -> None:
    """Time the same cells on one worker and on two, in turns; literature and imports are there before."""
    run = scripted_run(folder, DELAY_S)
    timed(run, _cells(1), folder / "first", 1)  # reads the literature, which later clusters are given
    for number in range(rounds):
        name = f"round {number}"
        if rows.has("ray_speedup", name):
            continue
        row: dict[str, Any] = {"cells": CELLS, "work": WORK}
        for workers, key in ((1, "one_worker_s"), (2, "two_workers_s")) if number % 2 == 0 else ((2, "two_workers_s"), (1, "one_worker_s")):  # fmt: skip
            calls = folder / "calls"
            before = _lines(calls)
            shared = folder / f"{number}-{workers}"
            shutil.copytree(folder / "first" / "docs", shared / "docs")
            row[key] = timed(run, _cells(CELLS), shared, workers)
            row["asleep_s"] = round(DELAY_S * (_lines(calls) - before) / CELLS, 2)
            say(f"{name}: {CELLS} cells on {workers} workers took {row[key]:.1f} s")
        rows.add("ray_speedup", name, row)


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0


def timed(run: RunCell, cells: Sequence[Cell], shared: Path, workers: int) -> float:
    """Seconds that a cluster of our own takes for cells, from the first task to the last row."""
    made: list[dict[str, Any]] = []
    work = Work(run=run, runs=shared, keep=made.append, say=lambda text: None)
    cluster = Cluster(shared=shared, workers=workers)
    with connected(cluster):
        began = time.monotonic()
        broken = carry_out(cells, work, cluster)
        seconds = time.monotonic() - began
    if broken or len(made) != len(cells):
        raise RuntimeError(f"{len(cells)} cells gave {len(made)} rows: {broken}")
    return round(seconds, 2)
