"""Plan-and-execute (Wang et al. 2023, arXiv:2305.04091): a plan first, then its steps, then another look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import create_model

from labwright.agents.analyses import ORDER
from labwright.agents.prompting import prompt
from labwright.agents.schemas import Answer, list_of, one_of, text
from labwright.agents.solo import LOGIC, MOST_ANALYSES, NONE, Desk, analyses_listing
from labwright.agents.texts import whole
from labwright.models.ask import Session, ask
from labwright.tools.analysis.contracts import OPERATORS, feasible

GOAL = 120
"""Most characters of a goal."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan-and-execute agent means to do."""

    dataset: str
    logic: str
    steps: tuple[tuple[str, str], ...]
    """Analysis and its goal, in order."""
    refused: tuple[str, ...] = ()
    """Analyses that were named and that the data set cannot carry."""


def make_plan(session: Session, desk: Desk) -> Plan:
    """Data set and analyses with their goals.

    Raises:
        AnswerInvalid: the model gave no plan.
    """
    step = create_model("PlanStep", __base__=Answer, analysis=(one_of(ORDER), ...), goal=(text(10, GOAL), ...))
    schema = create_model(
        "Plan",
        __base__=Answer,
        data_set=(one_of(desk.order()), ...),
        logic=(text(20, LOGIC), ...),
        steps=(list_of(step, 1, MOST_ANALYSES), ...),
    )
    asked = prompt("plan").render(
        objective=desk.objective.brief(),
        datasets=desk.datasets(),
        analyses=analyses_listing(),
        sources=desk.titles(),
    )
    answer = ask(session, asked, schema, max_tokens=320)
    said = answer.value.model_dump()
    session.log.tool_call(f"{answer.name}: data set", valid=True)
    carried = desk.able(said["data_set"])
    steps: dict[str, str] = {}
    refused = []
    for number, one in enumerate(said["steps"]):
        name = one["analysis"]
        session.log.tool_call(f"{answer.name}: {number}", valid=name in carried)
        if name not in carried:
            why = feasible(OPERATORS[name], desk.cards[said["data_set"]])
            refused.append(f"{name}: {why or 'the objective names nothing that it could start from'}")
            continue
        steps.setdefault(name, one["goal"])
    return Plan(said["data_set"], whole(said["logic"], LOGIC), tuple(_with_needed(steps, carried)), tuple(refused))


def _with_needed(steps: Mapping[str, str], carried: Sequence[str]) -> list[tuple[str, str]]:
    """The steps, each after the one whose table it works on; a missing one is put in, as it is for our own agents."""
    found: dict[str, str] = {}
    for name, goal in steps.items():
        needed = OPERATORS[name].requires.needs_table_of
        if needed and not set(needed) & set(found):
            later = next((n for n in needed if n in steps), None) or next((n for n in needed if n in carried), None)
            if later is None:
                continue
            found[later] = steps.get(later, f"The ranked list that {name} works on")
        found.setdefault(name, goal)
    return list(found.items())


def replan(
    session: Session, desk: Desk, dataset: str, results: Sequence[str], done: Sequence[str]
) -> list[tuple[str, str]]:
    """One more analysis after what was found, with what it needs, or none."""
    left = [n for n in desk.able(dataset) if n not in done]
    more = create_model(
        "More",
        __base__=Answer,
        analysis=(one_of([NONE, *left]), ...),
        goal=(text(0, GOAL), ...),
    )
    asked = prompt("replan").render(
        objective=desk.objective.brief(),
        analyses=analyses_listing(),
        results=desk.guard.written("\n".join(results) or "nothing"),
    )
    answer = ask(
        session, asked, more, max_tokens=60, fallback=lambda: more.model_validate({"analysis": NONE, "goal": ""})
    )
    said = answer.value.model_dump()
    if answer.decided_by != "model" or said["analysis"] == NONE:
        return []
    session.log.tool_call(answer.name, valid=True)
    needed = OPERATORS[said["analysis"]].requires.needs_table_of
    steps = {said["analysis"]: said["goal"] or OPERATORS[said["analysis"]].title}
    return list(steps.items()) if set(needed) & set(done) else _with_needed(steps, left)
