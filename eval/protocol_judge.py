"""The judged part of the five metrics: a closed question a metric and sample, blind to the system that wrote the protocol.

The protocol is shown in one plain form for every system, with its objective. A sample shows the anchors in another
order; its score is the expected value over the probabilities of the digits 1 to 5, and the judgement the mean over the
samples. A sample that the model could not answer is left out; when none is left there is no score.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labwright.errors import WrongUse
from labwright.eval.protocol_findings import METRICS
from labwright.eval.protocol_reading import Reading, text_of
from labwright.models.ask import Session, score
from labwright.models.prompt_file import load_prompt

MOST_CHARACTERS = 14_000
"""Of the protocol, so that it fits the embedded model's context; what is cut is said."""
NEUTRAL = 3.0
QUESTIONS: Mapping[str, str] = {
    "completeness": "Is every stage present that the objective needs: data, quality control, analysis, validation, interpretation?",
    "level_of_detail": "Could a stranger run it: data by name, tools, parameters, thresholds, groups?",
    "correctness": "Do methods, tools, data and facts exist, and do they fit the objective and each other?",
    "logical_soundness": "Do order, dependencies and inference hold, without contradiction?",
    "structural_soundness": "Are parts and steps well divided, without repetition, each part within its title, references resolved?",
}
ANCHORS: Mapping[str, tuple[str, str, str, str, str]] = {
    "completeness": (
        "most stages are missing; the objective cannot be answered",
        "two or more needed stages are missing, or results are left without use",
        "one needed stage is missing or only named",
        "all stages are there; a minor check or control is missing",
        "all stages are there, and every result is used, validated and interpreted",
    ),
    "level_of_detail": (
        "intentions only: no data, tool or setting is named",
        "some data or tools are named, hardly any setting",
        "data and tools are named; many settings, groups or thresholds are left open",
        "nearly every step can be run as written; a few settings are left open",
        "a stranger could run every step: data, tools, groups, parameters and thresholds are given",
    ),
    "correctness": (
        "most methods, tools or data do not exist or do not fit",
        "several items are invented or misused",
        "one central item is wrong, or several minor ones",
        "all central items are right; a minor one is doubtful",
        "every method, tool, data set and fact exists and fits its use",
    ),
    "logical_soundness": (
        "steps are in no workable order, or contradict each other",
        "several steps use what does not exist yet, or conclusions do not follow",
        "one dependency or inference is broken",
        "order and inference hold; one dependency is left implicit",
        "every step builds on earlier results, and every conclusion follows from them",
    ),
    "structural_soundness": (
        "no division into parts, or most of it repeated",
        "parts repeat each other or mix topics; references do not resolve",
        "one repetition or one part off its title",
        "clear parts; a minor overlap",
        "clear parts and steps, nothing repeated, every part within its title, every reference resolves",
    ),
}
"""Metric to what a score of 1, 2, 3, 4 and 5 means."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge said about one metric."""

    score: float | None
    """Mean over the samples, in [1, 5]."""
    samples: tuple[float, ...]
    reason: str = ""


def judge(
    session: Session, reading: Reading, *, samples: int = 3, metrics: Sequence[str] = METRICS
) -> dict[str, Judgement]:
    """Ask for the metrics of a protocol, as `judge_text`."""
    return judge_text(session, text_of(reading), reading.objective, samples=samples, metrics=metrics)


def judge_text(
    session: Session, text: str, objective: str, *, samples: int = 3, metrics: Sequence[str] = METRICS
) -> dict[str, Judgement]:
    """Ask for the metrics.

    Args:
        session: the judge's; its seed orders metrics and anchors.
        text: the protocol in the one form of `text_of`.
        objective: what it is for; empty when nobody said.
        samples: questions a metric, each with the anchors in another order, 1 to 10.
        metrics: which of the five.

    Raises:
        WrongUse: the number of samples is out of range.
        BudgetExhausted, ModelMissing, KeyMissing: as named.
    """
    if not 1 <= samples <= 10:
        raise WrongUse(f"{samples} samples: ask 1 to 10 times")
    rng = random.Random(session.seed)  # noqa: S311  (orders, not a secret)
    if len(text) > MOST_CHARACTERS:
        text = f"{text[:MOST_CHARACTERS]}\n[{len(text) - MOST_CHARACTERS} further characters are not shown]"
    found: dict[str, list[float]] = {metric: [] for metric in metrics}
    # All questions follow one prefix, the protocol, which a server keeps; metrics come in another order each time.
    for number in range(samples):
        for metric in rng.sample(list(metrics), len(metrics)):
            prompt = load_prompt("labwright.eval.prompts", "protocol_quality").render(
                objective=objective or "not stated",
                protocol=text,
                question=QUESTIONS[metric],
                anchors="\n".join(_ordered(metric, number, rng)),
            )
            answer = score(session, prompt, fallback=NEUTRAL)
            if answer.decided_by == "model":
                found[metric].append(round(answer.value, 4))
    return {m: _judgement(values, samples) for m, values in found.items()}


def _ordered(metric: str, number: int, rng: random.Random) -> list[str]:
    lines = [f"{digit}: {meaning}" for digit, meaning in enumerate(ANCHORS[metric], start=1)]
    if number < 2:
        return lines if number == 0 else lines[::-1]
    return rng.sample(lines, len(lines))


def _judgement(values: list[float], asked: int) -> Judgement:
    if not values:
        return Judgement(None, (), "the model gave the digits 1 to 5 no weight")
    missing = asked - len(values)
    reason = f"{missing} of {asked} samples had no answer" if missing else ""
    return Judgement(statistics.fmean(values), tuple(values), reason)
