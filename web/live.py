"""A run while it goes on: its nodes, what it has used, what it says."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from labwright.config import BudgetConfig, Config, cache_dir
from labwright.domain import RunRecord
from labwright.eval.report_files import RunFiles, Spent
from labwright.lease import lease_is_exclusive
from labwright.store import RunStore
from labwright.web.dispatcher import LOG
from labwright.web.pages import environment
from labwright.workflows.baselines import Workflow
from labwright.workflows.decisions import REVIEW
from labwright.workflows.progress import WAYS, Event, events

LOOK_S = 1.0
REFRESH_S = 5.0
"""Times and queues move on though no file changes."""
SAID, LOG_LINES = 12, 60
ACTIVE = ("queued", "running")
LABELS = {
    "screen": "Screen the objective",
    "find_papers": "Find papers",
    "take_literature": "Take papers over",
    "find_dataset": "Find a data set",
    "choose_analyses": "Choose analyses",
    "read": "Read papers",
    "plan": "Plan the parts",
    "outline": "Outline the parts",
    "detail": "Detail the steps",
    "assemble": "Assemble the protocol",
    "whole": "Write the protocol",
    "one_shot": "Write the protocol",
    "make_plan": "Make a plan",
    "carry_out": "Carry the plan out",
    "replan": "Look at the plan again",
    "turn": "Act and look",
    "write_up": "Write the protocol up",
    "review": "A person reviews",
    "program": "Make tasks",
    "run_task": "Run the analyses",
}


class Node(BaseModel):
    """One node of the run's graph."""

    name: str
    label: str
    state: str
    """to come, begun, ended, failed, or waiting for review."""
    begun: int
    """Papers, parts or tasks that it was begun for."""
    ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A run as it is now."""

    record: RunRecord
    nodes: list[Node]
    spent: Spent
    budget: BudgetConfig
    elapsed_s: float | None
    """Of the present invocation while it runs; else of all."""
    said: list[Event]
    log: str
    lease: str
    place: int
    """In the queue, from 1; 0 when it is not queued."""
    carried: bool


def nodes(record: RunRecord, told: list[Event], *, review: bool, carried: bool) -> list[Node]:
    """The states of the run's nodes, in their order; empty for a run that has told nothing."""
    if not told:
        return []
    way = list(WAYS.get(cast("Workflow", record.workflow), ()))
    if any(event.node == "take_literature" for event in told):
        way[:2] = ["take_literature"]
    found = []
    for name in way:
        last = {event.item: event.state for event in told if event.node == name}
        ended = sum(state == "ended" for state in last.values())
        found.append(Node(name=name, label=LABELS[name], state=_state(last, carried), begun=len(last), ended=ended))
        if name == "assemble" and (review or record.status == "waiting_for_review"):
            waits = record.status == "waiting_for_review"
            state = "waiting for review" if waits else "to come"
            found.append(Node(name="review", label=LABELS["review"], state=state, begun=0, ended=0))
    return found


def _state(last: dict[str, str], carried: bool) -> str:
    if not last:
        return "to come"
    if "begun" in last.values():
        return "begun" if carried else "failed"
    return "failed" if "failed" in last.values() else "ended"


def watched(store: RunStore, place: int) -> Watched:
    """Read what a run has told."""
    record, files, told = store.record(), RunFiles(store.folder), events(store.folder)
    carried = store.is_carried()
    return Watched(
        record=record,
        nodes=nodes(record, told, review=(store.folder / REVIEW).exists(), carried=carried),
        spent=files.spent(),
        budget=(files.read(Config, "config.json") or Config()).budget,
        elapsed_s=_elapsed(record, told, carried),
        said=[event for event in told if event.said][-SAID:],
        log=_tail(store.folder / LOG),
        lease=_lease(),
        place=place,
        carried=carried,
    )


def _elapsed(record: RunRecord, told: list[Event], carried: bool) -> float | None:
    begun = [event.at for event in told if event.node == "run" and event.state == "begun"]
    if not carried or not begun:
        return record.seconds or None
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(begun[-1])).total_seconds())


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16_384))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-LOG_LINES:])
    except OSError:
        return ""


def _lease() -> str:
    """Whether the machine's compute is taken."""
    if not lease_is_exclusive():
        return "not needed: this machine has cores enough"
    try:
        with (cache_dir() / "compute.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "taken by a model or a sandbox job"
    except OSError:
        return "free"
    return "free"


class Watch:
    """What the viewers of runs are shown; computed once a second for all of them."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[float, tuple[Any, ...], float, str]] = {}
        self._lock = threading.Lock()

    def html(self, store: RunStore, place: int) -> str:
        """The live part of the run's page."""
        at = time.monotonic()
        with self._lock:
            looked, stamp, made, html = self._kept.get(store.folder, (0.0, (), 0.0, ""))
            if html and at - looked < LOOK_S / 2:
                return html
            now_stamp = (_stamp(store.folder), place)
            if not html or now_stamp != stamp or at - made > REFRESH_S:
                html, made = _rendered(store, place), at
            self._kept[store.folder] = (at, now_stamp, made, html)
            while len(self._kept) > 64:
                self._kept.pop(next(iter(self._kept)))
            return html


def _rendered(store: RunStore, place: int) -> str:
    return environment().get_template("_watch.html").render(watch=watched(store, place))


def _stamp(folder: Path) -> tuple[tuple[int, int], ...]:
    found = []
    for name in ("record.json", "progress.jsonl", "calls.sqlite", "calls.sqlite-wal", LOG):
        try:
            stat = (folder / name).stat()
            found.append((stat.st_mtime_ns, stat.st_size))
        except OSError:
            found.append((0, 0))
    return tuple(found)
