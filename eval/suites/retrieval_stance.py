"""How well a model tells support from contradiction: evidence sentences of SciFact's validation claims.

Each pair of a claim and an abstract is one row; of an abstract that was cited but says neither, the sentence
nearest to the claim is asked about. Accuracy: higher is better, range [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labwright.domain import Paper, Quote
from labwright.eval.suites.retrieval_data import Abstract, scifact_abstracts, scifact_claims
from labwright.models.ask import Session
from labwright.tools.evidence_claims import evidence_sentences, stance
from labwright.tools.index import Encoder
from labwright.workflows.claims import question

LABEL = {"SUPPORT": "support", "CONTRADICT": "contradict"}


def stance_rows(session: Session, encode: Encoder, step: int = 1) -> Iterator[dict[str, Any]]:
    """One row a pair: what it is, what the model said, with which probabilities.

    Args:
        session: who is asked.
        encode: texts to unit vectors.
        step: every so many claims.
    """
    abstracts = {abstract.id: abstract for abstract in scifact_abstracts()}
    for claim in scifact_claims("validation")[::step]:
        said = {name: (LABEL[label], numbers) for name, label, numbers in claim.evidence}
        for name in claim.relevant:
            label, numbers = said.get(name, ("neither", ()))
            quote = _quote(claim.text, abstracts[name], numbers, encode)
            if quote is not None:
                found = stance(session, question, claim.text, quote)
                shares = {one: round(p, 4) for one, p in found.probabilities.items()}
                yield {
                    "kind": "stance",
                    "name": f"{claim.id}:{name}",
                    "label": label,
                    "said": found.label,
                    "probabilities": shares,
                    "decided_by": found.decided_by,
                }


def _quote(claim: str, abstract: Abstract, numbers: tuple[int, ...], encode: Encoder) -> Quote | None:
    if numbers:
        text = abstract.sentences[numbers[0]]
        return Quote(paper=abstract.id, start=0, end=len(text), text=text)
    paper = Paper(id=abstract.id, title=abstract.title, abstract="", source="scifact")
    found = evidence_sentences(claim, [(paper, "\n".join(abstract.sentences))], encode, limit=1)
    return found[0][0] if found else None
