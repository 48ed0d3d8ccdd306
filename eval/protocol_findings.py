"""What code found about one metric: opportunities, and the ones that were missed, each with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

METRICS = ("completeness", "level_of_detail", "correctness", "logical_soundness", "structural_soundness")
LOWEST, HIGHEST = 1.0, 5.0


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

    asked: int = 0
    missed: list[Missed] = field(default_factory=list)

    def ask(self, held: bool, check: str, where: str, what: str) -> None:
        """Count one opportunity."""
        self.asked += 1
        if not held:
            self.missed.append(Missed(check, where, what))


@dataclass(frozen=True, slots=True)
class CodeScore:
    """The code-checked part of one metric."""

    metric: str
    score: float | None
    """1 + 4 x the share of opportunities that held, in [1, 5]; None where there was none."""
    asked: int
    missed: tuple[Missed, ...]
    reason: str = ""
    """Why there is no score."""


def code_score(metric: str, tally: Tally) -> CodeScore:
    """The score of a tally; every missed opportunity costs the same share of the four points."""
    if not tally.asked:
        return CodeScore(metric, None, 0, (), "the protocol names nothing that code can check for this metric")
    each = (HIGHEST - LOWEST) / tally.asked
    missed = tuple(Missed(m.check, m.where, m.what, round(each, 4)) for m in tally.missed)
    return CodeScore(metric, HIGHEST - each * len(missed), tally.asked, missed)


def flagged(scores: Sequence[CodeScore]) -> dict[str, list[str]]:
    """Where each metric lost points: metric to ids, without repeats."""
    return {s.metric: list(dict.fromkeys(m.where for m in s.missed)) for s in scores}
