"""Single agents to compare with: what they have in common, and the one that writes a protocol in one answer.

They get what labwright's own agents get: the same data sets and sources in the same fences, and the same analyses
through schemas that hold the data's real columns and levels, so that a small model can call a tool at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, create_model

from labwright.agents.analyses import ORDER
from labwright.agents.design import Source
from labwright.agents.parameters import fitted, given, lacks_a_name
from labwright.agents.prompting import prompt
from labwright.agents.schemas import Answer, any_of, list_of, model_of, one_of, text
from labwright.agents.search import dataset_brief
from labwright.agents.texts import whole
from labwright.agents.untrusted import Guard
from labwright.domain import Objective, Part, Protocol, Ref, Step
from labwright.models.ask import Session, ask
from labwright.models.prompt_file import Material
from labwright.tools.analysis.contracts import OPERATORS, Names, feasible, param_schema

MOST_ANALYSES = 4
LOGIC, TITLE, DETAILS = 240, 80, 240
"""Most characters of the text fields."""
NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a single agent works with."""

    objective: Objective
    cards: Mapping[str, Mapping[str, Any]]
    """The data sets nearest to the objective, by id."""
    sources: Sequence[Source]
    guard: Guard
    features: Callable[[str, str], Names]
    """Data set and analysis to the features of the data that the objective names."""
    seed: int

    def datasets(self) -> Material:
        """The data sets as the prompts show them, in an order that the seed decides."""
        return self.guard.material("\n".join(f"{n}: {dataset_brief(self.cards[n])}" for n in self.order()))

    def order(self) -> list[str]:
        """Ids of the data sets in the order of the seed."""
        names = sorted(self.cards)
        random.Random(self.seed).shuffle(names)  # noqa: S311  (an order, not a secret)
        return names

    def able(self, dataset: str) -> list[str]:
        """The analyses that a data set can carry for this objective."""
        able = [n for n in ORDER if feasible(OPERATORS[n], self.cards[dataset]) is None]
        return [n for n in able if not lacks_a_name(OPERATORS[n], self.features(dataset, n))]

    def titles(self) -> Material:
        """The sources by their titles."""
        return self.guard.written("\n".join(f"{s.code}: {s.title}" for s in self.sources) or NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One analysis that an agent decided on."""

    operator: str
    parameters: Mapping[str, Any]
    title: str
    details: str
    refs: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A protocol before its parts are numbered."""

    dataset: str
    logic: str
    moves: tuple[Move, ...]


def analyses_listing() -> str:
    """Every analysis with what it answers and what it takes."""
    lines = []
    for name in ORDER:
        contract = OPERATORS[name]
        takes = f" Takes {', '.join(p.name for p in contract.params)}." if contract.params else ""
        lines.append(f"- {name}: {contract.answers}{takes}")
    return "\n".join(lines)


def tool_call(desk: Desk, dataset: str, operator: str, field: str, **extra: Any) -> type[BaseModel]:
    """The schema of one tool call: the analysis under `field`, its parameters with the data's own names."""
    contract, card = OPERATORS[operator], desk.cards[dataset]
    features = desk.features(dataset, operator)
    schema = param_schema(contract, card, features, chosen=given(contract, features))
    properties = {field: {"type": "string", "enum": [operator]}, **schema["properties"]}
    return model_of(f"{dataset}_{operator}", {"properties": properties}, **extra)


def called(  # noqa: PLR0913  (who called which tool on what, with which values)
    session: Session, desk: Desk, dataset: str, operator: str, values: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """The parameters of a tool call, checked.

    Args:
        session: whose call it is.
        desk: what the agent works with.
        dataset: the data set in use.
        operator: the analysis.
        values: parameters by name, as the model gave them.
        name: under which the call is recorded.
    """
    contract, features = OPERATORS[operator], desk.features(dataset, operator)
    return fitted(session, desk.objective, contract, desk.cards[dataset], features, values=values, name=name)


def one_shot(session: Session, desk: Desk) -> Draft:
    """The whole protocol in one answer.

    Raises:
        AnswerInvalid: the model gave none.
    """
    asked = prompt("one_shot").render(
        objective=desk.objective.brief(),
        datasets=desk.datasets(),
        analyses=analyses_listing(),
        sources=desk.titles(),
    )
    answer = ask(session, asked, _any_protocol(desk), max_tokens=780)
    said = answer.value.model_dump()["protocol"]
    session.log.tool_call(f"{answer.name}: data set", valid=True)
    known = {s.code: s for s in desk.sources}
    moves = []
    for number, step in enumerate(said["analyses"]):
        operator = step.pop("analysis")
        title, details, cited = (step.pop(k) for k in ("title", "details", "sources"))
        parameters = called(session, desk, said["data_set"], operator, step, f"{answer.name}: {number}")
        refs = tuple(known[c].ref() for c in dict.fromkeys(cited))
        moves.append(
            Move(operator=operator, parameters=parameters, title=title, details=whole(details, DETAILS), refs=refs)
        )
    return Draft(said["data_set"], whole(said["logic"], LOGIC), tuple(moves))


def _any_protocol(desk: Desk) -> type[BaseModel]:
    """The schema of a protocol on any one of the data sets."""
    codes = _codes(desk)
    extra = {"title": (text(8, TITLE), ...), "details": (text(30, DETAILS), ...), "sources": (codes, ...)}
    whole_protocols = [
        create_model(
            f"On_{name}",
            __base__=Answer,
            data_set=(one_of([name]), ...),
            logic=(text(20, LOGIC), ...),
            analyses=(
                list_of(
                    any_of([tool_call(desk, name, n, "analysis", **extra) for n in desk.able(name)]),
                    1,
                    MOST_ANALYSES,
                ),
                ...,
            ),
        )
        for name in desk.order()
    ]
    return create_model("WholeProtocol", __base__=Answer, protocol=(any_of(whole_protocols), ...))


def _codes(desk: Desk) -> Any:
    return list_of(one_of([s.code for s in desk.sources]) if desk.sources else str, 0, 2 if desk.sources else 0)


def protocol_of(objective: Objective, logic: str, dataset: str, moves: Sequence[Move]) -> Protocol:
    """The protocol that a single agent's analyses make, one part each, numbered in order."""
    parts: list[Part] = []
    for number, move in enumerate(moves, start=1):
        needed = OPERATORS[move.operator].requires.needs_table_of
        before = next((p for p in reversed(parts) if p.steps[0].operator in needed), None)
        step = Step(
            id=f"Part {number}.1",
            details=move.details,
            kind="dry",
            datasets=(dataset,),
            operator=move.operator,
            parameters=dict(move.parameters),
            inputs=(before.steps[0].id,) if before else (),
            refs=move.refs,
        )
        parts.append(
            Part(
                id=f"Part {number}",
                title=move.title,
                purpose=OPERATORS[move.operator].answers,
                outline=move.details,
                refs=move.refs,
                steps=(step,),
            )
        )
    return Protocol(objective=objective, logic=logic, parts=tuple(parts))
