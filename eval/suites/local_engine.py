"""Cells on this machine, each in a process of its own: one that dies takes no other with it and is tried again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from labwright.errors import SomethingMissing
from labwright.eval.suites.cell_work import Broken, RunCell, Work, checked
from labwright.eval.suites.objective_cells import Cell
from labwright.lease import lease_is_exclusive, stop_waiting

DEATHS = 3
"""A cell whose process died so often is given up for this time."""
CORES_PER_EMBEDDED_MODEL = 4
STOP_S = 20.0
"""Seconds that a stopped cell has to save its run before it is killed."""


def width_of(*, embedded: bool, cores: int | None = None) -> int:
    """Cells at once.

    Two embedded models on two cores are far slower than one after the other: their threads spin while they wait.

    Example:
        >>> width_of(embedded=True, cores=2), width_of(embedded=True, cores=16), width_of(embedded=False, cores=2)
        (1, 4, 2)
    """
    cores = cores if cores is not None else os.cpu_count() or 1
    if not embedded:
        return max(1, cores)
    return 1 if lease_is_exclusive(cores) else max(1, cores // CORES_PER_EMBEDDED_MODEL)


def measure_here(cells: Sequence[Cell], work: Work, width: int) -> list[Broken]:
    """Carry out cells in processes, `width` at once, in their order.

    Returns:
        The cells that gave no row, with what happened; those not begun because the time was up are not among them.

    Raises:
        SomethingMissing: an engine, a model or a key is missing; rows that came before are kept.
    """
    pool = _Pool(work)
    waiting = deque(cells)
    try:
        while waiting or pool.running:
            while waiting and len(pool.running) < width and work.may_start():
                pool.begin(waiting.popleft())
            if not pool.running:
                break  # the time is up
            waiting.extendleft(pool.step())
    finally:
        pool.stop()
    return pool.broken


class _Pool:
    """The processes that run."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.running: dict[connection.Connection, tuple[Cell, BaseProcess]] = {}
        self.broken: list[Broken] = []
        self.deaths: Counter[Cell] = Counter()

    def begin(self, cell: Cell) -> None:
        """Start a cell's process; spawned, since a fork would copy threads and open databases."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_carry_out, args=(theirs, self.work.run, cell, self.work.runs), name=cell.name)
        process.start()
        theirs.close()
        self.running[ours] = (cell, process)

    def step(self) -> list[Cell]:
        """Wait for a message or an end; returns cells whose process died and that are to be begun again."""
        again: list[Cell] = []
        for ready in connection.wait(list(self.running)):
            pipe = next(p for p in self.running if p is ready)
            cell, process = self.running[pipe]
            try:
                kind, value = pipe.recv()
            except (EOFError, OSError):  # it ended, or was killed while it wrote
                again += self._died(pipe, cell, process)
                continue
            if kind == "say":
                self.work.say(f"{cell.name}: {value}")
                continue
            self._forget(pipe, process)
            if kind == "missing":
                raise SomethingMissing(value)
            if kind == "row":
                self.work.keep(checked(value, cell))
            else:
                self.broken.append(Broken(cell, value))
                self.work.say(f"{cell.name}: no row: {value}")
        return again

    def _died(self, pipe: connection.Connection, cell: Cell, process: BaseProcess) -> list[Cell]:
        self._forget(pipe, process)
        self.deaths[cell] += 1
        how = f"its process died with {process.exitcode}"
        if self.deaths[cell] < DEATHS:
            self.work.say(f"{cell.name}: {how}; it is begun again")
            return [cell]
        self.broken.append(Broken(cell, f"{how}, {DEATHS} times"))
        self.work.say(f"{cell.name}: no row: {how}, {DEATHS} times")
        return []

    def _forget(self, pipe: connection.Connection, process: BaseProcess) -> None:
        del self.running[pipe]
        pipe.close()
        process.join(STOP_S)
        if process.is_alive():  # its row is here, but something in it does not end
            process.kill()
            process.join()

    def stop(self) -> None:
        """End what runs still; a run that is interrupted saves what it has."""
        for _, process in self.running.values():
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
        for _, process in self.running.values():
            process.join(STOP_S)
            if process.is_alive():
                process.kill()
                process.join()
        self.running.clear()


def _carry_out(pipe: Any, run: RunCell, cell: Cell, runs: Path) -> None:
    """What a cell's process does."""
    signal.signal(signal.SIGINT, _interrupted)  # a table in the background ignores it, and hands that on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        row = run(cell, runs, lambda text: pipe.send(("say", text)))
    except KeyboardInterrupt:
        sys.exit(130)
    except SomethingMissing as error:
        pipe.send(("missing", str(error)))
    except Exception as error:  # noqa: BLE001  (the process edge)
        pipe.send(("broken", f"{type(error).__name__}: {' '.join(str(error).split())}"))
    else:
        pipe.send(("row", row))


def _interrupted(signum: int, frame: Any) -> None:
    stop_waiting()
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """A table that was killed leaves no cell behind: its run is interrupted as by Ctrl-C."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)
