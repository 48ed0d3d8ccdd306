"""Reranking by a language model: the probability that it answers yes to "does this document help?"."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labwright.models.ask import Prompt, Session, choose
from labwright.tools.index_records import IndexedDocument
from labwright.tools.index_store import Reranker

SHOWN_CHARS = 1500


def model_reranker(session: Session, question: Callable[[str, str], Prompt]) -> Reranker:
    """A reranker for `LiteratureIndex.search`.

    Args:
        session: who is asked, once a document; answers are cached by content.
        question: a query and a document's text to a prompt that is answered by yes or no.
    """

    def rerank(query: str, documents: Sequence[IndexedDocument]) -> Sequence[float]:
        scores = []
        for place, document in enumerate(documents):
            # Where the model gives no answer the document keeps about its place among the others.
            kept = 1.0 - (place + 1) / (len(documents) + 1)
            asked = question(query, document.passage()[:SHOWN_CHARS])
            given = choose(session, asked, ("yes", "no"), fallback={"yes": kept, "no": 1.0 - kept})
            scores.append(given.value["yes"])
        return scores

    return rerank
