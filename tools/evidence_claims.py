"""Evidence for a claim: the sentences that speak of it, and whether each supports or contradicts it.

A sentence is a verbatim span of a stored document. A retracted paper is never evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from labwright.domain import Decider, Paper, Quote
from labwright.models.ask import Prompt, Session, choose
from labwright.tools.evidence import sentences
from labwright.tools.index import Encoder, Index

Label = Literal["support", "contradict", "neither"]
LABELS: tuple[Label, ...] = ("support", "contradict", "neither")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stance:
    """How one sentence stands to a claim."""

    quote: Quote
    label: Label
    """The likeliest of the three."""
    probabilities: Mapping[str, float]
    """Label to probability, summing to 1, from the probabilities of the model's first answer token."""
    decided_by: Decider
    """"fallback" when the model gave no usable answer: then the label is neither."""


def evidence_sentences(
    claim: str, papers: Sequence[tuple[Paper, str]], encode: Encoder, limit: int = 5
) -> list[tuple[Quote, float]]:
    """Sentences of papers that speak of a claim, best first.

    Args:
        claim: one statement.
        papers: papers with their stored documents; retracted ones and notices are passed over.
        encode: texts to unit vectors.
        limit: most sentences.

    Returns:
        Quotes with their relevance: cosine plus a share for words in common, comparable within one claim.
    """
    quotes = [
        quote
        for paper, document in papers
        if paper.retraction.citable
        for quote in sentences(paper.id, document)
        if quote.text.rstrip(".") != paper.title.rstrip(".")  # a title promises, it does not show
    ]
    if not quotes:
        return []
    index = Index([(str(n), quote.text) for n, quote in enumerate(quotes)], encode)
    scores = index.relevance(claim)
    order = sorted(range(len(quotes)), key=lambda n: (-scores[str(n)], n))
    return [(quotes[n], scores[str(n)]) for n in order[:limit]]


def stance(session: Session, question: Callable[[str, str], Prompt], claim: str, quote: Quote) -> Stance:
    """Ask whether a sentence supports a claim, contradicts it, or neither.

    Args:
        session: who is asked.
        question: a claim and a sentence to a prompt that is answered by one of the three labels.
        claim: one statement.
        quote: the sentence, a span of a stored document.

    Raises:
        BudgetExhausted: a limit was reached.
    """
    asked = question(claim, quote.text)
    given = choose(session, asked, LABELS, fallback={"support": 0.0, "contradict": 0.0, "neither": 1.0})
    label = max(LABELS, key=lambda one: given.value[one])
    return Stance(quote=quote, label=label, probabilities=given.value, decided_by=given.decided_by)
