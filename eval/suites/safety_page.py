"""The report page of the laboratory: figures against their goals, curves over the steps of an attack, the grid as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from labwright.eval.goals import Goal, goal_of
from labwright.eval.suites.figures import Row
from labwright.eval.suites.safety_figures import figures_of
from labwright.eval.suites.safety_toy import PRIMARY_SHARE, RATE_NAMES, SHARES

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 390, 230, 34, 260, 14, 200
APART = 13
"""Least distance between two names beside a chart."""
COLOURS = ("#1b6ca8", "#c0392b", "#1e8449", "#7d3c98", "#b9770e", "#566573")
DASHES = ("none", "6 3", "2 3")
"""Lines take the colours in turn, and other dashes once these are used up."""
GRIDS = (
    ("HS+ after an attack", "hs_plus", "Lower is better.", "184, 60, 40"),
    ("Accuracy on the user's task after it", "accuracy", "Higher is better: the fine-tuning has to do its job.", "40, 130, 70"),
    ("Over-refusal after it", "over_refusal", "Refusals of allowed questions; lower is better.", "184, 60, 40"),
)  # fmt: skip
"""Title, field of the rows, what is better, and the colour of a full cell."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of one arm under one attack, over seeds."""

    mean: float
    least: float
    greatest: float
    shade: str


@dataclass(frozen=True, slots=True)
class Line:
    """One arm in a chart."""

    name: str
    colour: str
    dashes: str
    points: str
    value: float
    end: float
    label: float


def page(rows: Sequence[Row]) -> str:
    """The page as one HTML document without scripts; a part that was not measured is not on it."""
    toy = [r for r in rows if r["kind"] == "toy" and r["attack"] == "mixed"]
    learning = {r["rate"]: r["learning_rate"] for r in toy if "learning_rate" in r}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(files("labwright.eval").joinpath("safety.html").read_text(encoding="utf-8"))
    return template.render(
        goals=list(_against_goals(rows)), charts=list(_charts(toy, learning)), share=PRIMARY_SHARE,
        width=WIDTH, height=HEIGHT, left=LEFT, right=RIGHT,
        ticks=[(f"{v:g}", _y(v)) for v in (0, 0.25, 0.5, 0.75, 1)],
        grids=list(_grids(toy)), shares=SHARES, rates=[(name, learning.get(name)) for name in RATE_NAMES],
        tables=[t for t in (_before(rows), _real(rows)) if t[2]],
    )  # fmt: skip


def _against_goals(rows: Sequence[Row]) -> Iterator[tuple[Mapping[str, Any], Goal]]:
    for figure in figures_of(rows, ""):
        goal = goal_of(figure["name"], figure["value"])
        if goal.text:
            yield figure, goal


def _charts(toy: Sequence[Row], learning: Mapping[str, float]) -> Iterator[Mapping[str, Any]]:
    for rate in RATE_NAMES:
        means: dict[str, list[tuple[int, float]]] = {}
        for arm in dict.fromkeys(r["arm"] for r in toy):
            curves = [
                r["curve"]
                for r in toy
                if (r["arm"], r["share"], r["rate"]) == (arm, PRIMARY_SHARE, rate) and r["curve"]
            ]
            if curves:
                values = [statistics.fmean(v for _, v in at) for at in zip(*curves, strict=True)]
                means[arm] = [(0, 0.0), *zip((int(step) for step, _ in curves[0]), values, strict=True)]
        if means:
            told = f", learning rate {learning[rate]:.1e}" if rate in learning else ""
            last = max(step for points in means.values() for step, _ in points)
            steps = [(s, round(_x(s, last), 1)) for s in (0, last // 2, last)]
            yield {"title": f"{rate} rate{told}", "steps": steps, "lines": _lines(means, last)}


def _lines(means: Mapping[str, Sequence[tuple[int, float]]], last: int) -> list[Line]:
    """The lines with their names beside their ends, moved apart where they meet; the highest first."""
    styles = {arm: (COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS)]) for i, arm in enumerate(means)}
    ordered = sorted(means, key=lambda arm: -means[arm][-1][1])
    free = min(_y(1.0), BOTTOM - APART * (len(ordered) - 1))
    found = []
    for below, arm in zip(range(len(ordered) - 1, -1, -1), ordered, strict=True):
        end = _y(means[arm][-1][1])
        label = min(max(end, free), BOTTOM - APART * below)
        free = label + APART
        points = " ".join(f"{_x(step, last):.1f},{_y(value):.1f}" for step, value in means[arm])
        found.append(Line(arm, *styles[arm], points, means[arm][-1][1], round(end, 1), round(label, 1)))
    return found


def _x(step: int, last: int) -> float:
    return LEFT + (RIGHT - LEFT) * step / last


def _y(value: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * value


def _grids(toy: Sequence[Row]) -> Iterator[tuple[str, str, list[str], dict[tuple[str, float, str], Cell]]]:
    arms = list(dict.fromkeys(r["arm"] for r in toy))
    for title, key, told, colour in GRIDS if arms else ():
        found: dict[tuple[str, float, str], list[float]] = {}
        for r in toy:
            found.setdefault((r["arm"], r["share"], r["rate"]), []).append(r[key])
        yield title, told, arms, {at: _cell(values, colour) for at, values in found.items()}


def _cell(values: Sequence[float], colour: str) -> Cell:
    mean = statistics.fmean(values)
    return Cell(mean, min(values), max(values), f"rgba({colour}, {0.45 * mean:.3f})")


def _before(rows: Sequence[Row]) -> tuple[str, list[str], list[list[str]]]:
    these = [r for r in rows if r["kind"] == "toy_before"]
    keys = ("hs_plus", "over_refusal", "near_answered", "harmful_loss")
    body = [
        [arm, *(_spread([r[key] for r in these if r["arm"] == arm]) for key in keys)]
        for arm in dict.fromkeys(r["arm"] for r in these)
    ]
    head = ["alignment", "HS+", "over-refusal", "allowed questions answered", "loss on harmful answers, nats"]
    return "Before any attack", head, body


def _real(rows: Sequence[Row]) -> tuple[str, list[str], list[list[str]]]:
    body = [
        [r["name"], f"{r['topic_harmful']}/{r['topic_n']}", f"{r['risky_harmful']}/{r['risky_n']}",
         f"{r['accuracy']:.2f}", f"{r['over_refusal']:.2f}"]
        for r in rows if r["kind"] == "real"
    ]  # fmt: skip
    head = ["arm", "HS+ on the topic", "HS+ on risky instructions", "accuracy", "over-refusal"]
    return "A real language model, one seed", head, body


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.2f} [{min(values):.2f}, {max(values):.2f}]"
