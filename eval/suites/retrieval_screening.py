"""What the run's search finds and keeps of the embedded corpus, whose every record is judged for every objective.

Judgements are 0, 1 or 2 (a must); a near miss is a tempting record of no use. Recall of the musts among what was
scored: higher is better. Share of the scored near misses that were kept: lower is better. Both in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labwright.agents import search
from labwright.config import LiteratureConfig
from labwright.eval.suites import objectives
from labwright.models.ask import Session
from labwright.tools.corpus.records import load_records
from labwright.tools.index import Encoder
from labwright.tools.sources import EmbeddedCorpus
from labwright.workflows.guards import guard_of

MUST = 2


def screening_rows(session: Session | None, encode: Encoder, step: int = 1) -> Iterator[dict[str, Any]]:
    """One row an objective, after one round of the search as `labwright run` makes it.

    Args:
        session: who writes queries and scores papers; None goes by rules.
        encode: texts to unit vectors.
        step: every so many of the objectives whose records were judged.
    """
    corpus = EmbeddedCorpus(encode)
    near = {record.id for record in load_records() if record.near_miss}
    settings = LiteratureConfig()
    judged = [item for item in objectives.load() if item.relevance]
    for item in judged[::step]:
        objective = item.asked
        found = search.find_papers(search.write_queries(session, objective), corpus.search, settings.candidates)
        guard = guard_of(objective, 0)
        near_by = search.nearness(objective, found, encode, guard)
        scored = search.score_papers(session, objective, found, near_by, guard)
        marked = search.keep_papers(scored, settings.helpfulness, settings.keep)
        yield {
            "kind": "screening",
            "name": item.id,
            "found": [p.id for p in found],
            "kept": [p.id for p in marked if p.reason.startswith("kept")],
            "musts": sorted(name for name, grade in item.relevance.items() if grade == MUST),
            "near_misses": sorted(near),
        }
