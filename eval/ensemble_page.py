"""One page about an ensemble: what it is worth on questions that chose nothing, which members, how calibrated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from jinja2 import Environment, StrictUndefined

from labwright.models.topla.building import Built, Compared
from labwright.models.topla.pruning import named

MOST_POINTS = 1_500
"""Subsets that are drawn; of more a random choice, so that the page stays small."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a question costs."""

    seconds: float
    tokens: float
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class _Scatter:
    points: list[tuple[float, float, bool]]
    n: int
    left: str
    right: str
    bottom: str
    top: str


def ensemble_page(  # noqa: PLR0913  (an ensemble and everything that is said of it)
    title: str,
    names: Sequence[str],
    built: Built,
    compared: Compared,
    costs: Mapping[str, Cost],
    chosen_on: int,
    excluded: Mapping[str, str] | None = None,
) -> str:
    """The page as one self-contained HTML text.

    Args:
        title: what the questions are.
        names: of the pool, in the order of the scores.
        built: the ensemble.
        compared: its figures on the reporting half.
        costs: member to what it costs a question.
        chosen_on: questions of the choosing half.
        excluded: who answered but could not take part, to the reason.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(files("labwright.eval").joinpath("ensemble.html").read_text(encoding="utf-8"))
    mine = [costs[m] for m in built.members]
    return template.render(
        title=title,
        built=built,
        compared=compared,
        costs=costs,
        total=Cost(sum(c.seconds for c in mine), sum(c.tokens for c in mine)),
        chosen_on=chosen_on,
        excluded=excluded or {},
        subsets=[
            {"members": members, "diversity": one.diversity, "accuracy": one.accuracy,
             "score": one.score}
            for one, members in zip(built.table, named(built.table, names), strict=True)
        ],
        scatter=_scatter(built),
        reliability=[
            (round(50 + 260 * confidence, 1), round(270 - 260 * right, 1), round(2 + 14 * math.sqrt(n / compared.n), 1))
            for confidence, right, n in compared.calibration.bins
        ],
    )  # fmt: skip


def _scatter(built: Built) -> _Scatter:
    pruning = built.pruning
    chosen = set(built.table[0].members)
    ours = next(i for i, row in enumerate(pruning.subsets) if set(np.flatnonzero(row)) == chosen)
    drawn = np.arange(len(pruning.subsets))
    if len(drawn) > MOST_POINTS:
        drawn = np.random.default_rng(0).choice(drawn, MOST_POINTS, replace=False)
    drawn = np.append(drawn[drawn != ours], ours)  # the chosen one last, so that it lies on top
    x, y = pruning.diversity[drawn], 100 * pruning.accuracy[drawn]
    left, right, bottom, top = float(x.min()), float(x.max()), float(y.min()), float(y.max())
    width, height = max(right - left, 1e-9), max(top - bottom, 1e-9)
    points = [
        (round(50 + 350 * (a - left) / width, 1), round(270 - 260 * (b - bottom) / height, 1), bool(i == ours))
        for a, b, i in zip(x, y, drawn, strict=True)
    ]
    shown = [f"{left:.2f}", f"{right:.2f}", f"{bottom:.0f}", f"{top:.0f}"]
    return _Scatter(points, len(pruning.subsets), *shown)
