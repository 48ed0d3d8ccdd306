"""A protocol as the metrics read it, whoever wrote it: parts, steps, what each step names.

Readers for JSON and Markdown make it (`eval/protocol_json.py`, `eval/protocol_markdown.py`); nothing in it says which
system the protocol came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadStep:
    """One step."""

    id: str
    """As the document has it; numbered `part.step` where it has none."""
    text: str
    kind: str = "dry"
    """dry, wet or mixed."""
    tool: str = ""
    datasets: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    """Ids of steps whose results it reads."""
    refs: tuple[str, ...] = ()
    """Keys of the sources it follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPart:
    """One part."""

    id: str
    title: str
    purpose: str = ""
    """Purpose and outline."""
    steps: tuple[ReadStep, ...] = ()
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A whole protocol."""

    objective: str
    logic: str = ""
    parts: tuple[ReadPart, ...] = ()
    datasets: tuple[Mapping[str, Any], ...] = ()
    """Declared data sets with what is claimed of them: id, and organism or n_samples where given."""
    sources: frozenset[str] = frozenset()
    """Keys that a reference may name."""

    def steps(self) -> Iterator[ReadStep]:
        """Every step in the order of the document."""
        for part in self.parts:
            yield from part.steps


def text_of(reading: Reading) -> str:
    """The protocol as plain text in one form for every system, for a judge that must not know which wrote it."""
    lines = [reading.logic] if reading.logic else []
    for number, part in enumerate(reading.parts, start=1):
        lines.append(f"Part {number}: {part.title}")
        if part.purpose:
            lines.append(part.purpose)
        for step in part.steps:
            lines.append(f"- {step.id}: {step.text}")
            named = {
                "tool": step.tool,
                "data": ", ".join(step.datasets),
                "settings": ", ".join(
                    f"{k} = {v}" for k, v in step.parameters.items() if v is not None and k != "seed"
                ),
                "reads": ", ".join(step.inputs),
                "sources": ", ".join(step.refs),
            }
            lines += [f"  {name}: {value}" for name, value in named.items() if value]
    return "\n".join(lines)
