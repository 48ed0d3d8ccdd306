"""Binned Jensen-Shannon comparison for perception tasks (JS_b): lower is better.

Items are binned by the aggregate label of people. In each bin the pooled labels of people and of the judge are two
distributions; JS_b is the mean of their Jensen-Shannon distances, weighted by the bins' shares of the items. It
compares distributions, not items: a judge that swaps labels within a bin still gets 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from labwright.eval.judge_aggregates import Tie
from labwright.eval.judge_agreement import EMPTY
from labwright.eval.judge_arrays import Arrays, Half, arrays
from labwright.eval.judge_batch import Base, Form, divergences, weighted
from labwright.eval.judge_labels import Annotations, Figure, Floats, Label

NO_JUDGE = Figure(None, "no label of a judge")


@dataclass(frozen=True, slots=True)
class Perception:
    """JS_b and what it is made of; P and Q of a bin are the pooled labels of people and of the judge."""

    value: Figure
    form: Form
    base: Base
    half: Half
    coverage: float
    """Share of the items that are in a bin; below 1 where medians between two labels were dropped."""
    bins: tuple[dict[str, Any], ...]
    """One an label: label, n, weight, P, Q, jsd, and the reason where jsd is missing."""
    warnings: tuple[str, ...] = ()


def jsb(
    data: Annotations,
    *,
    form: Form = "distance",
    base: Base = "e",
    half: Half = "drop",
    tie: Tie = "first",
) -> Perception:
    """JS_b of annotations.

    Args:
        data: checked annotations.
        form: "distance" (the square root, which the paper's code computes) or "divergence".
        base: of the logarithm, "e" or "2".
        half: what becomes of items whose median lies between two labels.
        tie: which of several majorities counts.

    Returns:
        The value in [0, sqrt(ln 2)] for the default form and base, with its bins.
    """
    return perception(arrays(data, half=half, tie=tie), data.labels, form=form, base=base, half=half)


def perception(
    a: Arrays, labels: tuple[Label, ...], *, form: Form = "distance", base: Base = "e", half: Half = "drop"
) -> Perception:
    """JS_b of items that are arrays already."""
    sizes = a.bins.sum(axis=0)
    human, machine = pooled(a)
    per_bin = divergences(human, machine, form, base)
    n = a.size
    value = EMPTY if n == 0 else NO_JUDGE if not a.machine.any() else Figure(float(weighted(per_bin, sizes, n)))
    if value.value is not None and not sizes.any():
        value = Figure(None, "every item lies between two labels")
    bins = tuple(
        {
            "label": label,
            "n": float(sizes[b]),
            "weight": float(sizes[b] / n) if n else 0.0,
            "P": _shares(human[b]),
            "Q": _shares(machine[b]),
            "jsd": None if np.isnan(per_bin[b]) else float(per_bin[b]),
            "reason": ("" if machine[b].any() else NO_JUDGE.reason) if sizes[b] else "no item is in this bin",
        }
        for b, label in enumerate(labels)
    )
    coverage = float(sizes.sum() / n) if n else 0.0
    lost = n - sizes.sum()
    warning = f"{lost:g} of {n} items have a median between two labels and are in no bin; see half"
    return Perception(value, form, base, half, coverage, bins, (warning,) if lost > 0 else ())


def pooled(a: Arrays) -> tuple[Floats, Floats]:
    """All labels in each bin, of people and of the judge: (k, k) each, the bin first."""
    return a.bins.T @ a.human, a.bins.T @ a.machine


def _shares(row: Floats) -> list[float]:
    total = float(row.sum())
    return [float(x) / total if total else 0.0 for x in row]
