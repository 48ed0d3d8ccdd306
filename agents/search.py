"""The search agent: queries, papers with their helpfulness, data sets.

Every candidate ends with a reason, kept or not; nothing disappears. Choices come as two signals that miss
different things, similarity of meaning and the model's token probability, fused by their standard scores.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from labwright.agents.prompting import prompt
from labwright.agents.untrusted import Guard
from labwright.domain import Objective, Paper
from labwright.models.ask import Session, Value, ask, choose, score
from labwright.tools.index import Encoder, Index
from labwright.tools.standing import worst

ABSTRACT_CHARS = 300
CARDS_ASKED = 6
SIMILARITY_WEIGHT = 2.0
"""Weight of similarity beside the model's log-odds; of 1 and 2, the better one on the development objectives."""
COSINE_LOW, COSINE_HIGH = 0.1, 0.6
"""Cosines of unrelated and of closely related abstracts with a question."""
NEUTRAL = {"yes": 0.5, "no": 0.5}
STOPWORDS = frozenset(
    "a an and are as at be by can do does for from how in into is it its of on or that the their them then this "  # noqa: SIM905
    "to we were what when which who whom why will with would you your our".split()
)
Query = Annotated[str, StringConstraints(min_length=4, max_length=70)]


class Queries(BaseModel):
    """Literature queries."""

    model_config = ConfigDict(extra="forbid")
    queries: list[Query] = Field(min_length=2, max_length=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One candidate of a choice and how it fared."""

    id: str
    title: str
    similarity: float
    probability: float | None
    """p(yes) of the model; None when it was not asked."""
    score: float
    chosen: bool = False
    reason: str = ""


def keywords(text: str, most: int = 8) -> str:
    """The words of a text that are not stop words, in order."""
    words = [w for w in re.findall(r"[A-Za-z][A-Za-z0-9-]{2,}", text) if w.casefold() not in STOPWORDS]
    return " ".join(dict.fromkeys(words[:most]))


def write_queries(session: Session | None, objective: Objective) -> list[str]:
    """Literature queries; the objective's own words always come first, so that no query can lose them."""
    own = keywords(objective.text, 16)
    if session is None:
        return [own]
    asked = prompt("queries").render(objective=objective.brief())
    answer = ask(session, asked, Queries, max_tokens=160, fallback=lambda: Queries(queries=[own[:70], own[:70]]))
    return list(dict.fromkeys([own, *answer.value.queries]))


def find_papers(queries: Sequence[str], search: Callable[[str, int], list[Paper]], limit: int) -> list[Paper]:
    """Papers found by any query, best reciprocal-rank sum first, at most `limit`."""
    found: dict[str, Paper] = {}
    points: dict[str, float] = {}
    for query in queries:
        for rank, paper in enumerate(search(query, limit)):
            said = worst(found.get(paper.id, paper).retraction, paper.retraction)  # of any source, for any query
            found[paper.id] = paper.model_copy(update={"retraction": said})
            points[paper.id] = points.get(paper.id, 0.0) + 1.0 / (10 + rank)
    order = sorted(found, key=lambda i: (-points[i], i))[:limit]
    return [found[i] for i in order]


def nearness(objective: Objective, papers: Sequence[Paper], encode: Encoder, guard: Guard) -> dict[str, float]:
    """Cosine of each paper's title and abstract, as a model may see them, with the objective."""
    if not papers:
        return {}
    index = Index([(p.id, guard.read(f"{p.title}. {p.abstract}")) for p in papers], encode)
    return dict(zip([p.id for p in papers], map(float, index.similarity(objective.text)), strict=True))


def score_papers(
    session: Session | None,
    objective: Objective,
    papers: Sequence[Paper],
    similarity: Mapping[str, float],
    guard: Guard,
) -> list[Paper]:
    """Give each paper its helpfulness in [1, 5], most helpful first.

    Two thirds come from the cosine of its abstract with the objective, one third from the model's expected
    answer: a small model's answers lie close together (3.2 to 3.6 on the development objectives).

    Args:
        session: who is asked; None goes by the cosine.
        objective: the question.
        papers: the candidates.
        similarity: paper id to cosine in [-1, 1].
        guard: shows title and abstract to the model.
    """
    order = list(papers)
    if session is not None:
        random.Random(session.seed).shuffle(order)  # noqa: S311  (an order, not a secret)
    scored = []
    for paper in order:
        near = 1.0 + 4.0 * min(1.0, max(0.0, (similarity[paper.id] - COSINE_LOW) / (COSINE_HIGH - COSINE_LOW)))
        if session is None:
            helpfulness = near
        else:
            abstract = guard.read(paper.abstract)[:ABSTRACT_CHARS]
            shown = guard.material(f"Title: {guard.read(paper.title)}\nAbstract: {abstract}")
            asked = prompt("helpfulness").render(objective=objective.brief(), paper=shown)
            given = score(session, asked, fallback=near)
            helpfulness = (SIMILARITY_WEIGHT * near + given.value) / (SIMILARITY_WEIGHT + 1)
        scored.append(paper.model_copy(update={"helpfulness": round(helpfulness, 3)}))
    return sorted(scored, key=lambda p: (-(p.helpfulness or 0.0), p.id))


def keep_papers(papers: Sequence[Paper], threshold: float, most: int) -> list[Paper]:
    """Mark each paper kept or dropped, with the reason; kept ones are the most helpful, best first.

    Example:
        >>> papers = [Paper(id=str(i), title="t", abstract="", source="s", helpfulness=h)
        ...           for i, h in enumerate([1, 2, 3, 4, 4, 5])]
        >>> [p.helpfulness for p in keep_papers(papers, 4, 10) if p.reason.startswith("kept")]
        [5.0, 4.0, 4.0]
    """
    ordered = sorted(papers, key=lambda p: (-(p.helpfulness or 0.0), p.id))
    marked, kept = [], 0
    for paper in ordered:
        if not paper.retraction.citable:
            reason = f"dropped: {paper.retraction.words} ({paper.retraction.source})"
        elif paper.helpfulness is None:
            reason = "dropped: could not be scored"
        elif paper.helpfulness < threshold:
            reason = f"dropped: helpfulness {paper.helpfulness:.2f} is below {threshold:g}"
        elif kept >= most:
            reason = f"dropped: {most} more helpful papers were kept"
        else:
            kept += 1
            reason = f"kept: helpfulness {paper.helpfulness:.2f}"
        marked.append(paper.model_copy(update={"reason": reason}))
    return marked


def fused(similarity: Mapping[str, float], odds: Mapping[str, float]) -> dict[str, float]:
    """Standard score of similarity, weighted, plus that of the log-odds, over the candidates that have both."""
    names = [n for n in similarity if n in odds]
    logits = [float(np.log(max(odds[n], 1e-6) / max(1 - odds[n], 1e-6))) for n in names]
    total = SIMILARITY_WEIGHT * _standard([similarity[n] for n in names]) + _standard(logits)
    return dict(zip(names, map(float, total), strict=True))


def _standard(values: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    array = np.asarray(values, dtype=float)
    if len(array) < 2 or array.std() == 0:
        return np.zeros_like(array)
    return np.asarray((array - array.mean()) / array.std())


def choose_by(
    session: Session | None,
    candidates: Mapping[str, tuple[str, float]],
    question: Callable[[str], Any],
    most_asked: int,
) -> list[Choice]:
    """Rank candidates by similarity fused with the model's p(yes), the best first.

    Args:
        session: who is asked; None ranks by similarity alone.
        candidates: id to (title, similarity).
        question: id to rendered yes/no prompt.
        most_asked: only so many of the most similar candidates are put to the model.
    """
    by_similarity = sorted(candidates, key=lambda c: (-candidates[c][1], c))
    asked = by_similarity[:most_asked] if session is not None else []
    order = list(asked)
    odds: dict[str, Value[dict[str, float]]] = {}
    if session is not None:
        random.Random(session.seed).shuffle(order)  # noqa: S311  (an order, not a secret)
        odds = {c: choose(session, question(c), ("yes", "no"), fallback=NEUTRAL) for c in order}
    scores = fused({c: candidates[c][1] for c in asked}, {c: v.value["yes"] for c, v in odds.items()})
    least = min(scores.values(), default=0.0)
    choices = [
        Choice(
            id=c,
            title=candidates[c][0],
            similarity=round(candidates[c][1], 4),
            probability=round(odds[c].value["yes"], 4) if c in odds else None,
            score=round(scores.get(c, least - 1 + candidates[c][1] if odds else candidates[c][1]), 4),
        )
        for c in by_similarity
    ]
    _log_decision(session, choices, odds)
    return sorted(choices, key=lambda c: (-c.score, c.id))


def _log_decision(
    session: Session | None, choices: Sequence[Choice], odds: Mapping[str, Value[dict[str, float]]]
) -> None:
    """The model decided the choice when its own favourite is the one that the fused score takes."""
    asked = [c for c in choices if c.probability is not None]
    if session is None or not asked:
        return
    favourite = max(asked, key=lambda c: (c.probability or 0.0, c.score))
    winner = max(asked, key=lambda c: c.score)
    taken = odds[winner.id]
    if taken.decided_by == "model" or not session.log.allowance_spent():
        session.log.tool_call(taken.name, valid=taken.decided_by == "model")
    if favourite.id != winner.id:
        session.log.decide(odds[winner.id].name, "code")


def dataset_brief(card: Mapping[str, Any]) -> str:
    """A data set in two lines, as the prompts show it."""
    columns = ", ".join(
        f"{name} ({'/'.join(map(str, list(levels)[:4]))})"
        for name, levels in list((card.get("groups") or {}).items())[:4]
    )
    survival = card.get("survival") or {}
    outcome = f" Follow-up: {survival.get('endpoint') or survival.get('event')}." if survival else ""
    groups = f" Groups: {columns}." if columns else ""
    return f"{card['title']}. {str(card.get('description', ''))[:260]}{groups}{outcome} n={card.get('n_samples')}."


def choose_datasets(
    session: Session | None,
    objective: Objective,
    cards: Mapping[str, Mapping[str, Any]],
    similarity: Mapping[str, float],
    guard: Guard,
) -> list[Choice]:
    """Rank the data sets by whether they can answer the objective; the first is the one to use."""

    def question(name: str) -> Any:
        return prompt("dataset").render(objective=objective.brief(), card=guard.material(dataset_brief(cards[name])))

    candidates = {name: (str(card["title"]), similarity[name]) for name, card in cards.items()}
    return choose_by(session, candidates, question, CARDS_ASKED)
