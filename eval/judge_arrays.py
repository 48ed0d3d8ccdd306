"""Annotations as arrays: what every stratum, resample and chart is computed from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labwright.eval.judge_aggregates import (
    Tie,
    aggregate_categorical,
    aggregate_ordinal,
    random_labels,
    vote_share,
)
from labwright.eval.judge_labels import Annotations, Floats, Label, Rows, counts

Half = Literal["drop", "floor", "round_half_up", "split"]
HALVES: tuple[Half, ...] = ("drop", "floor", "round_half_up", "split")


@dataclass(frozen=True, slots=True)
class Arrays:
    """n items, k labels; groups H (people), M (judge) and R (a random labeller)."""

    human: Floats
    """Label counts, (n, k)."""
    machine: Floats
    """Label counts, (n, k)."""
    random: Floats
    """Label counts, (n, k)."""
    human_label: NDArray[np.int64]
    """Index of the aggregate label, (n,)."""
    machine_label: NDArray[np.int64]
    """Index of the aggregate label, (n,); -1 where there is no judge."""
    random_label: NDArray[np.int64]
    """Index of the aggregate label, (n,)."""
    human_mean: Floats
    """(n,); NaN for categories."""
    machine_mean: Floats
    """(n,); NaN for categories and where there is no judge."""
    bins: Floats
    """Share of the item in the perception bin of each label, (n, k); rows sum to 1, or to 0 for a dropped half."""
    share: Floats
    """Per cent of people whose label is the aggregate, (n,)."""

    def at(self, chosen: NDArray[np.bool_]) -> Arrays:
        """The chosen items alone."""
        return Arrays(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @property
    def size(self) -> int:
        """Number of items."""
        return int(self.human.shape[0])

    @property
    def distinct(self) -> NDArray[np.int64]:
        """How many different labels people gave, (n,)."""
        found: NDArray[np.int64] = (self.human > 0).sum(axis=1)
        return found


def arrays(data: Annotations, *, half: Half = "drop", tie: Tie = "first", seed: int = 0) -> Arrays:
    """Aggregate every item.

    Args:
        data: checked annotations.
        half: where a median between two labels puts its item: in no bin, as the paper's code does, in the lower or
            the upper label's bin, or half in each.
        tie: which of several majorities counts.
        seed: of the random labeller and of seeded ties.
    """
    drawn = tuple(random_labels(len(data.items), data.labels, seed=seed))
    groups = (data.human, data.machine, drawn)
    aggregates = [[_aggregate(row, data, tie, f"{seed}:{i}") for i, row in enumerate(rows)] for rows in groups]
    index = {label: i for i, label in enumerate(data.labels)}
    human_label, machine_label, random_label = (
        np.array([-1 if a is None else index[a] for a in column], dtype=np.int64) for column in aggregates
    )
    share = [vote_share(row, a) for row, a in zip(data.human, aggregates[0], strict=True) if a is not None]
    human, machine, random = (counts(rows, data.labels) for rows in groups)
    ordinal = data.kind == "ordinal"
    bins = _ordinal_bins(data, half) if ordinal else np.eye(len(data.labels))[human_label]
    return Arrays(
        *(human, machine, random, human_label, machine_label, random_label),
        _means(data.human) if ordinal else np.full(len(data.items), np.nan),
        _means(data.machine) if ordinal else np.full(len(data.items), np.nan),
        bins,
        np.array(share, dtype=float),
    )


def _aggregate(row: tuple[Label, ...], data: Annotations, tie: Tie, seed: str) -> Label | None:
    if not row:
        return None
    if data.kind == "ordinal":
        return int(aggregate_ordinal([int(x) for x in row]))
    return aggregate_categorical(row, tie=tie, seed=seed)


def _means(rows: Rows) -> Floats:
    return np.array([sum(map(int, row)) / len(row) if row else np.nan for row in rows], dtype=float)


def _ordinal_bins(data: Annotations, half: Half) -> Floats:
    """Bins by the median with its half, which the aggregate for agreement cuts off."""
    out = np.zeros((len(data.items), len(data.labels)))
    for i, row in enumerate(data.human):
        at = aggregate_ordinal([int(x) for x in row], truncate=False) - int(data.labels[0])
        below = int(at)
        if at == below:
            out[i, below] = 1.0
        elif half == "split":
            out[i, below : below + 2] = 0.5
        elif half != "drop":
            out[i, below + (half == "round_half_up")] = 1.0
    return out
