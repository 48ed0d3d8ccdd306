"""What the models of a run are made of, as one tree a backend: stages, defences, members, experts, vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labwright.domain import RunRecord

SHORT = 12
"""Figures of a hash that are shown."""


@dataclass(frozen=True, slots=True)
class Node:
    """One thing that a model is made of."""

    title: str
    facts: tuple[str, ...] = ()
    hash: str = ""
    children: tuple[Node, ...] = ()


def lineage(record: RunRecord) -> list[Node]:
    """A tree for each backend that is made of something; roles that share one are named together.

    A backend that is one file or one server is left to the table of models.
    """
    backends: dict[str, tuple[list[str], Mapping[str, Any]]] = {}
    for role, facts in record.models.items():
        key = f"{facts.get('name')}:{facts.get('model')}"
        backends.setdefault(key, ([], facts))[0].append(role)
    return [
        Node(f"{', '.join(roles)}: {node.title}", node.facts, node.hash, node.children)
        for roles, facts in backends.values()
        if (node := of_backend(str(facts.get("name", "unnamed")), facts)).children
    ]


def of_backend(name: str, facts: Mapping[str, Any]) -> Node:
    """The tree of one backend from what the record says of it; damaged facts are left out, not guessed."""
    said = [f"kind {facts.get('kind', 'unknown')}", str(facts.get("model", "model unknown"))]
    if facts.get("experts"):
        said.append(f"{facts['experts']} experts, {facts.get('top_k', '?')} a token")
    children = [*_stage(facts.get("stage")), *_hardening(facts.get("hardening")), *_adapter(facts.get("adapter"))]
    children += [*_steering(facts.get("steering")), *_trained(facts.get("trained")), *_members(facts.get("members"))]
    return Node(name, tuple(said), str(facts.get("sha256") or "")[:SHORT], tuple(children))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _stage(given: Any) -> list[Node]:
    held = _mapping(given)
    if not held:
        return []
    inputs = [Node(str(name), (), str(key)[:SHORT]) for name, key in _mapping(held.get("inputs")).items()]
    return [Node(f"built as {held.get('name', 'a stage')}, on", (), str(held.get("key", ""))[:SHORT], tuple(inputs))]


def _hardening(given: Any) -> list[Node]:
    steps = _mapping(given).get("steps")
    found = []
    for step in steps if isinstance(steps, Sequence) else ():
        held = _mapping(step)
        settings = ", ".join(f"{k} {v}" for k, v in _mapping(held.get("settings")).items())
        found.append(
            Node(f"{held.get('defence', 'a defence')}, {held.get('stage', '')}", (settings,) if settings else ())
        )
    return [Node("hardened by, in this order", (), "", tuple(found))] if found else []


def _adapter(given: Any) -> list[Node]:
    held = _mapping(given)
    return [Node(f"adapter {held.get('name', '')}", (), str(held.get("sha256", ""))[:SHORT])] if held else []


def _steering(given: Any) -> list[Node]:
    held = _mapping(given)
    if not held:
        return []
    where = [f"layers {held['layers']}, {held.get('positions')}".replace("_", " ")] if "layers" in held else []
    facts = (f"level {held.get('level')}", f"alpha {held.get('alpha')}", *where, str(held.get("reason", "")))
    from_ = f"shift vectors of {held.get('anchors', '?')} anchors, {held.get('corruption', '?')} images"
    return [Node(from_, tuple(f for f in facts if f), str(held.get("vectors_sha256", ""))[:SHORT])]


def _trained(given: Any) -> list[Node]:
    held = _mapping(given)
    if not held:
        return []
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in _mapping(held.get("weights")).items()
                        if isinstance(weight, int | float))  # fmt: skip
    facts = (f"chosen on {held.get('chosen_on', '?')} questions", *((f"weights {weights}",) if weights else ()))
    return [Node(f"joined by {held.get('joining', '?')}", facts, str(held.get("data_sha256", ""))[:SHORT])]


def _members(given: Any) -> list[Node]:
    return [of_backend(str(name), _mapping(facts)) for name, facts in _mapping(given).items()]
