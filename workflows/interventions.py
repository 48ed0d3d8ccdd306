"""What persons do at the gate, kept in the run folder: eval/automation.py counts it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import RootModel

from labwright.domain import Intervention, Protocol
from labwright.store import RunStore, now

NAME = "interventions.json"


class _Interventions(RootModel[tuple[Intervention, ...]]):
    """The file: every intervention, oldest first."""


def record_intervention(
    store: RunStore, kind: Literal["approve", "edit", "reject"], *, detail: str = "", steps: Sequence[str] = ()
) -> None:
    """Add one to the run folder.

    Raises:
        RunFailed: those that were recorded before cannot be read.
        DiskFull: it cannot be written.
    """
    path = store.folder / NAME
    before = store.read(path, _Interventions).root if path.is_file() else ()
    done = Intervention(kind=kind, at=now(), detail=detail, steps=tuple(steps))
    store.write(path, _Interventions((*before, done)))


def changed_steps(old: Protocol, new: Protocol) -> list[str]:
    """Ids of the steps that differ, were added or were taken out, in the order of the new protocol, then of the old."""
    before = {step.id: step for part in old.parts for step in part.steps}
    after = {step.id: step for part in new.parts for step in part.steps}
    return [name for name in {**after, **before} if before.get(name) != after.get(name)]
