"""ReAct (Yao et al. 2023, arXiv:2210.03629): a thought, an action, an observation, and so on to the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, create_model

from labwright.agents.prompting import prompt
from labwright.agents.schemas import Answer, any_of, one_of, text
from labwright.agents.solo import DETAILS, Desk, analyses_listing, tool_call
from labwright.agents.texts import whole
from labwright.models.ask import Session, ask
from labwright.tools.analysis.contracts import OPERATORS

THOUGHT = 180
"""Most characters of a thought."""
SHOWN = 300
"""Most characters of what a look at a data set or a source shows."""
HISTORY = 2400
"""Most characters of the turns that the agent is shown; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a ReAct agent."""

    thought: str
    tool: str
    arguments: Mapping[str, Any]
    call: str
    """Name under which the call is recorded."""


USE, LOOK, READ, FINISH = "use_data_set", "look_at_data_set", "read_source", "finish"


def react_turn(session: Session, desk: Desk, dataset: str, history: Sequence[str], seen: Sequence[str]) -> Turn:
    """The agent's next thought and action.

    Args:
        session: who is asked.
        desk: what it works with.
        dataset: id of the data set in use; empty before one is.
        history: the turns so far, a line each.
        seen: data sets and sources that were looked at already, and tables that are there.

    Raises:
        AnswerInvalid: the model took no action that exists.
    """
    actions = _before_data(desk, seen) if not dataset else _with_data(desk, dataset, seen)
    schema = create_model(
        "Turn",
        __base__=Answer,
        thought=(text(10, THOUGHT), ...),
        action=(any_of(actions), ...),
    )
    asked = prompt("react").render(
        objective=desk.objective.brief(),
        datasets=desk.datasets(),
        sources=desk.titles(),
        tools=_tools(),
        history=desk.guard.written(_latest(history) or "none yet"),
    )
    answer = ask(session, asked, schema, max_tokens=220)
    said = answer.value.model_dump()
    arguments = said["action"]
    return Turn(whole(said["thought"], THOUGHT), arguments.pop("tool"), arguments, answer.name)


def _latest(history: Sequence[str]) -> str:
    kept: list[str] = []
    for line in reversed(history):
        if sum(map(len, kept)) + len(line) > HISTORY:
            break
        kept.append(line)
    return "\n".join(reversed(kept))


def _tools() -> str:
    return "\n".join(
        (
            f"- {LOOK}: the columns of a data set.",
            f"- {READ}: what a source did.",
            f"- {USE}: take a data set; after that its analyses can be run.",
            analyses_listing(),
            f"- {FINISH}: the objective is met.",
        )
    )


def _tool(name: str, **fields: Any) -> type[BaseModel]:
    return create_model(f"Tool_{name}", __base__=Answer, tool=(one_of([name]), ...), **fields)


def _before_data(desk: Desk, seen: Sequence[str]) -> list[type[BaseModel]]:
    actions = [_tool(USE, data_set=(one_of(desk.order()), ...))]
    unseen = tuple(n for n in desk.order() if n not in seen)
    if unseen:
        actions.append(_tool(LOOK, data_set=(one_of(unseen), ...)))
    return [*actions, *_unread(desk, seen)]


def _unread(desk: Desk, seen: Sequence[str]) -> list[type[BaseModel]]:
    unread = tuple(s.code for s in desk.sources if s.code not in seen)
    return [_tool(READ, source=(one_of(unread), ...))] if unread else []


def _with_data(desk: Desk, dataset: str, seen: Sequence[str]) -> list[type[BaseModel]]:
    def there(name: str) -> bool:
        needed = OPERATORS[name].requires.needs_table_of
        return not needed or bool(set(needed) & set(seen))

    actions = [tool_call(desk, dataset, n, "tool") for n in desk.able(dataset) if there(n)]
    return [*actions, *_unread(desk, seen), _tool(FINISH, answer=(text(5, DETAILS), ...))]


def look(desk: Desk, name: str) -> str:
    """What a look at a data set shows."""
    card = desk.cards[name]
    columns = ", ".join(f"{c} ({v.get('type', '')})" for c, v in (card.get("columns") or {}).items())
    return desk.guard.read(f"columns: {columns}")[:SHOWN]


def read_source(desk: Desk, code: str) -> str:
    """What reading a source shows."""
    source = next(s for s in desk.sources if s.code == code)
    return " ".join((source.outline, *(done for _, done in source.steps)))[:SHOWN]
