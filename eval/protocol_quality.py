"""Five quality metrics of a protocol, 1 to 5, higher is better, each in a part that code checks and one that a judge scores.

The five names are those a survey gives for the published system (completeness, level of detail, correctness, logical
soundness, structural soundness); their definitions, the scale and the rater of that work are not public. The anchors
below are ours, and so are the code checks: a code score is 1 + 4 x the weighted share of opportunities that held (weights in
`eval/protocol_findings.py`). The judged
score is an expected value over the probabilities of the five digits (`eval/protocol_judge.py`). They are reported
separately; `together` is their mean and exists only where both do.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from labwright.eval.protocol_facts import Known, check_correctness, check_detail, known
from labwright.eval.protocol_findings import METRICS, CodeScore, Tally, code_score
from labwright.eval.protocol_judge import Judgement
from labwright.eval.protocol_reading import Reading
from labwright.eval.protocol_shape import check_completeness, check_logic, check_structure
from labwright.tools.catalogue.catalogue import all_cards


def code_scores(reading: Reading, exists: Known | None = None) -> tuple[CodeScore, ...]:
    """The code-checked part of the five metrics, in their order.

    Args:
        reading: the protocol.
        exists: data sets and tools that exist; by default the data sets of this machine and the list at hand.

    Returns:
        Scores in [1, 5], each with the evidence for every point lost.
    """
    there = known(all_cards()) if exists is None else exists
    checks: dict[str, Callable[[], Tally]] = {
        "completeness": lambda: check_completeness(reading),
        "level_of_detail": lambda: check_detail(reading),
        "correctness": lambda: check_correctness(reading, there),
        "logical_soundness": lambda: check_logic(reading),
        "structural_soundness": lambda: check_structure(reading),
    }
    if not any(True for _ in reading.steps()):
        # Without a step nothing is asked of most metrics, and nothing asked must not look like nothing wrong.
        return tuple(CodeScore(m, None, 0, (), "the protocol has no step") for m in METRICS)
    return tuple(code_score(metric, checks[metric]()) for metric in METRICS)


def quality(
    reading: Reading, judged: Mapping[str, Judgement] | None = None, exists: Known | None = None
) -> dict[str, Any]:
    """Everything that `labwright eval protocol` shows, ready for JSON.

    Args:
        reading: the protocol.
        judged: metric to what the judge said; left out where no judge was asked.
        exists: as in `code_scores`.

    Returns:
        metrics (by name: code, judged, together, evidence) and means of the three columns; a value that does not exist
        is None, with its reason.
    """
    metrics: dict[str, dict[str, Any]] = {}
    for code in code_scores(reading, exists):
        judgement = (judged or {}).get(code.metric)
        opinion = judgement.score if judgement is not None else None
        both = code.score is not None and opinion is not None
        metrics[code.metric] = {
            "code": code.score,
            "code_reason": code.reason,
            "asked": code.asked,
            "judged": opinion,
            "judged_reason": "no judge was asked" if judgement is None else judgement.reason,
            "judged_samples": list(judgement.samples) if judgement is not None else [],
            "together": statistics.fmean((code.score, opinion)) if both and code.score and opinion else None,
            "evidence": [asdict(m) for m in code.missed],
        }
    means = {column: _mean([m[column] for m in metrics.values()]) for column in ("code", "judged", "together")}
    return {
        "objective": reading.objective,
        "parts": len(reading.parts),
        "steps": sum(len(p.steps) for p in reading.parts),
        "metrics": metrics,
        "means": means,
    }


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if len(known) == len(values) else None
