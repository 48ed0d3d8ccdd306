"""What code found about one metric: opportunities, and the ones that were missed, each with its evidence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

METRICS = ("completeness", "level_of_detail", "correctness", "logical_soundness", "structural_soundness")
LOWEST, HIGHEST = 1.0, 5.0
WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "completeness": {"stage": 0.4, "input is made": 0.25, "result is used": 0.25, "steps": 0.1},
    "level_of_detail": {"quantity": 0.25, "data named": 0.25, "tool named": 0.25, "settings": 0.25},
    "correctness": {
        "data set exists": 0.3,
        "tool exists": 0.3,
        "argument exists": 0.15,
        "tool fits the data": 0.1,
        "values fit the data": 0.1,
        "data set is as described": 0.05,
    },
    "logical_soundness": {
        "input comes earlier": 0.5,
        "stages in order": 0.2,
        "outputs feed inputs": 0.15,
        "needed table": 0.15,
    },
    "structural_soundness": {
        "repetition": 0.5,
        "reference resolves": 0.3,
        "title": 0.05,
        "purpose": 0.05,
        "hierarchy": 0.05,
        "id": 0.05,
    },
}
"""Metric to its checks and what each is worth: what the anchors speak of weighs most. Where a check finds nothing to
ask, its weight goes to the others."""


@dataclass(frozen=True, slots=True)
class Missed:
    """One thing that cost points."""

    check: str
    where: str
    """Id of the step or part, or "protocol"."""
    what: str
    points: float = 0.0
    """Points of the 1-5 scale that it cost."""


@dataclass(slots=True)
class Tally:
    """Opportunities of one metric while the protocol is checked."""

    asked: Counter[str] = field(default_factory=Counter)
    """Check to its opportunities."""
    missed: list[Missed] = field(default_factory=list)

    def ask(self, held: bool, check: str, where: str, what: str) -> None:
        """Count one opportunity."""
        self.asked[check] += 1
        if not held:
            self.missed.append(Missed(check, where, what))


@dataclass(frozen=True, slots=True)
class CodeScore:
    """The code-checked part of one metric."""

    metric: str
    score: float | None
    """1 + 4 x the weighted mean over checks of the share of opportunities that held; None where there was none."""
    asked: int
    missed: tuple[Missed, ...]
    reason: str = ""
    """Why there is no score."""


def code_score(metric: str, tally: Tally) -> CodeScore:
    """The score of a tally; a missed opportunity costs its check's weight over the opportunities of that check.

    Raises:
        KeyError: a check has no weight.
    """
    if not tally.asked:
        return CodeScore(metric, None, 0, (), "the protocol names nothing that code can check for this metric")
    weights = {check: WEIGHTS[metric][check] for check in tally.asked}
    scale = (HIGHEST - LOWEST) / sum(weights.values())
    cost = {check: scale * weights[check] / n for check, n in tally.asked.items()}
    missed = tuple(Missed(m.check, m.where, m.what, round(cost[m.check], 4)) for m in tally.missed)
    lost = math.fsum(cost[m.check] for m in tally.missed)
    return CodeScore(metric, max(LOWEST, HIGHEST - lost), tally.asked.total(), missed)
