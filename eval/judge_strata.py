"""The strata of a result table: all items, then by how many labels people used, then by the share of their majority."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labwright.errors import WrongUse
from labwright.eval.judge_arrays import Arrays

SHARE_BINS: tuple[tuple[float, float], ...] = ((0, 60), (60, 80), (80, 100))
"""Per cent of people who gave the aggregate label; closed below, open above, so full agreement is in none of them."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """One row's items."""

    name: str
    by: str
    """"all", "distinct" (labels that people used) or "share" (of the majority)."""
    chosen: NDArray[np.bool_]
    """Which items, (n,)."""


def strata(a: Arrays, share_bins: Sequence[tuple[float, float]] = SHARE_BINS) -> Iterator[Stratum]:
    """Every stratum in the order of the table; empty ones too.

    Args:
        a: the items.
        share_bins: [low, high) in per cent.

    Raises:
        WrongUse: a bin is not a range within 0 to 100.
    """
    for low, high in share_bins:
        if not 0 <= low < high <= 100:
            raise WrongUse(f"share bin {low:g}:{high:g}: give per cent, low before high, within 0 to 100")
    yield Stratum("All", "all", np.ones(a.size, dtype=bool))
    for u in range(1, a.human.shape[1] + 1):
        yield Stratum(f"distinct = {u}", "distinct", a.distinct == u)
    for low, high in share_bins:
        yield Stratum(f"share [{low:g}, {high:g})", "share", (a.share >= low) & (a.share < high))
