"""Workers of a Ray cluster of our own, killed while they carry out cells; what is lost or doubled is counted.

Only processes are killed that descend from this one and that carry out a cell at that moment.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from labwright.eval.suites.cell_work import RunCell, Work
from labwright.eval.suites.figures import Row
from labwright.eval.suites.objective_cells import Cell
from labwright.eval.suites.ray_engine import Cluster, carry_out, connected, measure_cell
from labwright.eval.suites.shared_results import SharedResults

WORKERS = 2
LINGER_S = 1.0
"""Seconds that a worker stays between the writing of a row and the end of its task: room for a kill there."""
BETWEEN_S = (0.5, 4.0)
"""Seconds between two kills."""
POLL_S = 0.2


def measure_kills(run: RunCell, cells: Sequence[Cell], shared: Path, kills: int, seed: int = 0) -> Row:
    """Carry out cells on two workers and kill one of them again and again, with SIGKILL.

    Every other kill comes after a row was written and before the worker could report it: the moment at which a cell
    would be doubled. The rest come at random moments, at which a cell would be lost.

    Args:
        run: carries out a cell; picklable.
        cells: what is carried out.
        shared: folder of the results, empty.
        kills: how many; fewer are made when the cells end before.
        seed: of the moments.

    Returns:
        cells, kills, after_row (kills after a row was written), begun (times that a cell was begun), lost, doubled.
    """
    with connected(Cluster(shared=shared, workers=WORKERS)):
        return kills_during(run, cells, shared, kills, seed)


def kills_during(run: RunCell, cells: Sequence[Cell], shared: Path, kills: int, seed: int = 0) -> Row:
    """As `measure_kills`, inside `connected` to a cluster of our own."""
    made: list[Row] = []
    work = Work(run=run, runs=shared, keep=made.append, say=lambda text: None)
    cluster = Cluster(shared=shared, workers=WORKERS, linger_s=LINGER_S)
    killer = Killer(SharedResults(shared.resolve()), kills, random.Random(seed))  # noqa: S311  (moments, no secrets)
    killer.start()
    try:
        carry_out(cells, work, cluster)
    finally:
        killer.ended.set()
        killer.join()
    kept = Counter(row["name"] for row in made)
    files = len(list((shared / "rows").glob("[!.]*.json")))
    return {
        "cells": len(cells),
        "kills": len(killer.killed),
        "after_row": killer.after_row,
        "begun": len(SharedResults(shared.resolve()).started()),
        "lost": sum(kept[cell.name] == 0 for cell in cells),
        "doubled": sum(n - 1 for n in kept.values()) + max(0, files - len(cells)),
    }


class Killer(threading.Thread):
    """Kills workers, now and then, until it has killed enough or is told that the cells are done."""

    def __init__(self, results: SharedResults, kills: int, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self.results = results
        self.kills = kills
        self.rng = rng
        self.ended = threading.Event()
        self.killed: list[int] = []
        self.after_row = 0

    def run(self) -> None:
        """Until the end."""
        while len(self.killed) < self.kills and not self.ended.wait(self.rng.uniform(*BETWEEN_S)):
            wants_row = len(self.killed) % 2 == 1
            while not self.ended.wait(POLL_S) and not self._kill_one(wants_row):
                pass

    def _kill_one(self, wants_row: bool) -> bool:
        targets = [pid for pid, has_row in self._busy() if has_row == wants_row]
        if not targets:
            return False
        pid = self.rng.choice(targets)
        os.kill(pid, signal.SIGKILL)
        self.killed.append(pid)
        self.after_row += wants_row
        return True

    def _busy(self) -> list[tuple[int, bool]]:
        """Workers that carry out a cell, and whether its row is written."""
        carrying = worker_pids()
        last: dict[int, dict[str, Any]] = {}
        for mark in sorted(self.results.started(), key=lambda m: m["at"]):
            last[mark["pid"]] = mark
        return [
            (pid, self.results.get(Cell.parse(mark["cell"])) is not None)
            for pid, mark in last.items()
            if pid in carrying and pid not in self.killed
        ]


def worker_pids() -> set[int]:
    """Processes below this one that carry out a cell: Ray titles a worker with the task that it has."""
    title = f"ray::{measure_cell.__name__}"
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cmdline()[:1] == [title]:
                found.add(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found
