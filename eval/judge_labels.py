"""Labels that people and a judge gave to the same items, checked before anything is computed.

Source of the whole family of judge modules: "Beyond correlation: the impact of human uncertainty in measuring the
effectiveness of automatic evaluation and LLM-as-a-judge" (ICLR 2025, arXiv 2410.03775) and the code released with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labwright.errors import WrongUse

Kind = Literal["ordinal", "categorical"]
Label = int | str
Rows = tuple[tuple[Label, ...], ...]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, or the reason why there is none."""

    value: float | None
    reason: str = ""
    """Why `value` is missing, or why it has no interval; empty where both are there or none was asked."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """n items with the labels of people and of the judge; how many of each may vary by item."""

    items: tuple[str, ...]
    human: Rows
    """Labels of people, one tuple an item, never empty."""
    machine: Rows
    """Labels of the judge; never empty, or all empty where only people labelled."""
    labels: tuple[Label, ...]
    """Every label that may be given, in order; consecutive integers for ordinal data."""
    kind: Kind
    warnings: tuple[str, ...] = ()


def checked(
    human: Sequence[Sequence[Label]],
    machine: Sequence[Sequence[Label]],
    labels: Sequence[Label],
    kind: Kind,
    *,
    items: Sequence[str] = (),
) -> Annotations:
    """Check labels and put them together.

    Args:
        human: labels of people, length n.
        machine: labels of the judge in the same order, length n; all empty where there is no judge.
        labels: the labels that may be given, in order.
        kind: "ordinal" for a scale of consecutive integers, else "categorical".
        items: names of the items, length n; numbers from 1 when left out.

    Returns:
        The annotations; items without labels of both groups are left out, with a warning.

    Raises:
        WrongUse: the lengths differ, the scale is not one, or a label is outside it.
    """
    names = tuple(items) or tuple(str(i + 1) for i in range(len(human)))
    if not len(human) == len(machine) == len(names):
        raise WrongUse(f"labels of {len(human)} items by people, {len(machine)} by the judge, {len(names)} names")
    _check_scale(labels, kind)
    allowed = set(labels)
    for name, *groups in zip(names, human, machine, strict=True):
        for label in (x for group in groups for x in group):
            if label not in allowed:
                raise WrongUse(f"item {name!r}: the label {label!r} is not one of {', '.join(map(str, labels))}")
    only_people = not any(machine)
    kept = [i for i in range(len(names)) if human[i] and (machine[i] or only_people)]
    left_out = len(names) - len(kept)
    warning = f"{left_out} items are left out: no label of a person or none of the judge"
    return Annotations(
        items=tuple(names[i] for i in kept),
        human=tuple(tuple(human[i]) for i in kept),
        machine=tuple(tuple(machine[i]) for i in kept),
        labels=tuple(labels),
        kind=kind,
        warnings=(warning,) if left_out else (),
    )


def _check_scale(labels: Sequence[Label], kind: Kind) -> None:
    if not labels or len(set(labels)) != len(labels):
        raise WrongUse("a list of labels has at least one label and no label twice")
    whole = all(isinstance(label, int) for label in labels)
    if kind == "ordinal" and (not whole or list(labels) != list(range(int(labels[0]), int(labels[0]) + len(labels)))):
        raise WrongUse("ordinal labels are consecutive integers in rising order; take kind categorical for others")


def counts(rows: Sequence[Sequence[Label]], labels: Sequence[Label]) -> Floats:
    """How often each item got each label: shape (n, k).

    Example:
        >>> counts([["a", "b", "a"]], ["a", "b", "c"]).tolist()
        [[2.0, 1.0, 0.0]]
    """
    index = {label: i for i, label in enumerate(labels)}
    out = np.zeros((len(rows), len(labels)))
    at = [(r, index[label]) for r, row in enumerate(rows) for label in row]
    if at:
        np.add.at(out, tuple(np.array(at).T), 1.0)
    return out
