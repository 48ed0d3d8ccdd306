"""The nodes of the graph: each reads its documents from the run folder, works, writes, returns what changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from langgraph.graph import END
from langgraph.types import Send

from labwright.agents import design, literature, programming, search
from labwright.agents.parameters import NAMED, named_features
from labwright.agents.prompting import prompt
from labwright.agents.reviewer import refine
from labwright.domain import Analysis, Dataset, Paper, Part, Protocol, Report, Review, Task
from labwright.errors import NoLiterature, NoUsableData, ObjectiveRefused, SourceUnavailable
from labwright.models.ask import choose
from labwright.safety.code_screen import screen_code
from labwright.tools.analysis.contracts import OPERATORS
from labwright.tools.index import Index
from labwright.tools.sources import deduplicate
from labwright.workflows.criteria import details_stage, headings_stage, outlines_stage
from labwright.workflows.data import data_folder, verified
from labwright.workflows.literature_sources import geo_source
from labwright.workflows.materials import Materials
from labwright.workflows.protocol_text import protocol_markdown
from labwright.workflows.state import One, RunState

OUTSIDE = 0.12
"""An objective whose best cosine with everything the catalogue and corpus hold is below this is off the map."""
FAR = 0.5
"""No data set is used that is less relevant than this. On the development objectives the answerable ones lie
above it; of the four that cannot be answered one does too, and the model's probability does not tell it apart."""
GEO_SHOWN = 5
DOUBTFUL = 0.75
"""Between the two, the model may still refuse it with a probability under one half."""


def screen(state: RunState, *, m: Materials) -> RunState:
    """Turn away what is no biomedical question."""
    known = Index([(str(c["id"]), search.dataset_brief(c)) for c in m.cards.values()], m.encode)
    nearest = float(max(known.similarity(m.objective.text)))
    session = m.sessions["search"]
    p_yes = 1.0
    if session is not None:
        asked = prompt("biomedical").render(objective=m.objective.brief())
        p_yes = choose(session, asked, ("yes", "no"), fallback={"yes": 1.0, "no": 0.0}).value["yes"]
    if nearest < OUTSIDE or (p_yes < 0.5 and nearest < 2 * OUTSIDE):
        raise ObjectiveRefused(
            "the objective is not a biomedical question that labwright can see "
            f"(nearest data set {nearest:.2f}, p(biomedical) {p_yes:.2f}); name the disease, tissue or measurement"
        )
    return {}


def find_papers(state: RunState, *, m: Materials) -> RunState:
    """Search, score and keep papers; rounds go on until enough are kept or nothing new is found."""
    session = m.sessions["search"]
    settings = m.config.literature
    queries = search.write_queries(session, m.objective)
    m.store.write(m.store.path("papers") / "_queries.json", queries)
    scored: dict[str, Paper] = {}
    for round_number in range(settings.rounds):
        wanted = settings.candidates * (round_number + 1)
        found = [p for p in search.find_papers(queries, lambda q, n: _search(m, q, n), wanted) if p.id not in scored]
        scored |= {p.id: p for p in search.score_papers(session, m.objective, found, _nearness(m, found))}
        marked = search.keep_papers(list(scored.values()), settings.helpfulness, settings.keep)
        kept = [p for p in marked if p.reason.startswith("kept")]
        if not found or len(kept) >= min(2, settings.keep):
            break
    if not scored:
        raise NoLiterature("no paper was found; add sources in [literature] or words to the objective")
    m.store.write(m.store.path("papers") / "_screening.json", [p.model_dump() for p in marked])
    if not kept:
        best = marked[0]
        raise NoLiterature(
            f"all {len(marked)} papers found were rejected, the best at helpfulness {best.helpfulness}; "
            "lower [literature] helpfulness or add sources"
        )
    by_name = {source.name: source for source in m.sources}
    for paper in kept:
        m.store.write_text(m.store.path("papers", f"{paper.id}.txt"), by_name[paper.source].text(paper))
        m.store.write(m.store.path("papers", f"{paper.id}.json"), paper)
    m.say(f"{len(kept)} of {len(marked)} papers kept")
    return {"papers": [p.id for p in kept]}


def _nearness(m: Materials, papers: Sequence[Paper]) -> dict[str, float]:
    """Cosine of each paper's title and abstract with the objective."""
    if not papers:
        return {}
    index = Index([(p.id, f"{p.title}. {p.abstract}") for p in papers], m.encode)
    return dict(zip([p.id for p in papers], map(float, index.similarity(m.objective.text)), strict=True))


def _search(m: Materials, query: str, limit: int) -> list[Paper]:
    found: list[Paper] = []
    for source in m.sources:
        kind = "retrieval" if source.name not in ("pubmed", "pmc") else "network"
        try:
            with m.log.spending("", kind):
                found += source.search(query, limit)
        except SourceUnavailable as error:
            m.log.note(f"{source.name} was out of reach: {error}")
    return deduplicate(found)


def find_dataset(state: RunState, *, m: Materials) -> RunState:
    """Choose the data set, confirm it against its data, and refuse when none can answer."""
    index = Index([(n, f"{search.dataset_brief(c)} {c.get('assay', '')}") for n, c in m.cards.items()], m.encode)
    choices = search.choose_datasets(m.sessions["search"], m.objective, m.cards, index.relevance(m.objective.text))
    best = choices[0]
    usable = answerable(best)
    listed = [{**asdict(c), "chosen": c is best and usable, "reason": _dataset_reason(c, c is best)} for c in choices]
    m.store.write(m.store.path("datasets") / "_screening.json", [*listed, *_in_geo(m)])
    if not usable:
        raise NoUsableData(
            f"no data set in reach can answer this; the nearest is {best.id} ({best.title}), "
            f"relevance {best.similarity:.2f}, p(fits) {best.probability}; see `labwright datasets list`"
        )
    ok, compared = verified(best.id, m.run_job)
    if not ok:
        raise NoUsableData(compared)
    card = {k: v for k, v in m.cards[best.id].items() if k in Dataset.model_fields}
    dataset = Dataset.model_validate({**card, "verified": ok, "verification": compared})
    m.store.write(m.store.path("datasets", f"{best.id}.json"), dataset)
    m.say(f"data set {best.id} chosen and verified")
    return {"dataset": best.id}


def _in_geo(m: Materials) -> list[dict[str, Any]]:
    """Series that GEO holds on the objective: shown to the reader, since their files have no converter."""
    if not m.config.literature.geo:
        return []
    try:
        with m.log.spending("", "network"):
            series = geo_source().search(search.keywords(m.objective.text), GEO_SHOWN)
    except SourceUnavailable as error:
        m.log.note(f"GEO was out of reach: {error}")
        return []
    if not series:
        return []
    near = Index([(s.id, f"{s.title}. {s.description}") for s in series], m.encode).similarity(m.objective.text)
    return [
        {
            **asdict(search.Choice(id=s.id, title=s.title, similarity=round(float(n), 4), probability=None, score=0.0)),
            "reason": f"not used: in GEO, {s.organism}, {s.n_samples} samples, but not in the catalogue of data sets "
            "that labwright can read",
        }
        for s, n in zip(series, near, strict=True)
    ]


def answerable(best: search.Choice) -> bool:
    """Whether the best data set is near enough to the objective to be used."""
    if best.similarity < FAR:
        return False
    return best.similarity >= DOUBTFUL or best.probability is None or best.probability >= 0.5


def _dataset_reason(choice: search.Choice, best: bool) -> str:
    asked = f"p(fits) {choice.probability:.2f}, " if choice.probability is not None else "not put to the model, "
    return f"{'best' if best else 'below the best'}: {asked}relevance {choice.similarity:.2f}"


def each_paper(state: RunState) -> list[Send]:
    """Fan out over the kept papers."""
    return [Send("read", One(id=paper)) for paper in state["papers"]]


def read(one: One, *, m: Materials) -> dict[str, Any]:
    """Read one paper into a report, and rate its parts."""
    paper = m.papers([one["id"]])[0]
    document = m.store.path("papers", f"{paper.id}.txt").read_text(encoding="utf-8")
    shown = literature.passages(m.objective, paper, document, m.encode)
    if not shown:
        m.log.note(f"{paper.id} holds no sentence that could be quoted; it was not read")
        return {}
    report = literature.read_paper(m.sessions["literature"], paper, shown)
    m.store.write(m.store.path("reports", f"{paper.id}.json"), report)
    analyses = literature.analyse(m.sessions["literature"], m.objective, paper, report)
    m.store.write(m.store.path("reports", f"{paper.id}.analysis.json"), [a.model_dump() for a in analyses])
    m.say(f"read {paper.title[:60]}")
    return {"read": [paper.id]}


def choose_analyses(state: RunState, *, m: Materials) -> RunState:
    """Choose the analyses that the objective asks for and the data can carry."""
    index = Index([(n, f"{c.title}. {c.answers}") for n, c in OPERATORS.items()], m.encode)
    card = m.cards[state["dataset"]]
    choices = design.choose_operators(m.sessions["design"], m.objective, card, index.relevance(m.objective.text))
    m.store.write(m.store.folder / "analyses.json", [asdict(c) for c in choices])
    operators = design.ordered([c.id for c in choices if c.chosen])
    m.say(f"analyses: {', '.join(operators)}")
    return {"operators": operators}


def _brief(state: RunState, m: Materials) -> design.Brief:
    papers = [p for p in m.papers(state["papers"]) if p.id in set(state.get("read", []))]
    reports = {p.id: m.store.read(m.store.path("reports", f"{p.id}.json"), Report) for p in papers}
    analyses = {p.id: _analyses(m, p.id) for p in papers}
    return design.Brief(m.objective, m.cards[state["dataset"]], design.sources_of(papers, reports, analyses))


def _analyses(m: Materials, paper: str) -> list[Analysis]:
    raw = json.loads(m.store.path("reports", f"{paper}.analysis.json").read_text(encoding="utf-8"))
    return [Analysis.model_validate(a) for a in raw]


def plan(state: RunState, *, m: Materials) -> RunState:
    """Headings, reviewed."""
    brief = _brief(state, m)
    bare = design.skeleton(m.objective, state["operators"], state["dataset"])
    protocol, reviews = _reviewed(
        m,
        headings_stage(m.config.review.accept),
        lambda advice: design.headings(m.sessions["design"], brief, bare, advice),
    )
    return _store_draft(m, protocol, reviews, "headings")


def outline(state: RunState, *, m: Materials) -> RunState:
    """Outlines, reviewed."""
    brief = _brief(state, m)
    planned = m.store.read(m.store.folder / "drafts" / "headings.json", Protocol)
    protocol, reviews = _reviewed(
        m,
        outlines_stage(m.config.review.accept),
        lambda advice: design.outlines(m.sessions["design"], brief, planned, advice),
    )
    return _store_draft(m, protocol, reviews, "outlines")


def _reviewed(m: Materials, stage: Any, draft: Any) -> tuple[Any, list[Review]]:
    session = m.sessions["reviewer"]
    if session is None:
        return draft(""), []
    return refine(session, m.objective, stage, draft, rewrites=m.config.review.rewrites)


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
    brief = _brief(state, m)
    features = _features(m, dataset, part.steps[0].operator)
    done, reviews = _reviewed(
        m,
        details_stage(m.config.review.accept, m.cards[dataset]),
        lambda advice: design.details(m.sessions["design"], brief, part, features, advice),
    )
    m.store.write(m.store.path("drafts", f"{part.id}.json"), done)
    m.store.write(m.store.path("reviews", f"{part.id}.json"), [r.model_dump() for r in reviews])
    m.say(f"details of {part.id}")
    return {"detailed": [part.id]}


def _features(m: Materials, dataset: str, operator: str) -> list[str]:
    """Features of the data set that the objective names, where the operator takes any."""
    kinds = {p.kind for p in OPERATORS[operator].params} & set(NAMED)
    if not kinds:
        return []
    folder = data_folder(dataset, m.run_job)
    if kinds & {"alteration", "drug"}:
        return named_features(m.objective.brief(), list(m.cards[dataset].get("alterations") or []))
    names = (
        (folder / "features.txt").read_text(encoding="utf-8").split("\n") if (folder / "features.txt").is_file() else []
    )
    return named_features(m.objective.brief(), names)


def assemble(state: RunState, *, m: Materials) -> RunState:
    """Put the protocol together and write it out."""
    outlined = m.store.read(m.store.folder / "drafts" / "outlines.json", Protocol)
    parts = tuple(m.store.read(m.store.path("drafts", f"{p.id}.json"), Part) for p in outlined.parts)
    dataset = m.store.read(m.store.path("datasets", f"{state['dataset']}.json"), Dataset)
    protocol = outlined.model_copy(update={"parts": parts, "datasets": (dataset,)})
    m.store.write(m.store.folder / "protocol.json", protocol)
    m.store.write_text(m.store.folder / "protocol.md", protocol_markdown(protocol, m.store))
    names = ["headings", "outlines", *(p.id for p in parts)]
    reviews = [r for n in names for r in json.loads(m.store.path("reviews", f"{n}.json").read_text(encoding="utf-8"))]
    m.store.write(m.store.folder / "reviews.json", reviews)
    m.say(f"protocol with {len(parts)} parts")
    return {}


def program(state: RunState, *, m: Materials) -> RunState:
    """Turn the protocol, as it stands on disk after a person may have edited it, into tasks."""
    protocol = m.store.read(m.store.folder / "protocol.json", Protocol)
    tasks = programming.plan_tasks(protocol, m.seed)
    m.store.write(m.store.folder / "tasks" / "_tasks.json", [t.model_dump() for t in tasks])
    return {}


def _tasks(m: Materials) -> list[Task]:
    raw = json.loads((m.store.folder / "tasks" / "_tasks.json").read_text(encoding="utf-8"))
    return [Task.model_validate(t) for t in raw]


def next_tasks(state: RunState, *, m: Materials) -> list[Send] | str:
    """Fan out over the tasks whose inputs have ended; the end when none is left."""
    ended = set(state.get("ran", []))
    ready = [t for t in _tasks(m) if t.id not in ended and set(t.upstream) <= ended]
    return [Send("run_task", One(id=t.id)) for t in ready] or END


def run_task(one: One, *, m: Materials) -> dict[str, Any]:
    """Run one task to its end."""
    task = next(t for t in _tasks(m) if t.id == one["id"])
    bench = programming.Workbench(
        store=m.store,
        run_job=m.run_job,
        data_dir=lambda name: data_folder(name, m.run_job),
        card=lambda name: m.cards[name],
        screen=screen_code,
        limits=m.limits,
        session=m.sessions["programming"],
        seed=m.seed,
    )
    result = programming.run_task(bench, m.objective, task)
    m.say(f"{task.id}: {OPERATORS[task.operator].title}, level {result.level}")
    return {"ran": [task.id]}
