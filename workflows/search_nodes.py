"""The nodes of the search: is it a question for labwright, which papers, which data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from labwright.agents import search
from labwright.agents.prompting import prompt
from labwright.domain import Dataset, Paper
from labwright.errors import NoLiterature, NoUsableData, ObjectiveRefused, SourceUnavailable
from labwright.models.ask import choose
from labwright.tools.full_text import obtain, wanted
from labwright.tools.index import Index
from labwright.tools.sources import deduplicate
from labwright.workflows.data import verified
from labwright.workflows.literature_sources import NETWORK, geo_source
from labwright.workflows.materials import Materials
from labwright.workflows.misuse import judged
from labwright.workflows.state import RunState
from labwright.workflows.untrusted import keep_passages

OUTSIDE = 0.12
"""An objective whose best cosine with everything the catalogue and corpus hold is below this is off the map."""
FAR = 0.5
"""No data set is used that is less relevant than this. On the development objectives the answerable ones lie
above it; of the four that cannot be answered one does too, and the model's probability does not tell it apart."""
GEO_SHOWN = 5
DOUBTFUL = 0.75
"""Between the two, the model may still refuse it with a probability under one half."""


def screen(state: RunState, *, m: Materials) -> RunState:
    """Turn away what asks for harm, and what is no biomedical question."""
    session = m.sessions["search"]
    verdict = judged(session, m.objective)
    m.store.write(m.store.folder / "objective_screen.json", asdict(verdict))
    if verdict.note:
        m.log.note(verdict.note)
    verdict.enforce()
    known = Index([(str(c["id"]), search.dataset_brief(c)) for c in m.cards.values()], m.encode)
    nearest = float(max(known.similarity(m.objective.text)))
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
        found = _checked(m, found)
        for paper in found:
            keep_passages(m, paper.id, {"title": paper.title, "abstract": paper.abstract})
        near = search.nearness(m.objective, found, m.encode, m.guard)
        fresh = search.score_papers(session, m.objective, found, near, m.guard)
        scored |= {p.id: p for p in fresh}
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
    _store(m, kept)
    m.say(f"{len(kept)} of {len(marked)} papers kept")
    return {"papers": [p.id for p in kept]}


def _checked(m: Materials, papers: list[Paper]) -> list[Paper]:
    """The papers with their standing, looked up before any of them is put before the model."""
    with m.log.spending("", "network"):
        return m.check_retractions(papers)


def _store(m: Materials, kept: Sequence[Paper]) -> None:
    """Write the kept papers with their documents, and the list of full texts that only the user can add."""
    by_name = {source.name: source for source in m.sources}
    stored = []
    for paper in kept:
        with m.log.spending("", "network" if paper.source in NETWORK else "retrieval"):
            paper, text = obtain(by_name[paper.source], paper)
        m.store.write_text(m.store.path("papers", f"{paper.id}.txt"), text)
        m.store.write(m.store.path("papers", f"{paper.id}.json"), paper)
        stored.append(paper)
    m.store.write(m.store.path("papers") / "_full_text_wanted.json", [asdict(w) for w in wanted(stored)])


def _search(m: Materials, query: str, limit: int) -> list[Paper]:
    found: list[Paper] = []
    for source in m.sources:
        kind = "network" if source.name in NETWORK else "retrieval"
        try:
            with m.log.spending("", kind):
                found += source.search(query, limit)
        except SourceUnavailable as error:
            m.log.note(f"{source.name} was out of reach: {error}")
    return deduplicate(found)


def find_dataset(state: RunState, *, m: Materials) -> RunState:
    """Choose the data set, confirm it against its data, and refuse when none can answer."""
    near = nearest_cards(m)
    choices = search.choose_datasets(m.sessions["search"], m.objective, m.cards, near, m.guard)
    best = choices[0]
    usable = answerable(best)
    listed = [{**asdict(c), "chosen": c is best and usable, "reason": _dataset_reason(c, c is best)} for c in choices]
    m.store.write(m.store.path("datasets") / "_screening.json", [*listed, *_in_geo(m)])
    if not usable:
        raise NoUsableData(
            f"no data set in reach can answer this; the nearest is {best.id} ({best.title}), "
            f"relevance {best.similarity:.2f}, p(fits) {best.probability}; see `labwright datasets list`"
        )
    use_dataset(m, best.id)
    return {"dataset": best.id}


def nearest_cards(m: Materials) -> dict[str, float]:
    """Data set to its relevance for the objective; passages of descriptions that look like orders are kept aside."""
    for name, card in m.cards.items():
        keep_passages(m, name, {"data set description": search.dataset_brief(card)})
    known = [(n, m.guard.read(f"{search.dataset_brief(c)} {c.get('assay', '')}")) for n, c in m.cards.items()]
    return Index(known, m.encode).relevance(m.objective.text)


def use_dataset(m: Materials, name: str) -> None:
    """Confirm a data set against its data, and write it to the run folder.

    Raises:
        NoUsableData: the data are not what the card says.
    """
    ok, compared = verified(name, m.run_job)
    if not ok:
        raise NoUsableData(compared)
    card = {k: v for k, v in m.cards[name].items() if k in Dataset.model_fields}
    dataset = Dataset.model_validate({**card, "verified": ok, "verification": compared})
    m.store.write(m.store.path("datasets", f"{name}.json"), dataset)
    m.say(f"data set {name} chosen and verified")


def _in_geo(m: Materials) -> list[dict[str, Any]]:
    """Series that GEO holds on the objective: shown to the reader, who can add one before the next run."""
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
            "reason": f"not used: in GEO, {s.organism}, {s.n_samples} samples, but not among the data sets of this "
            f"machine; `labwright datasets add {s.id}` tries to add it",
        }
        for s, n in zip(series, near, strict=True)
        if s.id.lower() not in m.cards
    ]


def answerable(best: search.Choice) -> bool:
    """Whether the best data set is near enough to the objective to be used."""
    if best.similarity < FAR:
        return False
    return best.similarity >= DOUBTFUL or best.probability is None or best.probability >= 0.5


def _dataset_reason(choice: search.Choice, best: bool) -> str:
    asked = f"p(fits) {choice.probability:.2f}, " if choice.probability is not None else "not put to the model, "
    return f"{'best' if best else 'below the best'}: {asked}relevance {choice.similarity:.2f}"
