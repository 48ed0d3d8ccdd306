"""What a run has reached, a line at a time: `progress.jsonl` in its folder, for whoever watches.

The file tells; it decides nothing. A run that goes on after an interruption adds to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.store import RunStore, now
from labwright.workflows.baselines import Workflow

NAME = "progress.jsonl"
MOST_CHARS = 500
MOST_BYTES = 2**20
"""Of a longer file its end is read."""
_LITERATURE = ("screen", "find_papers")
_CHOSEN = ("find_dataset", "choose_analyses", "read")
_RUN = ("program", "run_task")
_HIERARCHY = (*_LITERATURE, *_CHOSEN, "plan", "outline", "detail", "assemble", *_RUN)
WAYS: Mapping[Workflow, tuple[str, ...]] = {
    "labwright": _HIERARCHY,
    "no_reviewer": _HIERARCHY,
    "rules_only": _HIERARCHY,
    "no_hierarchy": (*_LITERATURE, *_CHOSEN, "whole", *_RUN),
    "one_shot": (*_LITERATURE, "read", "one_shot", *_RUN),
    "plan_execute": (*_LITERATURE, "read", "make_plan", "carry_out", "replan", "write_up"),
    "react": (*_LITERATURE, "read", "turn", "write_up"),
    "literature": (*_LITERATURE, "read"),
}
"""Nodes of a workflow in the order in which a run comes to them; `graph.py` wires them, and a test compares the two."""


@dataclass(frozen=True, slots=True)
class Event:
    """A node that began, ended or failed; or something said."""

    at: str
    node: str = ""
    item: str = ""
    """Id of the paper, part or task that the node works on."""
    state: str = ""
    said: str = ""


@contextmanager
def told_node(store: RunStore, node: str, item: str) -> Iterator[None]:
    """Say that a node begins, and how it ends."""
    _add(store, {"node": node, "item": item, "state": "begun"})
    try:
        yield
    except BaseException:
        _add(store, {"node": node, "item": item, "state": "failed"})
        raise
    _add(store, {"node": node, "item": item, "state": "ended"})


def saying(store: RunStore, say: Callable[[str], None]) -> Callable[[str], None]:
    """`say`, with the words kept too."""

    def told(text: str) -> None:
        _add(store, {"said": text[:MOST_CHARS]})
        say(text)

    return told


def events(folder: Path) -> list[Event]:
    """What was told, oldest first; lines that cannot be read, such as a half-written last one, are left out."""
    try:
        with (folder / NAME).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MOST_BYTES))
            lines = file.read(MOST_BYTES).decode("utf-8", "replace").split("\n")
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(ValueError, TypeError):
            found.append(Event(**json.loads(line)))
    return found


def _add(store: RunStore, event: dict[str, Any]) -> None:
    line = json.dumps({"at": now(), **event}, ensure_ascii=False) + "\n"
    # Progress is for those who watch: a disk that cannot take it will stop the run where it writes its results.
    with suppress(OSError):
        descriptor = os.open(store.folder / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode("utf-8", "replace"))  # one call, so lines of threads do not mix
        finally:
            os.close(descriptor)
