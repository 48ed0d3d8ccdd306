"""How good the choices are: right data set, analyses and papers on objectives written before any prompt.

An objective scores, each in [0, 1]: data set 1 when the chosen one is acceptable; analyses the F1 of the chosen
ones against the required ones, acceptable ones being neither right nor wrong; papers the share of kept papers
that are relevant. Its points are the mean of the three. An unanswerable objective scores 1 when it is refused.
Higher is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from labwright.agents import search
from labwright.agents.analyses import choose_operators, ordered
from labwright.agents.untrusted import Guard
from labwright.config import LiteratureConfig
from labwright.domain import Objective
from labwright.models.ask import Session
from labwright.tools.analysis.contracts import OPERATORS
from labwright.tools.index import Encoder, Index
from labwright.tools.sources import EmbeddedCorpus
from labwright.workflows.guards import guard_of
from labwright.workflows.search_nodes import answerable


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was chosen for one objective, and its points."""

    id: str
    dataset: str
    refused: bool
    operators: tuple[str, ...]
    papers: tuple[str, ...]
    dataset_points: float
    operator_points: float
    paper_points: float

    @property
    def points(self) -> float:
        """Mean of the three, in [0, 1]."""
        return (self.dataset_points + self.operator_points + self.paper_points) / 3


def load(name: str) -> list[dict[str, Any]]:
    """Objectives of `choices.yaml` ("choices") or `development.yaml` ("development"), unanswerable ones last."""
    text = (files("labwright.eval.suites") / "choices" / f"{name}.yaml").read_text(encoding="utf-8")
    table = yaml.safe_load(text)
    return [*table["objectives"], *({**item, "answerable": False} for item in table.get("unanswerable", []))]


def operator_f1(chosen: Sequence[str], required: Sequence[str], acceptable: Sequence[str]) -> float:
    """F1 of the chosen analyses; acceptable ones do not count as wrong, the data set's summary never counts.

    Example:
        >>> operator_f1(["survival_curves", "cohort_summary"], ["survival_curves"], [])
        1.0
    """
    free = {"cohort_summary", *acceptable} - set(required)
    counted = [c for c in chosen if c not in free]
    right = len(set(counted) & set(required))
    return 2 * right / (len(set(counted)) + len(set(required))) if counted or required else 1.0


class Chooser:
    """Makes the three choices of the main job for an objective, without running anything."""

    def __init__(self, cards: Mapping[str, Mapping[str, Any]], encode: Encoder) -> None:
        self._cards = cards
        self._corpus = EmbeddedCorpus(encode)
        self._cards_index = Index(
            [(n, f"{search.dataset_brief(c)} {c.get('assay', '')}") for n, c in cards.items()], encode
        )
        self._operators_index = Index([(n, f"{c.title}. {c.answers}") for n, c in OPERATORS.items()], encode)
        self._settings = LiteratureConfig()
        self._encode = encode

    def decide(self, session: Session | None, item: Mapping[str, Any]) -> Outcome:
        """Choose for one objective and score it."""
        objective = Objective(
            text=item["text"],
            conditions=item.get("conditions", ""),
            requirements=item.get("requirements", ""),
        )
        guard = guard_of(objective, session.seed if session else 0)
        near = self._cards_index.relevance(objective.text)
        ranked = search.choose_datasets(session, objective, self._cards, near, guard)
        best = ranked[0].id
        refused = not answerable(ranked[0])
        chosen = choose_operators(
            session, objective, self._cards[best], self._operators_index.relevance(objective.text), guard
        )
        operators = tuple(ordered([c.id for c in chosen if c.chosen]))
        papers = self._papers(session, objective, guard)
        if item.get("answerable") is False:
            return Outcome(item["id"], best, refused, operators, papers, float(refused), float(refused), float(refused))
        wanted = item["operators"]
        relevant = set(item.get("papers", []))
        return Outcome(
            id=item["id"],
            dataset=best,
            refused=refused,
            operators=operators,
            papers=papers,
            dataset_points=float(best in item["datasets"] and not refused),
            operator_points=operator_f1(operators, wanted["required"], wanted.get("acceptable", [])),
            paper_points=sum(p in relevant for p in papers) / len(papers) if papers else 0.0,
        )

    def _papers(self, session: Session | None, objective: Objective, guard: Guard) -> tuple[str, ...]:
        settings = self._settings
        queries = search.write_queries(session, objective)
        found = search.find_papers(queries, self._corpus.search, settings.candidates)
        cosines = search.nearness(objective, found, self._encode, guard)
        scored = search.score_papers(session, objective, found, cosines, guard)
        marked = search.keep_papers(scored, settings.helpfulness, settings.keep)
        return tuple(p.id for p in marked if p.reason.startswith("kept"))
