"""A protocol that a person edited: accepted only when it still holds together."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from labwright.domain import Protocol, Ref, Report, Step
from labwright.errors import ReferenceUnresolved, WrongUse
from labwright.store import RunStore
from labwright.tools.analysis.contracts import OPERATORS, validate_params
from labwright.tools.catalogue.catalogue import card
from labwright.workflows.protocol_text import protocol_markdown


def accept_edit(store: RunStore, path: Path) -> Protocol:
    """Check an edited protocol and put it in the place of the run's own.

    Raises:
        WrongUse: the file is no protocol, names data that was not verified, wrong parameters or an unknown
            analysis, or a reference does not resolve.
    """
    try:
        edited = Protocol.model_validate_json(path.read_text(encoding="utf-8"))
        _check(store, edited)
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise WrongUse(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; see docs/protocol.schema.json"
        ) from error
    except (ValueError, ReferenceUnresolved) as error:
        raise WrongUse(f"{path}: {error}") from error
    old = store.read(store.folder / "protocol.json", Protocol)
    store.write(store.folder / f"protocol.v{old.version}.json", old)
    edited = edited.model_copy(update={"version": old.version + 1})
    store.write(store.folder / "protocol.json", edited)
    store.write_text(store.folder / "protocol.md", protocol_markdown(edited, store))
    return edited


def _check(store: RunStore, protocol: Protocol) -> None:
    known = {d.id for d in protocol.datasets if store.path("datasets", f"{d.id}.json").is_file()}
    steps = [step for part in protocol.parts for step in part.steps]
    ids = [step.id for step in steps]
    if len(set(ids)) != len(ids):
        raise ValueError("two steps share an id")
    for place, step in enumerate(steps):
        _check_step(step, known, ids[:place])
    for ref in [r for p in protocol.parts for r in (*p.refs, *(r for s in p.steps for r in s.refs))]:
        resolve(store, ref)


def _check_step(step: Step, known: set[str], earlier: list[str]) -> None:
    unverified = sorted(set(step.datasets) - known)
    if unverified:
        raise ValueError(f"step {step.id} names data that this run did not verify: {', '.join(unverified)}")
    late = sorted(set(step.inputs) - set(earlier))
    if late:
        raise ValueError(f"step {step.id} reads outputs of steps that do not come before it: {', '.join(late)}")
    if step.kind == "wet":
        return
    if step.operator not in OPERATORS:
        raise ValueError(f"step {step.id}: no analysis named {step.operator!r}; known are {', '.join(OPERATORS)}")
    validate_params(OPERATORS[step.operator], card(step.datasets[0]), step.parameters)


def resolve(store: RunStore, ref: Ref) -> None:
    """Follow a reference to its stored report, part and steps.

    Raises:
        ReferenceUnresolved: one of them does not exist.
    """
    path = store.path("reports", f"{ref.paper}.json")
    if not path.is_file():
        raise ReferenceUnresolved(f"there is no report of {ref.paper!r} in this run")
    part = next((p for p in store.read(path, Report).parts if p.id == ref.part), None)
    if part is None:
        raise ReferenceUnresolved(f"the report of {ref.paper} has no part {ref.part!r}")
    missing = sorted(set(ref.steps) - {s.id for s in part.steps})
    if missing:
        raise ReferenceUnresolved(f"part {ref.part} of {ref.paper} has no step {', '.join(missing)}")
