"""Cells as tasks of a Ray cluster: the one module that imports ray (extra `ray`).

A worker that dies is replaced and its cell is carried out again; the row is written once (shared_results.py).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.errors import LabwrightError, RunFailed, SomethingMissing, WrongUse
from labwright.eval.suites.cell_work import Broken, RunCell, Work, checked
from labwright.eval.suites.objective_cells import Cell
from labwright.eval.suites.shared_results import SharedResults

DEATHS = 20
"""A cell whose worker died more often than this is given up for this time."""
STORE_BYTES = 80 * 2**20
"""Ray's object store of our own cluster: rows travel by the shared folder, so the smallest that it allows is enough."""
POLL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Which workers carry out the cells."""

    shared: Path
    """Folder that every machine of the cluster sees under this path."""
    address: str = ""
    """Address of a running cluster; empty for one of our own on this machine, stopped at the end."""
    workers: int = 1
    """Workers of a cluster of our own."""
    cores_per_cell: int = 1
    """Cores that a cell takes of a machine in a running cluster."""
    linger_s: float = 0.0
    """Seconds that a worker stays after it wrote a row; above 0 where deaths at that moment are measured."""


def measure_on_ray(cells: Sequence[Cell], work: Work, cluster: Cluster) -> list[Broken]:
    """Carry out cells on a cluster.

    Returns:
        The cells that gave no row, with what happened; those not begun because the time was up are not among them.

    Raises:
        SomethingMissing: ray is not installed, the cluster does not answer, or a worker misses engine, model or key.
        RunFailed: the shared folder is not shared.
    """
    with connected(cluster):
        return carry_out(cells, work, cluster)


def carry_out(cells: Sequence[Cell], work: Work, cluster: Cluster) -> list[Broken]:
    """As `measure_on_ray`, inside `connected`."""
    ray = _ray()
    results = SharedResults(cluster.shared.resolve())
    cores = 1 if not cluster.address else cluster.cores_per_cell
    task = ray.remote(num_cpus=cores, max_retries=DEATHS, retry_exceptions=False)(measure_cell)
    waiting = list(cells)
    running: dict[Any, Cell] = {}
    broken: list[Broken] = []
    while waiting or running:
        slots = max(1, int(ray.cluster_resources().get("CPU", 0)) // cores)
        while waiting and len(running) < slots and work.may_start():
            cell = waiting.pop(0)
            running[task.remote(cell, work.run, results, cluster.linger_s)] = cell
        if not running:
            break  # the time is up
        ended, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
        for reference in ended:
            lost = _collect(ray, reference, running.pop(reference), (results, work))
            broken += [lost] if lost else []
    return broken


def _collect(ray: Any, reference: Any, cell: Cell, how: tuple[SharedResults, Work]) -> Broken | None:
    results, work = how
    try:
        ray.get(reference)
    except SomethingMissing as error:
        raise SomethingMissing(str(getattr(error, "cause", error))) from error
    except (ray.exceptions.RayError, LabwrightError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}"
        work.say(f"{cell.name}: no row: {reason}")
        return Broken(cell, reason)
    row = results.get(cell)
    if row is None:
        raise RunFailed(f"{results.folder}: a worker wrote the row of {cell.name} and it is not here; share the folder")
    work.keep(checked(row, cell))
    return None


def measure_cell(cell: Cell, run: RunCell, results: SharedResults, linger_s: float = 0.0) -> None:
    """What a worker does with a cell; one that is done already, by a worker that died after it, is left alone."""
    if results.get(cell) is not None:
        return
    results.mark_started(cell)
    # Below the shared folder lies the literature that all workers read, whichever machine they are on.
    with contextlib.chdir(results.folder):
        row = run(cell, results.runs, lambda text: print(f"{cell.name}: {text}", flush=True))  # to the worker's log
    results.put(cell, checked(row, cell))
    time.sleep(linger_s)


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Connection to a cluster; one of our own is started before and stopped after.

    Raises:
        SomethingMissing: ray is not installed, or no cluster answers at the address.
    """
    ray = _ray()
    own = {"num_cpus": cluster.workers, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    where = {"address": cluster.address} if cluster.address else {"address": "local", **own}
    try:
        ray.init(**where, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        what = f"no Ray cluster answers at {cluster.address}" if cluster.address else "a Ray cluster cannot be started"
        raise SomethingMissing(f"{what}: {' '.join(str(error).split())[:200]}; see `ray status`") from error
    try:
        yield
    finally:
        ray.shutdown()


def check_installed() -> None:
    """Say at once when ray is missing.

    Raises:
        SomethingMissing: it is.
    """
    _ray()


def checked_address(address: str) -> str:
    """An address as ray takes it.

    Raises:
        WrongUse: it is none.
    """
    if address and address != "auto" and ":" not in address:
        raise WrongUse(f"--ray-address {address!r}: HOST:PORT of a running cluster, ray://HOST:PORT, or auto")
    return address


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing about a run leaves the machine
    try:
        import ray
    except ModuleNotFoundError as error:
        raise SomethingMissing("ray is not installed; `pip install 'labwright[ray]'`") from error
    return ray
