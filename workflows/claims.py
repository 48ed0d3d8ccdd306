"""What the literature says about one claim, and whether a paper really holds a quote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labwright.agents.prompting import prompt
from labwright.domain import Paper, Quote
from labwright.errors import QuoteNotFound, WrongUse
from labwright.models.ask import Prompt, Session
from labwright.tools.evidence import likeness, locate
from labwright.tools.evidence_claims import Stance, evidence_sentences, stance
from labwright.tools.index import Encoder
from labwright.tools.sources import LiteratureSource
from labwright.workflows.guards import guard_for
from labwright.workflows.literature_sources import check_retractions

PAPERS = 10
"""Papers whose sentences are compared with a claim."""
QUOTED = 20
"""Papers in which a quote is looked for when none is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One sentence that speaks of a claim."""

    paper: Paper
    quote: Quote
    relevance: float
    """Comparable within one claim."""
    stance: Stance | None
    """None when no model was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a claimed quote was found."""

    quote: Quote | None
    """The span of the stored document."""
    paper: Paper | None
    """The paper that holds it, or the one with the nearest text."""
    nearest: str
    """The sentence that is most like it; empty when it was found."""


def question(claim: str, sentence: str) -> Prompt:
    """The prompt that asks how a sentence stands to a claim."""
    return prompt("stance").render(claim=claim, sentence=guard_for(claim).material(sentence))


def evidence_for(
    claim: str, sources: Sequence[LiteratureSource], encode: Encoder, session: Session | None, limit: int = 5
) -> list[Evidence]:
    """The sentences that speak of a claim, nearest first, each with how it stands to the claim.

    Args:
        claim: one statement.
        sources: where papers are searched; a retracted paper is never evidence.
        encode: texts to unit vectors.
        session: who is asked for support or contradiction; None asks nobody.
        limit: most sentences.
    """
    found = [(paper, source) for source in sources for paper in source.search(claim, PAPERS)]
    checked = check_retractions([paper for paper, _ in found], [source.name for source in sources])
    papers = {paper.id: paper for paper in checked}
    documents = [(papers[paper.id], source.text(paper)) for paper, source in found]
    return [
        Evidence(
            paper=papers[quote.paper],
            quote=quote,
            relevance=relevance,
            stance=None if session is None else stance(session, question, claim, quote),
        )
        for quote, relevance in evidence_sentences(claim, documents, encode, limit)
    ]


def verdict(text: str, sources: Sequence[LiteratureSource], paper: str = "") -> Verdict:
    """Look a claimed quote up.

    Args:
        text: the quote.
        sources: where it may be.
        paper: id of the paper that it is said to be in; empty tries the papers that a search for it finds.

    Raises:
        WrongUse: no source finds that paper.
    """
    found = [(one, source) for source in sources for one in source.search(text, QUOTED)]
    if paper:
        found = [(one, source) for one, source in found if one.id == paper] or _named(paper, sources)
    rejected: list[tuple[Paper, str]] = []
    for one, source in found:
        try:
            return Verdict(quote=locate(one.id, source.text(one), text), paper=one, nearest="")
        except QuoteNotFound as error:
            rejected.append((one, error.nearest))
    if not rejected:
        return Verdict(quote=None, paper=None, nearest="")
    best = max(rejected, key=lambda pair: likeness(text, pair[1]))
    return Verdict(quote=None, paper=best[0], nearest=best[1])


def _named(paper: str, sources: Sequence[LiteratureSource]) -> list[tuple[Paper, LiteratureSource]]:
    for source in sources:
        for one in getattr(source, "papers", list)():
            if one.id == paper:
                return [(one, source)]
    raise WrongUse(f"no paper {paper!r} in {', '.join(source.name for source in sources)}; see `labwright search`")
