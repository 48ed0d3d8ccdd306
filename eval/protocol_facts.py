"""What code can check about correctness and level of detail of a protocol.

Correct: data sets, tools, arguments, columns and levels exist, and fit each other. Detailed: a stranger finds the
data, the tool, its settings, and numbers where numbers are due. A vague value costs detail and is not called wrong; a
name that does not exist costs correctness and is not called vague.

What this does not cover: tools and data sets outside the lists at hand cannot be confirmed offline and count as not
found, unless the caller names them as verified; `labwright datasets verify` looks an accession up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labwright.eval.protocol_findings import Tally
from labwright.eval.protocol_reading import Reading, ReadStep
from labwright.eval.protocol_words import known_tools, quantities, vague_words
from labwright.tools.analysis.contracts import OPERATORS, OperatorContract, feasible, validate_params

NOT_SETTINGS = ("seed",)
Card = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known to exist, names in lower case."""

    cards: Mapping[str, Card]
    """Id or accession to the card of a data set; an empty card where only its existence is known."""
    tools: frozenset[str]


def known(cards: Iterable[Card], data: Iterable[str] = (), tools: Iterable[str] = ()) -> Known:
    """What the checks may count as existing.

    Args:
        cards: those of the catalogue, and of what was added on this machine.
        data: further data sets that the caller has verified.
        tools: further tools that the caller has verified.
    """
    named = {str(name).casefold(): c for c in cards for name in (c["id"], c.get("accession")) if name}
    more: dict[str, Card] = {name.casefold(): {} for name in data}
    listed = {*known_tools(), *map(str.casefold, OPERATORS), *map(str.casefold, tools)}
    return Known({**more, **named}, frozenset(listed))


def check_correctness(reading: Reading, known: Known) -> Tally:
    """Existence and fit of what the protocol names."""
    tally = Tally()
    for declared in reading.datasets:
        card = known.cards.get(str(declared.get("id", "")).casefold())
        if card:
            _claims(tally, declared, card)
    for step in reading.steps():
        for name in step.datasets:
            message = (
                f"the data set {name} could not be confirmed (not in `labwright datasets list`, nor named as verified)"
            )
            tally.ask(name.casefold() in known.cards, "data set exists", step.id, message)
        if step.tool:
            message = f"the tool {step.tool} could not be confirmed (not in the list, nor named as verified)"
            tally.ask(step.tool.casefold() in known.tools, "tool exists", step.id, message)
        if step.tool in OPERATORS:
            _call(tally, step, OPERATORS[step.tool], known.cards)
    return tally


def _claims(tally: Tally, declared: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    for name in ("n_samples", "organism"):
        if declared.get(name):
            held = str(declared[name]).casefold() == str(card.get(name)).casefold()
            message = f"it is said to have {name} {declared[name]}, and has {card.get(name)}"
            tally.ask(held, "data set is as described", str(declared["id"]), message)


def _call(tally: Tally, step: ReadStep, contract: OperatorContract, cards: Mapping[str, Card]) -> None:
    taken = {p.name for p in contract.params}
    settings = {k: v for k, v in step.parameters.items() if k not in NOT_SETTINGS}
    for name in settings:
        tally.ask(name in taken, "argument exists", step.id, f"{contract.name} has no argument {name}")
    concrete = {k: v for k, v in settings.items() if k in taken and not _vague(v)}
    for name in step.datasets[:1]:
        card = cards.get(name.casefold())
        if not card:
            continue
        reason = feasible(contract, card)
        tally.ask(reason is None, "tool fits the data", step.id, f"{contract.name} on {name}: {reason}")
        if reason is None and len(concrete) == len(settings):
            wrong = _wrong_value(contract, card, concrete)
            tally.ask(not wrong, "values fit the data", step.id, wrong)


def _wrong_value(contract: OperatorContract, card: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    try:
        validate_params(contract, card, values)
    except (ValueError, TypeError, KeyError) as error:
        return " ".join(str(error).split())[:300]
    return ""


def _vague(value: Any) -> bool:
    """A word where a choice should be; a list or a number is one."""
    return isinstance(value, str) and (not value.strip() or bool(vague_words(value)))


def check_detail(reading: Reading) -> Tally:
    """Data, tool and settings of each dry step; numbers against vague words in every step."""
    tally = Tally()
    for step in reading.steps():
        said = f"{step.text} {' '.join(str(v) for v in step.parameters.values() if isinstance(v, str))}"
        numbers = quantities(step.text) + [v for v in step.parameters.values() if _is_number(v)]
        for _ in numbers:
            tally.ask(True, "quantity", step.id, "")
        for word in vague_words(said):
            tally.ask(False, "quantity", step.id, f"{word!r} where a quantity or a choice is due")
        settings = [v for k, v in step.parameters.items() if v is not None and k not in NOT_SETTINGS and not _vague(v)]
        if step.kind != "wet":
            tally.ask(bool(step.datasets or step.inputs), "data named", step.id, "it does not say on which data")
            tally.ask(bool(step.tool), "tool named", step.id, "it does not say with which tool")
        tally.ask(bool(settings or numbers), "settings", step.id, "it gives no parameter, group, threshold or amount")
    return tally


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
