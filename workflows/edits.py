"""A protocol that a person edited: accepted only when it still holds together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from labwright.domain import Paper, Part, Protocol, Ref, Report, Step
from labwright.errors import ReferenceUnresolved, RetractedEvidence, WrongUse
from labwright.store import RunStore
from labwright.tools.analysis.contracts import OPERATORS, feasible, validate_params
from labwright.tools.catalogue.catalogue import card
from labwright.tools.standing import require_citable
from labwright.workflows.protocol_text import protocol_markdown


def read_protocol(path: Path) -> Protocol:
    """A protocol file of the user.

    Raises:
        WrongUse: it cannot be read, or is no protocol.
    """
    try:
        return Protocol.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise WrongUse(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; see docs/protocol.schema.json"
        ) from error


def accept_edit(store: RunStore, path: Path) -> Protocol:
    """Check an edited protocol file and put it in the place of the run's own.

    Raises:
        WrongUse: the file is no protocol, names data that was not verified, wrong parameters or an unknown
            analysis, or a reference does not resolve.
    """
    return accept_protocol(store, read_protocol(path), named=str(path))


def accept_protocol(store: RunStore, edited: Protocol, *, named: str = "the edit") -> Protocol:
    """Check an edited protocol and put it in the place of the run's own, which stays as `protocol.vN.json`.

    Args:
        store: the run.
        edited: the protocol.
        named: what the messages call it.

    Raises:
        WrongUse: as for :func:`accept_edit`.
    """
    try:
        _check(store, edited)
    except (ValueError, ReferenceUnresolved, RetractedEvidence) as error:
        raise WrongUse(f"{named}: {error}") from error
    old = keep_version(store)
    edited = edited.model_copy(update={"version": old.version + 1, "parts": tuple(map(_filled, edited.parts))})
    store.write_text(store.folder / "protocol.md", protocol_markdown(edited, store), durable=True)
    store.write(store.folder / "protocol.json", edited, durable=True)
    return edited


def keep_version(store: RunStore) -> Protocol:
    """Keep the run's protocol under its version, before another one takes its place; returns it."""
    old = store.read(store.folder / "protocol.json", Protocol)
    store.write(store.folder / f"protocol.v{old.version}.json", old, durable=True)
    return old


def versions(store: RunStore) -> dict[int, Protocol]:
    """Every version of the run's protocol by its number, oldest first; empty before there is one.

    Raises:
        RunFailed: one cannot be read.
    """
    path = store.folder / "protocol.json"
    paths = [*store.folder.glob("protocol.v*.json"), *([path] if path.is_file() else [])]
    found = [store.read(p, Protocol) for p in paths]
    return {protocol.version: protocol for protocol in sorted(found, key=lambda p: p.version)}


def _check(store: RunStore, protocol: Protocol) -> None:
    known = {d.id for d in protocol.datasets if store.path("datasets", f"{d.id}.json").is_file()}
    steps = [step for part in protocol.parts for step in part.steps]
    ids = [step.id for step in steps]
    if len(set(ids)) != len(ids) or len({part.id for part in protocol.parts}) != len(protocol.parts):
        raise ValueError("two steps or two parts share an id")
    for place, step in enumerate(steps):
        _check_step(step, known, {s.id: s for s in steps[:place]})
    for ref in [r for p in protocol.parts for r in (*p.refs, *(r for s in p.steps for r in s.refs))]:
        resolve(store, ref)


def _check_step(step: Step, known: set[str], earlier: Mapping[str, Step]) -> None:
    unverified = sorted(set(step.datasets) - known)
    if unverified:
        raise ValueError(f"step {step.id} names data that this run did not verify: {', '.join(unverified)}")
    late = sorted(set(step.inputs) - earlier.keys())
    if late:
        raise ValueError(f"step {step.id} reads outputs of steps that do not come before it: {', '.join(late)}")
    if step.kind != "wet":
        _check_analysis(step, [earlier[i] for i in step.inputs])


def _check_analysis(step: Step, inputs: Sequence[Step]) -> None:
    """A step that is run must be one that its operator can carry."""
    if step.operator not in OPERATORS:
        raise ValueError(f"step {step.id}: no analysis named {step.operator!r}; known are {', '.join(OPERATORS)}")
    if not step.datasets:
        raise ValueError(f"step {step.id} names no data set")
    contract, data = OPERATORS[step.operator], card(step.datasets[0])
    if reason := feasible(contract, data):
        raise ValueError(f"step {step.id}: {step.operator} cannot use {step.datasets[0]}: {reason}")
    if wet := [s.id for s in inputs if s.kind == "wet"]:
        raise ValueError(f"step {step.id} reads outputs of wet steps, which write no files: {', '.join(wet)}")
    needed = contract.requires.needs_table_of
    if needed and (not inputs or inputs[0].operator not in needed):
        raise ValueError(f"step {step.id}: its first input must be a step of {' or '.join(needed)}")
    validate_params(contract, data, step.parameters)


def _filled(part: Part) -> Part:
    """The part with the parameters that validation filled in, since "none" and what was left out are no values."""
    steps = [
        s.model_copy(update={"parameters": validate_params(OPERATORS[s.operator], card(s.datasets[0]), s.parameters)})
        if s.kind != "wet"
        else s
        for s in part.steps
    ]
    return part.model_copy(update={"steps": tuple(steps)})


def resolve(store: RunStore, ref: Ref) -> None:
    """Follow a reference to its stored report, part and steps.

    Raises:
        ReferenceUnresolved: one of them does not exist.
        RetractedEvidence: the paper is retracted.
    """
    path = store.path("reports", f"{ref.paper}.json")
    stored = path.is_file() and store.path("papers", f"{ref.paper}.json").is_file()
    report = store.read(path, Report) if stored else None
    if report is None or report.paper != ref.paper:  # file names are made safe, so two ids can share one
        raise ReferenceUnresolved(f"there is no report of {ref.paper!r} in this run")
    require_citable(store.read(store.path("papers", f"{ref.paper}.json"), Paper))
    part = next((p for p in report.parts if p.id == ref.part), None)
    if part is None:
        raise ReferenceUnresolved(f"the report of {ref.paper} has no part {ref.part!r}")
    missing = sorted(set(ref.steps) - {s.id for s in part.steps})
    if missing:
        raise ReferenceUnresolved(f"part {ref.part} of {ref.paper} has no step {', '.join(missing)}")
