"""The design agent's first decision: which analyses, of those that the data set can carry."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from labwright.agents.prompting import prompt
from labwright.agents.search import Choice, choose_by, dataset_brief
from labwright.agents.untrusted import Guard
from labwright.domain import Objective
from labwright.models.ask import Session
from labwright.tools.analysis.contracts import OPERATORS, feasible

ORDER = (
    "cohort_summary",
    "survival_curves",
    "cox_regression",
    "prognostic_features",
    "survival_signature",
    "differential_expression",
    "gene_set_enrichment",
    "cluster_samples",
    "marker_features",
    "classify_samples",
    "drug_association",
)
MOST_OPERATORS = 3
LEAST_PROBABILITY = 0.5
LEAST_SHARE = 0.5
"""An analysis after the first is chosen at this share of the greatest similarity or above."""


def choose_operators(  # noqa: PLR0913  (who, what for, with which data, and what is left out)
    session: Session | None,
    objective: Objective,
    card: Mapping[str, Any],
    similarity: Mapping[str, float],
    guard: Guard,
    *,
    without: Collection[str] = (),
) -> list[Choice]:
    """The analyses that the objective asks for, among those that the data can carry.

    The data set's summary is always made, so it is no choice; an enrichment brings the ranked list it needs.

    Args:
        session: who is asked; None goes by similarity.
        objective: the question.
        card: the data set.
        similarity: operator to cosine of its answer with the objective.
        guard: shows the data set to the model.
        without: analyses that have nothing to start from, since the objective names no gene, drug or alteration.
    """
    able = [n for n in ORDER if n not in ("cohort_summary", *without) and feasible(OPERATORS[n], card) is None]
    able = [n for n in able if upstream_of(n, able) is not None or not OPERATORS[n].requires.needs_table_of]

    def question(name: str) -> Any:
        return prompt("operator").render(
            objective=objective.brief(), dataset=guard.material(dataset_brief(card)), answers=OPERATORS[name].answers
        )

    candidates = {n: (OPERATORS[n].title, similarity[n]) for n in able}
    ranked = choose_by(session, candidates, question, len(candidates))
    chosen = _select(ranked)
    return [
        Choice(
            id=c.id,
            title=c.title,
            similarity=c.similarity,
            probability=c.probability,
            score=c.score,
            chosen=c.id in chosen,
            reason=_why(c, chosen),
        )
        for c in ranked
    ]


def _select(ranked: Sequence[Choice]) -> set[str]:
    """The best candidate, and those whose similarity is near the greatest and that the model does not say no to.

    The fused score only ranks: its zero is the mean of the candidates, so a share of it means nothing, and of two
    candidates it would never take both.
    """
    chosen = [c.id for c in ranked[:1]]
    greatest = max((c.similarity for c in ranked), default=0.0)
    for candidate in ranked[1:]:
        willing = candidate.probability is None or candidate.probability >= LEAST_PROBABILITY
        near = candidate.similarity > 0 and candidate.similarity >= LEAST_SHARE * greatest
        if len(chosen) < MOST_OPERATORS and willing and near:
            chosen.append(candidate.id)
    for name in list(chosen):
        needed = OPERATORS[name].requires.needs_table_of
        if needed and not set(needed) & set(chosen):
            chosen.append(next(c.id for c in ranked if c.id in needed))
    return set(chosen)


def _why(choice: Choice, chosen: set[str]) -> str:
    asked = f"p(yes) {choice.probability:.2f}, " if choice.probability is not None else ""
    return f"{'chosen' if choice.id in chosen else 'not chosen'}: {asked}similarity {choice.similarity:.2f}"


def upstream_of(name: str, names: Sequence[str]) -> str | None:
    """The first of the operators whose table an operator works on; None when it needs none, or none is there."""
    return next((n for n in OPERATORS[name].requires.needs_table_of if n in names), None)


def ordered(operators: Sequence[str]) -> list[str]:
    """Operators in the order of a protocol, the data set's summary first."""
    return [n for n in ORDER if n in operators or n == "cohort_summary"]
