"""One label an item from many: the median of a scale, the majority of categories."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from labwright.errors import MetricUndefined
from labwright.eval.judge_labels import Label

Tie = Literal["first", "seeded"]


def aggregate_ordinal(labels: Sequence[int], *, truncate: bool = True) -> float:
    """The median of one item's labels.

    Args:
        labels: at least one integer.
        truncate: cut a half off towards zero, as the paper's code does for agreement; its bins use the half.

    Raises:
        MetricUndefined: there is no label.

    Example:
        >>> aggregate_ordinal([1, 2]), aggregate_ordinal([1, 2], truncate=False)
        (1.0, 1.5)
    """
    if not labels:
        raise MetricUndefined("the median of no labels")
    median = float(statistics.median(labels))
    return float(int(median)) if truncate else median


def aggregate_categorical(labels: Sequence[Label], *, tie: Tie = "first", seed: str = "") -> Label:
    """The most frequent label of one item.

    Args:
        labels: at least one label.
        tie: "first" takes the one met first, as the paper's code does, so it depends on the order of the raters;
            "seeded" decides by a hash of `seed` and the label.
        seed: for "seeded": distinct for each item.

    Raises:
        MetricUndefined: there is no label.

    Example:
        >>> aggregate_categorical(["b", "a"]), aggregate_categorical(["a", "b", "b"])
        ('b', 'b')
    """
    if not labels:
        raise MetricUndefined("the majority of no labels")
    tally = Counter(labels)
    most = max(tally.values())
    tied = [label for label, count in tally.items() if count == most]
    if tie == "first":
        return tied[0]
    return min(tied, key=lambda label: hashlib.sha256(f"{seed}\0{label}".encode()).digest())


def vote_share(labels: Sequence[Label], aggregate: float | Label) -> float:
    """Per cent of the labels that equal the aggregate, in [0, 100].

    Example:
        >>> vote_share([3, 3, 2, 3, 1], 3)
        60.0
    """
    return 100 * sum(label == aggregate for label in labels) / len(labels)


def random_labels(n: int, labels: Sequence[Label], *, seed: int, each: int = 5) -> list[tuple[Label, ...]]:
    """Labels of a rater who does not look: `each` an item, uniform over the scale.

    Args:
        n: items.
        labels: the scale.
        seed: of the draw.
        each: labels an item.
    """
    drawn = np.random.default_rng(seed).integers(len(labels), size=(n, each))
    return [tuple(labels[i] for i in row) for row in drawn]
