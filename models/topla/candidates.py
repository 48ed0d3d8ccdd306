"""The space of candidate answers to a numeric question, and how often each member gives each of them.

LLM-TOPLA (Tekin et al. 2024) turns sampled numeric answers into options: the union of all members' answers, the most
frequent first, cut or padded to a fixed width. Here padding is masked, since a pad of zero would match the answer 0,
and equal totals are ordered by value, since the released order of ties hangs on the sort.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH = 30


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate answers of one question."""

    values: tuple[float, ...]
    """At most `width`, by total frequency, then by value."""
    frequencies: NDArray[np.float64]
    """Shape (members, width): relative frequency of each candidate among a member's samples; padding is 0."""
    mask: NDArray[np.bool_]
    """Shape (width,): where a candidate stands."""

    def label(self, gold: float) -> int | None:
        """Index of the right answer; None when nobody gave it, or it fell off the width: wrong whatever is chosen."""
        return next((i for i, value in enumerate(self.values) if value == gold), None)


def candidate_space(samples: Sequence[Sequence[float]], width: int = WIDTH) -> Candidates:
    """Candidates of one question.

    Args:
        samples: each member's sampled answers; NaN where a sample held no number.
        width: most candidates.

    Raises:
        ValueError: no members, a member without samples, or a width below 1.
    """
    if not samples or any(not len(given) for given in samples):
        raise ValueError("every member needs at least one sample")
    if width < 1:
        raise ValueError("the width is 1 or more")
    shares = [
        {value: times / len(given) for value, times in Counter(v for v in given if not math.isnan(v)).items()}
        for given in samples
    ]
    totals: Counter[float] = Counter()
    for share in shares:
        totals.update(share)
    values = tuple(sorted(totals, key=lambda v: (-round(totals[v], 12), v))[:width])
    frequencies = np.zeros((len(samples), width))
    for member, share in enumerate(shares):
        frequencies[member, : len(values)] = [share.get(v, 0.0) for v in values]
    return Candidates(values, frequencies, np.arange(width) < len(values))
