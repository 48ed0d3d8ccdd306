"""The validity of our own metrics on the damage series: does the right one fall, do the others stay.

Spearman's rho between strength and metric: -1 is best. Cross-talk: the change of another metric over the fall of the
targeted one, 0 is best. Detection: F1 of the steps that the evidence points at against the steps that were hit.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from labwright.errors import MetricUndefined
from labwright.eval.damage import STRENGTHS, TARGETS, Damaged, damage
from labwright.eval.protocol_findings import METRICS, CodeScore
from labwright.eval.protocol_quality import code_scores
from labwright.eval.protocol_reading import Reading

SEEDS = 10
"""Damages of each kind, strength and protocol; their mean is one point of the series."""
Score = Callable[[Reading], Sequence[CodeScore]]


def damage_rows(
    protocols: Mapping[str, Reading], *, seeds: int = SEEDS, score: Score = code_scores
) -> Iterator[dict[str, Any]]:
    """One row a protocol, kind and strength, with the undamaged protocol as strength 0.

    Args:
        protocols: good protocols by name.
        seeds: damages of each kind and strength.
        score: the metrics under test.

    Yields:
        protocol, damage, strength, the five scores (means over the seeds; None where a metric had no score) and, summed
        over the seeds, how many steps were hit, flagged by the targeted metric, and both.
    """
    for name, reading in protocols.items():
        for kind in TARGETS:
            at = {"protocol": name, "damage": kind}
            yield _row({**at, "strength": 0.0}, [Damaged(reading, frozenset())], score)
            for strength in STRENGTHS:
                hurt = [damage(reading, kind, strength, seed) for seed in range(seeds)]
                yield _row({**at, "strength": strength}, hurt, score)


def _row(at: Mapping[str, Any], hurt: Sequence[Damaged], score: Score) -> dict[str, Any]:
    scored = [(h, score(h.reading)) for h in hurt]
    counts = np.sum([_counts(h, s, TARGETS[at["damage"]]) for h, s in scored], axis=0)
    values = {m: [x.score for _, s in scored for x in s if x.metric == m and x.score is not None] for m in METRICS}
    return {
        **at,
        "scores": {m: round(statistics.fmean(v), 4) if v else None for m, v in values.items()},
        **dict(zip(("hit", "flagged", "both"), map(int, counts), strict=True)),
    }


def _counts(hurt: Damaged, scores: Sequence[CodeScore], metric: str) -> tuple[int, int, int]:
    """Steps hit, steps that the metric's evidence names, and both."""
    found = {m.where for s in scores for m in s.missed if s.metric == metric} & {s.id for s in hurt.reading.steps()}
    return len(hurt.steps), len(found), len(hurt.steps & found)


def points(rows: Sequence[Mapping[str, Any]], kind: str, metric: str) -> dict[tuple[str, float], float]:
    """(protocol, strength) to the mean score, in [1, 5]; rows without a score are left out."""
    return {
        (row["protocol"], row["strength"]): row["scores"][metric]
        for row in rows
        if row["damage"] == kind and row["scores"].get(metric) is not None
    }


@dataclass(frozen=True, slots=True)
class Response:
    """How the metrics answer one kind of damage."""

    kind: str
    target: str
    spearman: float
    """Pooled over protocols and strengths, the undamaged ones included."""
    spearman_worst: float
    """The weakest of the protocols taken one by one."""
    fall: float
    """Mean fall of the targeted metric over protocols and strengths above 0, points."""
    crosstalk: dict[str, float]
    """Other metric to its mean absolute change over the fall of the target."""


def response(rows: Sequence[Mapping[str, Any]], kind: str) -> Response:
    """The response to one kind of damage.

    Raises:
        MetricUndefined: there is no row of it, or the targeted metric does not vary.
    """
    target = TARGETS[kind]
    mine = points(rows, kind, target)
    if len(set(mine.values())) < 2:
        raise MetricUndefined(f"{target} does not vary under {kind}")
    pooled = float(stats.spearmanr([s for _, s in mine], list(mine.values())).statistic)
    alone = [_rho({s: v for (p, s), v in mine.items() if p == name}) for name in dict.fromkeys(p for p, _ in mine)]
    fall = statistics.fmean(_changes(mine))
    others = {m: points(rows, kind, m) for m in METRICS if m != target}
    talk = {m: abs(statistics.fmean(_changes(theirs))) / fall for m, theirs in others.items() if theirs}
    return Response(kind, target, pooled, max(alone), fall, talk)


def _rho(series: Mapping[float, float]) -> float:
    """Spearman's rho of one protocol; 0 where the metric does not move at all."""
    if len(set(series.values())) < 2:
        return 0.0
    return float(stats.spearmanr(list(series), list(series.values())).statistic)


def _changes(series: Mapping[tuple[str, float], float]) -> list[float]:
    """Falls against the undamaged protocol, points."""
    return [series[(p, 0.0)] - v for (p, s), v in series.items() if s > 0]


def detection_f1(rows: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> float:
    """F1 of the steps that the targeted metric's evidence names against the steps hit, over all damages of `kinds`.

    Raises:
        MetricUndefined: no step was hit or flagged.
    """
    chosen = [r for r in rows if r["damage"] in kinds]
    hit, flagged, both = (sum(r[k] for r in chosen) for k in ("hit", "flagged", "both"))
    if not hit + flagged:
        raise MetricUndefined("F1 of nothing hit and nothing flagged")
    return float(2 * both / (hit + flagged))


def f1_interval(
    rows: Sequence[Mapping[str, Any]], kinds: Sequence[str], *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % bootstrap interval of F1 over whole protocols, since damages of one protocol are alike.

    Raises:
        MetricUndefined: there are fewer than two protocols.
    """
    names = list(dict.fromkeys(r["protocol"] for r in rows))
    if len(names) < 2:
        raise MetricUndefined("an interval over one protocol")
    sums = np.array(
        [[sum(r[k] for r in rows if r["protocol"] == n and r["damage"] in kinds) for k in ("hit", "flagged", "both")]
         for n in names], dtype=float,
    )  # fmt: skip
    drawn = sums[np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))].sum(axis=1)
    low, high = np.percentile(2 * drawn[:, 2] / np.maximum(drawn[:, 0] + drawn[:, 1], 1), [2.5, 97.5])
    return float(low), float(high)
