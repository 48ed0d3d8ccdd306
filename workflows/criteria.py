"""The reviewer's measure at each stage: named criteria, and what code can decide about them."""

from __future__ import annotations

from collections.abc import Mapping

from labwright.agents.reviewer import Stage
from labwright.agents.untrusted import Guard
from labwright.domain import Part, Protocol
from labwright.tools.analysis.contracts import OPERATORS, validate_params


def headings_stage(accept: float, guard: Guard, seen: str = "") -> Stage[Protocol]:
    """Relevance, literature, logic and scope of the parts.

    Args:
        accept: mean score from which a candidate is accepted.
        guard: shows it to the model.
        seen: what else the reviewer is told, of the figures of the sources.
    """
    criteria = {
        "relevance": "Does every part serve the objective?",
        "literature": "Does the plan use its sources sensibly?",
        "logic": "Do the parts lead to an answer in a sensible order?",
        "scope": "Are the parts free of anything outside the objective?",
    }
    return Stage(
        "Plan of the protocol", criteria, lambda p: guard.written(_show_headings(p) + seen), _heading_faults, accept
    )


def outlines_stage(accept: float, guard: Guard, seen: str = "") -> Stage[Protocol]:
    """Fit to the titles, logic, no repetition; arguments as for `headings_stage`."""
    criteria = {
        "fit": "Does each outline fit the title of its part?",
        "logic": "Does each outline say what is compared and how it is tested?",
        "repetition": "Is each outline different from the others?",
    }
    return Stage(
        "Outlines of the protocol", criteria, lambda p: guard.written(_show_outlines(p) + seen), _outline_faults, accept
    )


def details_stage(accept: float, card: Mapping[str, object], guard: Guard) -> Stage[Part]:
    """Detail, reliability and relevance of one part."""
    criteria = {
        "detail": "Does the step name its data, groups and parameters?",
        "reliability": "Is the method of the step right for its purpose?",
        "relevance": "Does the step serve the objective?",
    }
    return Stage(
        "Step of the protocol",
        criteria,
        lambda part: guard.written(_show_part(part)),
        lambda part: _part_faults(part, card),
        accept,
    )


def whole_stage(accept: float, card: Mapping[str, object], guard: Guard) -> Stage[Protocol]:
    """All levels at once, for a protocol that was written in one answer."""
    criteria = {
        "relevance": "Does every part serve the objective?",
        "literature": "Does the plan use its sources sensibly?",
        "logic": "Do the parts lead to an answer in a sensible order?",
        "detail": "Does each step name its data, groups and parameters?",
        "reliability": "Is the method of each step right for its purpose?",
    }

    def show(protocol: Protocol) -> str:
        return "\n".join([protocol.logic, *(f"{p.id}: {p.purpose} {_show_part(p)}" for p in protocol.parts)])

    def faults(protocol: Protocol) -> dict[str, str]:
        found = [_part_faults(p, card) for p in protocol.parts]
        return {k: v for one in (_heading_faults(protocol), *found) for k, v in one.items()}

    return Stage("Protocol", criteria, lambda p: guard.written(show(p)), faults, accept)


def _show_headings(protocol: Protocol) -> str:
    parts = "\n".join(f"{p.id}: {p.title}. {p.purpose}" for p in protocol.parts)
    return f"{protocol.logic}\n{parts}"


def _show_outlines(protocol: Protocol) -> str:
    return "\n".join(f"{p.id}: {p.title}. {p.outline}" for p in protocol.parts)


def _show_part(part: Part) -> str:
    step = part.steps[0]
    values = ", ".join(f"{k}={v}" for k, v in step.parameters.items() if v is not None and k != "seed")
    return f"{part.title}. {step.details} Data: {', '.join(step.datasets)}. Parameters: {values or 'none'}."


def _heading_faults(protocol: Protocol) -> dict[str, str]:
    titles = [p.title.casefold() for p in protocol.parts]
    if len(set(titles)) < len(titles):
        return {"scope": "two parts have the same title"}
    return {}


def _outline_faults(protocol: Protocol) -> dict[str, str]:
    texts = [p.outline.casefold() for p in protocol.parts]
    if len(set(texts)) < len(texts):
        return {"repetition": "two parts have the same outline"}
    return {}


def _part_faults(part: Part, card: Mapping[str, object]) -> dict[str, str]:
    step = part.steps[0]
    try:
        validate_params(OPERATORS[step.operator], card, step.parameters)
    except ValueError as error:
        return {"detail": str(error)}
    return {}
