"""Begins queued runs, as many at a time as the machine carries, in turns between the users who asked for them.

Each is a process of its own, `labwright resume RUN`, in a session of its own: it outlives this server. What is to
be begun stands in the run folders alone, so a server that is killed and started again goes on where it was. A
process that is begun twice, by two servers, finds the run taken and ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from labwright.errors import LabwrightError
from labwright.lease import lease_is_exclusive
from labwright.store import RunStore
from labwright.web.run_list import Row, RunList

EVERY_S = 1.0
LOG = "process.log"
LOST = "its process ended without a word; `labwright resume` goes on"


def spawn(store: RunStore) -> subprocess.Popen[bytes]:
    """Begin the process that carries a run on; what it says goes to `process.log` of the run folder."""
    command = [sys.executable, "-m", "labwright.cli", "resume", store.id, "--only-queued"]
    command += ["--out", str(store.folder.parent)]
    with (store.folder / LOG).open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
        )


def most_at_once() -> int:
    """Runs that are carried at a time: one where they would wait for one another's compute, else one for two cores."""
    return 1 if lease_is_exclusive() else max(1, (os.cpu_count() or 2) // 2)


class Dispatcher:
    """The queue of one folder of runs."""

    def __init__(
        self, runs: Path, listed: RunList, begin: Callable[[RunStore], subprocess.Popen[bytes]] = spawn
    ) -> None:
        self._runs, self._listed, self._begin = runs, listed, begin
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._over, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)

    def start(self) -> None:
        """Take turns until :meth:`stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further run; those that were begun go on."""
        self._over.set()
        self._wake.set()
        self._thread.join()

    def nudge(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def turn(self) -> list[str]:
        """Settle what has ended, begin what may begin; returns the ids of the runs that were begun."""
        rows = self._listed.rows()
        stores = {row.id: RunStore(self._runs / row.id) for row in rows if row.status in ("queued", "running")}
        carried = {name for name, store in stores.items() if store.is_carried()}
        for name in [name for name, child in self._children.items() if child.poll() is not None]:
            del self._children[name]
        for row in rows:
            if row.status == "running" and row.id not in carried and row.id not in self._children:
                self._lost(stores[row.id])
        busy = carried | self._children.keys()
        begun = []
        for row in in_turn(rows, busy)[: max(0, most_at_once() - len(busy))]:
            self._children[row.id] = self._begin(stores[row.id])
            begun.append(row.id)
        return begun

    def _work(self) -> None:
        while not self._over.is_set():
            # A run folder that cannot be read now is looked at again in the next turn.
            with suppress(OSError, LabwrightError):
                self.turn()
            self._wake.wait(EVERY_S)
            self._wake.clear()

    def _lost(self, store: RunStore) -> None:
        """A run whose process was killed, or whose machine went down, is interrupted; its record says so."""
        with store.owned():
            record = store.record()
            if record.status == "running":
                store.save_record(record.model_copy(update={"status": "interrupted", "message": LOST}), durable=True)


def in_turn(rows: Sequence[Row], busy: set[str]) -> list[Row]:
    """Queued runs that nobody carries yet, in the order in which they are begun.

    The user whose last run began longest ago comes first; of one user's runs, the one that was asked for first.

    Args:
        rows: all runs, newest first.
        busy: ids of runs that are carried.
    """
    waiting = [row for row in reversed(rows) if row.status == "queued" and row.id not in busy]
    last: dict[str, str] = {}
    for row in reversed(rows):
        if row.status != "queued" or row.id in busy:
            last[row.started_by] = row.id  # ids begin with the time
    ordered: list[Row] = []
    served = dict(last)
    while waiting:
        chosen = min(waiting, key=lambda row: (served.get(row.started_by, ""), row.id))
        waiting.remove(chosen)
        ordered.append(chosen)
        served[chosen.started_by] = f"~{len(ordered):06d}"  # served now: after everybody who still waits
    return ordered
