"""The nodes of the workflows that labwright is compared with; data, tasks, sandbox and checks are its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from labwright.agents import design, design_whole, programming, search, solo, solo_plan, solo_react
from labwright.agents.parameters import preferred
from labwright.domain import Dataset, Part, Protocol, Ref, TaskResult
from labwright.errors import AnswerInvalid, RunFailed
from labwright.models.ask import Session
from labwright.tools.analysis.contracts import OPERATORS
from labwright.workflows import nodes
from labwright.workflows.criteria import whole_stage
from labwright.workflows.materials import Materials
from labwright.workflows.search_nodes import nearest_cards, use_dataset
from labwright.workflows.state import RunState

MOST_TURNS = 12
MOST_REPLANS = 2
OBSERVED = 320
"""Most characters of what an analysis gives back to the agent."""


def _session(m: Materials) -> Session:
    session = m.sessions["design"]
    if session is None:
        raise RunFailed("this workflow needs a model for the role design")
    return session


def _desk(m: Materials, state: RunState) -> solo.Desk:
    near = nearest_cards(m)
    chosen = sorted(near, key=lambda n: (-near[n], n))[: search.CARDS_ASKED]
    return solo.Desk(
        objective=m.objective,
        cards={n: m.cards[n] for n in chosen},
        sources=nodes.sources(state, m),
        guard=m.guard,
        features=lambda dataset, operator: nodes.features_named(m, dataset, operator),
        seed=m.seed,
    )


def one_shot(state: RunState, *, m: Materials) -> RunState:
    """The protocol in one answer."""
    desk = _desk(m, state)
    draft = solo.one_shot(_session(m), desk)
    moves = _with_tables(m, desk, draft)
    use_dataset(m, draft.dataset)
    _write_up(m, solo.protocol_of(m.objective, draft.logic, draft.dataset, moves))
    return {"dataset": draft.dataset, "operators": [move.operator for move in moves]}


def _with_tables(m: Materials, desk: solo.Desk, draft: solo.Draft) -> list[solo.Move]:
    """An enrichment comes after its ranked list and gets one where there is none, if the data can give it."""
    moves: list[solo.Move] = []
    for move in sorted(draft.moves, key=lambda n: bool(OPERATORS[n.operator].requires.needs_table_of)):
        needed = OPERATORS[move.operator].requires.needs_table_of
        if needed and not {n.operator for n in moves} & set(needed):
            able = [n for n in needed if n in desk.able(draft.dataset)]
            if not able:
                m.log.note(f"{move.operator} was left out: it works on a table that {draft.dataset} cannot give")
                continue
            contract, features = OPERATORS[able[0]], nodes.features_named(m, draft.dataset, able[0])
            values = preferred(m.objective, contract, m.cards[draft.dataset], features)
            moves.append(
                solo.Move(operator=able[0], parameters=values, title=contract.title, details=contract.procedure)
            )
        moves.append(move)
    return moves


def _write_up(m: Materials, protocol: Protocol) -> None:
    [dataset] = {d for p in protocol.parts for s in p.steps for d in s.datasets}
    held = m.store.read(m.store.path("datasets", f"{dataset}.json"), Dataset)
    nodes.store_protocol(m, protocol.model_copy(update={"datasets": (held,)}), [])
    m.say(f"protocol with {len(protocol.parts)} parts")


def whole(state: RunState, *, m: Materials) -> RunState:
    """Ours without hierarchy: headings, parameters and details of all parts in one answer, reviewed once."""
    brief = nodes.brief(state, m)
    bare = design.skeleton(m.objective, state["operators"], state["dataset"])
    features = {n: nodes.features_named(m, state["dataset"], n) for n in state["operators"]}
    card = m.cards[state["dataset"]]
    protocol, reviews = nodes.reviewed(
        m,
        whole_stage(m.config.review.accept, card, m.guard),
        lambda advice: design_whole.whole_protocol(m.sessions["design"], brief, bare, features, advice),
    )
    held = m.store.read(m.store.path("datasets", f"{state['dataset']}.json"), Dataset)
    nodes.store_protocol(m, protocol.model_copy(update={"datasets": (held,)}), [r.model_dump() for r in reviews])
    m.say(f"protocol with {len(protocol.parts)} parts")
    return {}


# --- plan and execute, and ReAct: both run while they decide ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """What such an agent has done; a file for each step, so that a resumed step starts from the same one."""

    protocol: Protocol
    notes: tuple[str, ...] = ()
    """What was found, a line a step."""
    goals: dict[str, str] = field(default_factory=dict)
    """Planned analyses and what they are for."""

    def has(self, operator: str) -> bool:
        """The analysis was run."""
        return any(p.steps[0].operator == operator for p in self.protocol.parts)


def _keep(m: Materials, number: int, done: Progress) -> None:
    whole = {"protocol": done.protocol.model_dump(mode="json"), "notes": list(done.notes), "goals": done.goals}
    m.store.write(m.store.path("drafts", f"progress-{number}.json"), whole)


def _kept(m: Materials, state: RunState) -> Progress:
    path = m.store.path("drafts", f"progress-{state.get('turns', 0)}.json")
    if not path.is_file():
        return Progress(solo.protocol_of(m.objective, "", "", []))
    raw = json.loads(path.read_text(encoding="utf-8"))
    return Progress(Protocol.model_validate(raw["protocol"]), tuple(raw["notes"]), raw["goals"])


def make_plan(state: RunState, *, m: Materials) -> RunState:
    """Data set and analyses with their goals."""
    plan = solo_plan.make_plan(_session(m), _desk(m, state))
    if not plan.steps:
        raise RunFailed(f"nothing of the plan can be carried out: {'; '.join(plan.refused)}")
    use_dataset(m, plan.dataset)
    bare = solo.protocol_of(m.objective, plan.logic, plan.dataset, [])
    _keep(m, 1, Progress(bare, plan.refused, dict(plan.steps)))
    return {"dataset": plan.dataset, "turns": 1}


def carry_out(state: RunState, *, m: Materials) -> RunState:
    """Parameters and details of the next planned analysis, then its task."""
    done = _kept(m, state)
    operator, goal = next((n, g) for n, g in done.goals.items() if not done.has(n))
    brief = nodes.brief(state, m)
    refs = tuple(s.ref() for s in brief.sources[:2])
    bare = _appended(done.protocol, operator, {}, (OPERATORS[operator].title, goal, refs), state["dataset"])
    features = nodes.features_named(m, state["dataset"], operator)
    part = design.details(_session(m), brief, bare.parts[-1], features)
    protocol = done.protocol.model_copy(update={"parts": (*done.protocol.parts, part)})
    found = f"{operator}: {_observed(_run_last(m, protocol))}"
    _keep(m, state["turns"] + 1, replace(done, protocol=protocol, notes=(*done.notes, found)))
    return {"turns": state["turns"] + 1}


def after_step(state: RunState, *, m: Materials) -> str:
    """The next step of the plan, another look at the plan, or the end."""
    done = _kept(m, state)
    if not all(done.has(n) for n in done.goals):
        return "carry_out"
    return "write_up" if state.get("finished") else "replan"


def replan(state: RunState, *, m: Materials) -> RunState:
    """One more analysis after what was found, or none; so often at most as `MOST_REPLANS` says."""
    done = _kept(m, state)
    ran = [p.steps[0].operator for p in done.protocol.parts]
    new = solo_plan.replan(_session(m), _desk(m, state), state["dataset"], done.notes, ran)
    _keep(m, state["turns"] + 1, replace(done, goals={**dict(new), **done.goals}))
    replans = state.get("replans", 0) + 1
    return {"turns": state["turns"] + 1, "replans": replans, "finished": not new or replans >= MOST_REPLANS}


def turn(state: RunState, *, m: Materials) -> RunState:
    """One thought, one action, one observation."""
    desk, done, dataset = _desk(m, state), _kept(m, state), state.get("dataset", "")
    tables = [p.steps[0].operator for p in done.protocol.parts if _level(m, p) == 3]
    turns = state.get("turns", 0) + 1
    try:
        said = solo_react.react_turn(_session(m), desk, dataset, done.notes, [*state.get("seen", []), *tables])
    except AnswerInvalid as error:
        m.log.note(f"the agent ended in turn {turns}: {error}")
        if not m.log.allowance_spent():
            m.log.tool_call(f"turn {turns}", valid=False)
        _keep(m, turns, done)
        return {"turns": turns, "finished": True}
    change: RunState = {"turns": turns, "finished": said.tool == solo_react.FINISH or turns >= MOST_TURNS}
    protocol = done.protocol
    if said.tool in OPERATORS:
        protocol, observed = _acted(m, desk, dataset, protocol, said)
    else:
        m.log.tool_call(said.call, valid=True)
        observed = _looked(m, desk, said, change)
    if said.tool == solo_react.FINISH:
        protocol = protocol.model_copy(update={"logic": said.arguments["answer"]})
    arguments = ", ".join(f"{k} {v}" for k, v in said.arguments.items() if v not in (None, solo.NONE))
    line = f"{turns}. {said.thought} Action: {said.tool} {arguments}. Result: {observed}"
    _keep(m, turns, Progress(protocol, (*done.notes, line)))
    m.say(f"turn {turns}: {said.tool}")
    return change


def _looked(m: Materials, desk: solo.Desk, said: solo_react.Turn, change: RunState) -> str:
    if said.tool == solo_react.USE:
        name = said.arguments["data_set"]
        use_dataset(m, name)
        change["dataset"] = name
        return f"in use; it can carry {', '.join(desk.able(name))}"
    if said.tool == solo_react.LOOK:
        change["seen"] = [said.arguments["data_set"]]
        return solo_react.look(desk, said.arguments["data_set"])
    if said.tool == solo_react.READ:
        change["seen"] = [said.arguments["source"]]
        return solo_react.read_source(desk, said.arguments["source"])
    return "the end"


def _acted(
    m: Materials, desk: solo.Desk, dataset: str, protocol: Protocol, said: solo_react.Turn
) -> tuple[Protocol, str]:
    values = solo.called(_session(m), desk, dataset, said.tool, said.arguments, said.call)
    same = [p for p in protocol.parts if p.steps[0].operator == said.tool and p.steps[0].parameters == values]
    if same:
        return protocol, f"this was run already, as {same[0].id}"
    protocol = _appended(protocol, said.tool, values, (OPERATORS[said.tool].title, said.thought, ()), dataset)
    return protocol, _observed(_run_last(m, protocol))


def after_turn(state: RunState) -> str:
    """Another turn, or the end."""
    return "write_up" if state.get("finished") else "turn"


def write_up(state: RunState, *, m: Materials) -> RunState:
    """The protocol that the agent's analyses make."""
    protocol = _kept(m, state).protocol
    if not protocol.parts:
        raise RunFailed("the agent ran no analysis")
    _write_up(m, protocol)
    return {}


def _appended(
    protocol: Protocol, operator: str, values: dict[str, Any], texts: tuple[str, str, tuple[Ref, ...]], dataset: str
) -> Protocol:
    """The protocol with one more part; the others stay as they are."""
    title, details, refs = texts
    moves = [solo.Move(operator=p.steps[0].operator, parameters={}, title=p.title, details="") for p in protocol.parts]
    last = solo.Move(operator=operator, parameters=values, title=title, details=details, refs=refs)
    numbered = solo.protocol_of(protocol.objective, protocol.logic, dataset, [*moves, last])
    return numbered.model_copy(update={"parts": (*protocol.parts, numbered.parts[-1])})


def _run_last(m: Materials, protocol: Protocol) -> TaskResult:
    tasks = programming.plan_tasks(protocol, m.seed)
    m.store.write(m.store.folder / "tasks" / "_tasks.json", [t.model_dump() for t in tasks])
    return programming.run_task(nodes.workbench(m), m.objective, tasks[-1])


def _observed(result: TaskResult) -> str:
    if result.level == 3:
        said = " ".join(str(f["statement"]) for f in result.findings)
        return f"done. {said}"[:OBSERVED]
    error = result.skipped or (result.attempts[-1].error if result.attempts else "")
    return f"failed: {' '.join(error.split())}"[:OBSERVED]


def _level(m: Materials, part: Part) -> int:
    path = m.store.path("tasks", f"{part.id}-dry-experiment-1") / "result.json"
    return m.store.read(path, TaskResult).level if path.is_file() else 0
