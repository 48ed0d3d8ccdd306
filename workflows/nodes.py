"""The nodes from reading to running: each reads its documents from the run folder, works, and writes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langgraph.graph import END
from langgraph.types import Send

from labwright.agents import design, literature, programming
from labwright.agents.analyses import choose_operators, ordered
from labwright.agents.parameters import NAMED, lacks_a_name, named_features
from labwright.agents.reviewer import refine
from labwright.domain import Analysis, Dataset, Part, Protocol, Report, Review, Task
from labwright.errors import RetractedEvidence
from labwright.safety.code_screen import screen_code
from labwright.tools.analysis.contracts import OPERATORS, feasible
from labwright.tools.index import Index
from labwright.workflows.criteria import details_stage, headings_stage, outlines_stage
from labwright.workflows.data import data_folder
from labwright.workflows.decisions import reasons
from labwright.workflows.figure_nodes import seen_by_reviewer
from labwright.workflows.materials import Materials
from labwright.workflows.protocol_text import protocol_markdown
from labwright.workflows.state import One, RunState
from labwright.workflows.untrusted import keep_passages

NAMES_OF = {"alteration": "alterations.txt"}
"""Where the names of a kind stand in a data folder, when they are not its features."""


def take_literature(state: RunState, *, m: Materials) -> RunState:
    """Take papers, reports and their ratings over from another run on the same objective."""
    assert m.literature is not None  # noqa: S101  (narrowing; the graph has this node only then)
    for name in ("papers", "reports"):
        for path in sorted((m.literature / name).glob("*")):
            m.store.write_text(m.store.folder / name / path.name, path.read_text(encoding="utf-8"))
    read = [p.stem for p in sorted((m.store.folder / "reports").glob("*.json")) if ".analysis" not in p.name]
    kept = sorted(m.papers(read), key=lambda p: (-(p.helpfulness or 0.0), p.id))
    m.say(f"{len(kept)} papers taken over")
    return {"papers": [p.id for p in kept], "read": [p.id for p in kept]}


def each_paper(state: RunState, then: str) -> list[Send] | str:
    """Fan out over the kept papers that are not read yet; on when all are."""
    read = set(state.get("read", []))
    return [Send("read", One(id=paper)) for paper in state["papers"] if paper not in read] or then


def read(one: One, *, m: Materials) -> dict[str, Any]:
    """Read one paper into a report, and rate its parts."""
    [paper] = m.check_retractions(m.papers([one["id"]]))  # a register may have been imported since it was kept
    m.store.write(m.store.path("papers", f"{paper.id}.json"), paper)
    document = m.store.path("papers", f"{paper.id}.txt").read_text(encoding="utf-8")
    try:
        shown = literature.passages(m.objective, paper, document, m.encode, m.guard)
    except RetractedEvidence as error:
        m.log.note(f"{error}; it was not read")
        return {}
    keep_passages(m, paper.id, {"full text": document})
    if not shown:
        m.log.note(f"{paper.id} holds no sentence that could be quoted; it was not read")
        return {}
    report = literature.bind(literature.read_paper(m.sessions["literature"], paper, shown, m.guard), document)
    m.store.write(m.store.path("reports", f"{paper.id}.json"), report)
    analyses = literature.analyse(m.sessions["literature"], m.objective, paper, report, m.guard)
    m.store.write(m.store.path("reports", f"{paper.id}.analysis.json"), [a.model_dump() for a in analyses])
    m.say(f"read {paper.title[:60]}")
    return {"read": [paper.id]}


def choose_analyses(state: RunState, *, m: Materials) -> RunState:
    """Choose the analyses that the objective asks for and the data can carry."""
    index = Index([(n, f"{c.title}. {c.answers}") for n, c in OPERATORS.items()], m.encode)
    card = m.cards[state["dataset"]]
    near = index.relevance(m.objective.text)
    nameless = [n for n, c in OPERATORS.items() if feasible(c, card) is None and _nameless(m, state["dataset"], n)]
    choices = choose_operators(m.sessions["design"], m.objective, card, near, m.guard, without=nameless)
    m.store.write(m.store.folder / "analyses.json", [asdict(c) for c in choices])
    operators = ordered([c.id for c in choices if c.chosen])
    m.say(f"analyses: {', '.join(operators)}")
    return {"operators": operators}


def _nameless(m: Materials, dataset: str, operator: str) -> bool:
    return lacks_a_name(OPERATORS[operator], features_named(m, dataset, operator))


def brief(state: RunState, m: Materials) -> design.Brief:
    """What the design agent is given: objective, data set, sources."""
    return design.Brief(m.objective, m.cards[state["dataset"]], sources(state, m), m.guard)


def sources(state: RunState, m: Materials) -> list[design.Source]:
    """The report parts that may be referred to."""
    papers = [p for p in m.papers(state["papers"]) if p.id in set(state.get("read", []))]
    reports = {p.id: m.store.read(m.store.path("reports", f"{p.id}.json"), Report) for p in papers}
    analyses = {p.id: _analyses(m, p.id) for p in papers}
    return design.sources_of(papers, reports, analyses)


def _analyses(m: Materials, paper: str) -> list[Analysis]:
    raw = json.loads(m.store.path("reports", f"{paper}.analysis.json").read_text(encoding="utf-8"))
    return [Analysis.model_validate(a) for a in raw]


def plan(state: RunState, *, m: Materials) -> RunState:
    """Headings, reviewed."""
    given = brief(state, m)
    bare = design.skeleton(m.objective, state["operators"], state["dataset"])
    protocol, reviews = reviewed(
        m,
        headings_stage(m.config.review.accept, m.guard, seen_by_reviewer(m)),
        lambda advice: design.headings(m.sessions["design"], given, bare, advice),
    )
    return _store_draft(m, protocol, reviews, "headings")


def outline(state: RunState, *, m: Materials) -> RunState:
    """Outlines, reviewed."""
    given = brief(state, m)
    planned = m.store.read(m.store.folder / "drafts" / "headings.json", Protocol)
    protocol, reviews = reviewed(
        m,
        outlines_stage(m.config.review.accept, m.guard, seen_by_reviewer(m)),
        lambda advice: design.outlines(m.sessions["design"], given, planned, advice),
    )
    return _store_draft(m, protocol, reviews, "outlines")


def reviewed(m: Materials, stage: Any, draft: Any) -> tuple[Any, list[Review]]:
    """A draft that went through the reviewer's loop; as it is where nobody plays the reviewer."""
    session, asked = m.sessions["reviewer"], reasons(m.store)
    if session is None:
        return draft(asked), []

    def again(advice: str) -> Any:
        return draft("; ".join(filter(None, (asked, advice))))

    return refine(session, m.objective, stage, again, rewrites=m.config.review.rewrites)


def _store_draft(m: Materials, protocol: Protocol, reviews: list[Review], level: str) -> RunState:
    m.store.write(m.store.folder / "drafts" / f"{level}.json", protocol)
    m.store.write(m.store.folder / "reviews" / f"{level}.json", [r.model_dump() for r in reviews])
    m.say(f"{level} of {len(protocol.parts)} parts")
    return {}


def each_part(state: RunState, *, m: Materials) -> list[Send]:
    """Fan out over the protocol's parts."""
    protocol = m.store.read(m.store.folder / "drafts" / "outlines.json", Protocol)
    return [Send("detail", One(id=part.id)) for part in protocol.parts]


def detail(one: One, *, m: Materials) -> dict[str, Any]:
    """Parameters and details of one part, reviewed."""
    protocol = m.store.read(m.store.folder / "drafts" / "outlines.json", Protocol)
    part = next(p for p in protocol.parts if p.id == one["id"])
    dataset = part.steps[0].datasets[0]
    state = RunState(
        papers=[p.stem for p in sorted((m.store.folder / "papers").glob("[!_]*.json"))],
        read=[p.stem for p in sorted((m.store.folder / "reports").glob("*.json")) if ".analysis" not in p.name],
        dataset=dataset,
    )
    given = brief(state, m)
    features = features_named(m, dataset, part.steps[0].operator)
    done, reviews = reviewed(
        m,
        details_stage(m.config.review.accept, m.cards[dataset], m.guard),
        lambda advice: design.details(m.sessions["design"], given, part, features, advice),
    )
    m.store.write(m.store.path("drafts", f"{part.id}.json"), done)
    m.store.write(m.store.path("reviews", f"{part.id}.json"), [r.model_dump() for r in reviews])
    m.say(f"details of {part.id}")
    return {"detailed": [part.id]}


def features_named(m: Materials, dataset: str, operator: str) -> dict[str, list[str]]:
    """Kind of parameter to the names of the data set that the objective names, for what the operator takes."""
    kinds = {p.kind for p in OPERATORS[operator].params} & set(NAMED)
    if not kinds:
        return {}
    folder, asked = data_folder(dataset, m.run_job), m.objective.brief()
    return {kind: named_features(asked, _names(folder / NAMES_OF.get(kind, "features.txt"))) for kind in sorted(kinds)}


def _names(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n") if path.is_file() else []


def assemble(state: RunState, *, m: Materials) -> RunState:
    """Put the protocol together and write it out."""
    outlined = m.store.read(m.store.folder / "drafts" / "outlines.json", Protocol)
    parts = tuple(m.store.read(m.store.path("drafts", f"{p.id}.json"), Part) for p in outlined.parts)
    dataset = m.store.read(m.store.path("datasets", f"{state['dataset']}.json"), Dataset)
    protocol = outlined.model_copy(update={"parts": parts, "datasets": (dataset,)})
    names = ["headings", "outlines", *(p.id for p in parts)]
    reviews = [r for n in names for r in json.loads(m.store.path("reviews", f"{n}.json").read_text(encoding="utf-8"))]
    store_protocol(m, protocol, reviews)
    m.say(f"protocol with {len(parts)} parts")
    return {}


def store_protocol(m: Materials, protocol: Protocol, reviews: list[Any]) -> None:
    """Write the protocol, for code and for people, and its reviews; it is the version after those that were kept."""
    kept = [int(p.stem.removeprefix("protocol.v")) for p in m.store.folder.glob("protocol.v*.json")]
    protocol = protocol.model_copy(update={"version": 1 + max(kept, default=0)})
    m.store.write(m.store.folder / "protocol.json", protocol)
    m.store.write_text(m.store.folder / "protocol.md", protocol_markdown(protocol, m.store))
    m.store.write(m.store.folder / "reviews.json", reviews)


def program(state: RunState, *, m: Materials) -> RunState:
    """Turn the protocol, as it stands on disk after a person may have edited it, into tasks."""
    protocol = m.store.read(m.store.folder / "protocol.json", Protocol)
    tasks = programming.plan_tasks(protocol, m.seed)
    m.store.write(m.store.folder / "tasks" / "_tasks.json", [t.model_dump() for t in tasks])
    return {}


def _tasks(m: Materials) -> list[Task]:
    raw = json.loads((m.store.folder / "tasks" / "_tasks.json").read_text(encoding="utf-8"))
    return [Task.model_validate(t) for t in raw]


def next_tasks(state: RunState, *, m: Materials, last: str = END) -> list[Send] | str:
    """Fan out over the tasks whose inputs have ended; what comes last when none is left."""
    ended = set(state.get("ran", []))
    ready = [t for t in _tasks(m) if t.id not in ended and set(t.upstream) <= ended]
    return [Send("run_task", One(id=t.id)) for t in ready] or last


def run_task(one: One, *, m: Materials) -> dict[str, Any]:
    """Run one task to its end."""
    task = next(t for t in _tasks(m) if t.id == one["id"])
    result = programming.run_task(workbench(m), m.objective, task)
    m.say(f"{task.id}: {OPERATORS[task.operator].title}, level {result.level}")
    return {"ran": [task.id]}


def workbench(m: Materials) -> programming.Workbench:
    """What the programming agent works with."""
    return programming.Workbench(
        store=m.store,
        run_job=m.run_job,
        data_dir=lambda name: data_folder(name, m.run_job),
        card=lambda name: m.cards[name],
        screen=screen_code,
        limits=m.limits,
        session=m.sessions["programming"],
        seed=m.seed,
    )
