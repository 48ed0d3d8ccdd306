"""How long pruning takes: every subset of 16 members over 5,000 rows, beside one subset after the other."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from labwright.eval.suites.rows import Rows
from labwright.models.diversity import focal_diversity
from labwright.models.topla.pruning import all_subsets, plurality, prune_all

MEMBERS, ROWS_OF_POOL, OPTIONS = 16, 5_000, 4
SAMPLE = 256
"""Subsets that are scored one after the other in a round."""
ROUNDS = 3


def measure(rows: Rows, say: Callable[[str], None], rounds: int = ROUNDS) -> None:
    """Add the rounds that are missing, each with both ways in one run and the same answers checked."""
    said, key = _pool()
    for number in range(rounds):
        if rows.has("pruning", str(number)):
            continue
        say(f"pruning: round {number + 1} of {rounds}")
        begin = time.perf_counter()
        made = prune_all(said, key)
        together = time.perf_counter() - begin
        chosen = np.random.default_rng(number).choice(len(made.subsets), SAMPLE, replace=False)
        begin = time.perf_counter()
        plain = [_one(said, key, np.flatnonzero(made.subsets[i])) for i in chosen]
        alone = time.perf_counter() - begin
        apart = np.abs(np.array(plain) - np.column_stack([made.diversity[chosen], made.accuracy[chosen]])).max()
        values = {"subsets": len(all_subsets(MEMBERS)), "seconds": together, "sample": SAMPLE, "sample_seconds": alone}
        rows.add("pruning", str(number), {**values, "largest_difference": float(apart)})


def _pool() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A made-up pool: members of different skill whose errors are drawn at random; only the time matters."""
    rng = np.random.default_rng(0)
    key = rng.integers(0, OPTIONS, ROWS_OF_POOL)
    skill = np.linspace(0.3, 0.75, MEMBERS)
    other = rng.integers(0, OPTIONS, (ROWS_OF_POOL, MEMBERS))
    return np.where(rng.random(other.shape) < skill, key[:, None], other), key


def _one(said: NDArray[np.int64], key: NDArray[np.int64], members: NDArray[np.int64]) -> tuple[float, float]:
    """Focal diversity and plurality accuracy of one subset, row by row of its own predictions."""
    votes = said[:, members]
    return focal_diversity(votes == key[:, None]), float(np.mean(plurality(votes) == key))
