"""Stopping a run from outside: a request in its folder, which the process that carries the run looks for.

A file and not a signal, since whoever asks may be another user's program, and a process id may be somebody else's
by the time it is used.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from labwright.domain import Thing
from labwright.errors import RunFailed, WrongUse
from labwright.lease import stop_waiting
from labwright.store import RunStore, now

STOP = "stop.json"
LOOK_S = 0.5
"""How often the process looks."""
ENDED = ("done", "failed", "waiting_for_review")


class Stop(Thing):
    """The request."""

    kind: Literal["pause", "cancel"]
    at: str
    by: str = ""
    reason: str = ""


def ask_to_stop(store: RunStore, kind: Literal["pause", "cancel"], *, by: str = "", reason: str = "") -> None:
    """Have a run stopped: paused, to be resumed, or cancelled, which ends it as failed; what is finished is kept.

    Raises:
        WrongUse: the run has ended, or is not being carried (then it can be cancelled, not paused).
    """
    with store.changing():
        record = store.record()
        if record.status in ENDED and not (kind == "cancel" and record.status == "waiting_for_review"):
            raise WrongUse(f"run {store.id} is {record.status}; there is nothing to {kind}")
        stop = Stop(kind=kind, at=now(), by=by, reason=reason[:500])
        # A run that waits has no work to interrupt: the process that carried it may still write its report.
        if record.status != "waiting_for_review":
            store.write(store.folder / STOP, stop, durable=True)
            if store.is_carried():
                return
            forget_stop(store)
            if kind == "pause" and record.status != "queued":
                raise WrongUse(f"run {store.id} is not being worked on; there is nothing to pause")
        _end(store, stop)


def settle_stop(store: RunStore) -> None:
    """Carry out a request that came when the work was over already; called once the process has let go of the run."""
    with store.changing():
        if store.is_carried():  # whoever carries it now heeds the request
            return
        try:
            stop = store.read(store.folder / STOP, Stop)
        except RunFailed:
            return
        forget_stop(store)
        if stop.kind == "cancel" and store.record().status not in ("done", "failed"):
            _end(store, stop)


def _end(store: RunStore, stop: Stop) -> None:
    status, message = _ending(stop)
    ended = {"status": status, "message": message, "finished_at": now()}
    store.save_record(store.record().model_copy(update=ended), durable=True)


def how_stopped(store: RunStore) -> tuple[str, str]:
    """Status and message of a run that was interrupted, by a request or by a signal; the request is forgotten."""
    try:
        stop = store.read(store.folder / STOP, Stop)
    except RunFailed:
        return "interrupted", "interrupted; `labwright resume` goes on"
    forget_stop(store)
    return _ending(stop)


def _ending(stop: Stop) -> tuple[str, str]:
    who, why = f" by {stop.by}" if stop.by else "", f": {stop.reason}" if stop.reason else ""
    if stop.kind == "cancel":
        return "failed", f"cancelled{who}{why}"
    return "interrupted", f"paused{who}{why}; `labwright resume` goes on"


def forget_stop(store: RunStore) -> None:
    """Take the request away."""
    (store.folder / STOP).unlink(missing_ok=True)


@contextmanager
def heeding_stop(store: RunStore) -> Iterator[None]:
    """Interrupt this process's main thread when a request comes while the block runs."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            if (store.folder / STOP).exists():
                stop_waiting()
                _interrupt()
                return

    watcher = threading.Thread(target=look, name="stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _interrupt() -> None:
    """Interrupt the main thread, also out of a wait.

    The command line turns both signals into an interrupt; SIGINT is ignored in a job of the background, and SIGTERM
    without a handler would end the process with nothing saved.
    """
    able = callable(signal.getsignal(signal.SIGTERM))
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM if able else signal.SIGINT)
