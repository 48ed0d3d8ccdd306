"""What differs between two versions of a protocol, field by field and word by word."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from labwright.domain import Part, Protocol, Step

WORDS = re.compile(r"\s+|\w+|[^\w\s]")
MOST_WORDS = 4000
"""Longer texts are shown whole, before and after: their comparison takes the square of their length."""
PART_FIELDS = ("title", "purpose", "design_reason", "outline", "refs")
STEP_FIELDS = ("details", "kind", "datasets", "operator", "parameters", "inputs", "refs")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text that both have, or one of them."""

    kind: Literal["same", "added", "removed"]
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs."""

    place: str
    """Part or step, in words; empty for the protocol itself."""
    field: str
    pieces: tuple[Piece, ...]


def changes(old: Protocol, new: Protocol) -> list[Change]:
    """Every field that differs, in the order of the new protocol; what was taken out comes last.

    Example:
        >>> from labwright.domain import Objective
        >>> first = Protocol(objective=Objective(text="o"), logic="one way", parts=())
        >>> [c.field for c in changes(first, first.model_copy(update={"logic": "another way"}))]
        ['logic']
    """
    found = _field("", "logic", old.logic, new.logic)
    before, after = ({part.id: part for part in protocol.parts} for protocol in (old, new))
    for name in {**after, **before}:
        found += _of_part(name, before.get(name), after.get(name))
    return found


def _of_part(name: str, old: Part | None, new: Part | None) -> list[Change]:
    found = [c for field in PART_FIELDS for c in _field(name, field, _text(old, field), _text(new, field))]
    before, after = ({step.id: step for step in part.steps} if part else {} for part in (old, new))
    for step in {**after, **before}:
        found += _of_step(f"{name}, step {step}", before.get(step), after.get(step))
    return found


def _of_step(place: str, old: Step | None, new: Step | None) -> list[Change]:
    return [c for field in STEP_FIELDS for c in _field(place, field, _text(old, field), _text(new, field))]


def _text(thing: Part | Step | None, field: str) -> str:
    value: Any = None if thing is None else thing.model_dump(mode="json")[field]
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, dict):
        return "\n".join(f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _field(place: str, field: str, old: str, new: str) -> list[Change]:
    return [] if old == new else [Change(place, field, pieces(old, new))]


def pieces(old: str, new: str) -> tuple[Piece, ...]:
    """Both texts as one, in stretches: what only the old one has is removed, what only the new one has is added.

    Example:
        >>> [(p.kind, p.text) for p in pieces("one red hat", "one blue hat")]
        [('same', 'one '), ('removed', 'red'), ('added', 'blue'), ('same', ' hat')]
    """
    a, b = WORDS.findall(old), WORDS.findall(new)
    if max(len(a), len(b)) > MOST_WORDS:
        return (Piece("removed", old), Piece("added", new))
    found: list[Piece] = []
    for kind, i, j, k, n in SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(Piece("same", "".join(a[i:j])))
            continue
        found += [Piece("removed", "".join(a[i:j]))] if i < j else []
        found += [Piece("added", "".join(b[k:n]))] if k < n else []
    return tuple(found)
