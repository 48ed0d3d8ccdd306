"""The reviewer: named criteria, each a yes/no question scored from token probabilities, and code's own checks.

The loop of the specification with its defects mended: the best candidate is kept (not the last), the last
rewrite is reviewed too, and a fact that code can decide is not left to the model. Scores are in [1, 5],
higher is better: 1 + 4 p(yes). A failed code check sets its criterion to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from labwright.agents.prompting import prompt
from labwright.domain import Objective, Review
from labwright.models.ask import Session, choose
from labwright.models.prompt_file import Material

C = TypeVar("C")
NEUTRAL = {"yes": 0.5, "no": 0.5}


@dataclass(frozen=True, slots=True)
class Stage(Generic[C]):
    """What is reviewed and by which measure."""

    name: str
    criteria: Mapping[str, str]
    """Criterion to yes/no question."""
    show: Callable[[C], Material]
    """The candidate as the reviewer reads it."""
    faults: Callable[[C], Mapping[str, str]]
    """Criterion to what code found wrong with the candidate; empty when nothing."""
    accept: float
    """Mean score at which a candidate is accepted. Margins of small models are narrow (measured: 0.4 to 2.8
    in log-odds between good and bad protocols), so the 4.5 of free scoring does not carry over."""


def review(session: Session, objective: Objective, stage: Stage[C], candidate: C, number: int) -> Review:
    """Review one candidate."""
    text = stage.show(candidate)
    faults = stage.faults(candidate)
    scores: dict[str, float] = {}
    for criterion, question in stage.criteria.items():
        if criterion in faults:
            scores[criterion] = 1.0
            continue
        asked = prompt("review").render(
            objective=objective.brief(), stage=stage.name, candidate=text, question=question
        )
        odds = choose(session, asked, ("yes", "no"), fallback=NEUTRAL)
        scores[criterion] = round(1 + 4 * odds.value["yes"], 3)
    for criterion in faults.keys() - scores.keys():
        scores[criterion] = 1.0
    weak = [f"{c}: {stage.criteria[c]}" for c, s in scores.items() if s < 3 and c in stage.criteria]
    critique = "; ".join([*(f"{c}: {what}" for c, what in faults.items()), *weak]) or "no fault found"
    mean = sum(scores.values()) / len(scores)
    return Review(
        stage=stage.name,
        candidate=number,
        scores=scores,
        critique=critique,
        accepted=mean >= stage.accept and not faults,
        reviewer=session.backend,
    )


def refine(
    session: Session,
    objective: Objective,
    stage: Stage[C],
    draft: Callable[[str], C],
    *,
    rewrites: int,
) -> tuple[C, list[Review]]:
    """Draft, review and rewrite until a candidate is accepted; the best reviewed one is returned.

    Args:
        session: the reviewer's.
        objective: what the work is for.
        stage: criteria and code checks.
        draft: makes a candidate from advice (empty for the first draft).
        rewrites: most rewrites.

    Returns:
        The candidate with the highest score, of equals one that code finds no fault with, and all reviews.
    """
    tried: list[tuple[C, Review]] = []
    advice = ""
    for number in range(1 + rewrites):
        candidate = draft(advice)
        verdict = review(session, objective, stage, candidate, number)
        tried.append((candidate, verdict))
        if verdict.accepted:
            break
        advice = f"\nA reviewer asks for changes: {verdict.critique[:400]}"
    best = max(range(len(tried)), key=lambda i: (tried[i][1].accepted, tried[i][1].overall, -i))
    reviews = [r.model_copy(update={"chosen": i == best}) for i, (_, r) in enumerate(tried)]
    return tried[best][0], reviews
