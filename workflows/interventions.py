"""What persons do at the gate, kept in the run folder: eval/automation.py counts it."""

from __future__ import annotations

from pydantic import RootModel

from labwright.domain import Intervention, Protocol
from labwright.store import RunStore

NAME = "interventions.json"


class _Interventions(RootModel[tuple[Intervention, ...]]):
    """The file: every intervention, oldest first."""


def record_intervention(store: RunStore, act: Intervention) -> None:
    """Add one to the run folder; it is on the disk when this returns.

    Raises:
        RunFailed: those that were recorded before cannot be read.
        DiskFull: it cannot be written.
    """
    path = store.folder / NAME
    before = store.read(path, _Interventions).root if path.is_file() else ()
    store.write(path, _Interventions((*before, act)), durable=True)


def interventions(store: RunStore) -> tuple[Intervention, ...]:
    """What persons did, oldest first.

    Raises:
        RunFailed: the file cannot be read.
    """
    path = store.folder / NAME
    return store.read(path, _Interventions).root if path.is_file() else ()


def changed_steps(old: Protocol, new: Protocol) -> list[str]:
    """Ids of the steps that differ, were added or were taken out, in the order of the new protocol, then of the old."""
    before = {step.id: step for part in old.parts for step in part.steps}
    after = {step.id: step for part in new.parts for step in part.steps}
    return [name for name in {**after, **before} if before.get(name) != after.get(name)]
