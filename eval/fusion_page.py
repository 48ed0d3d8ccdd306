"""One page about a fusion: three properties of every model, which expert does what, and how far each has moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from labwright.eval.properties import PROPERTIES, Property

COLOURS = ("#555555", "#b3541e", "#8a6d00", "#3b6ea8", "#2f7d32")
"""Of the models in the radar chart, in their order; the fused one is the last."""
RADIUS, CENTRE = 120.0, 170.0


@dataclass(frozen=True, slots=True)
class Model:
    """One line of the table."""

    name: str
    scores: Mapping[Property, float]
    """Each in [0, 1]."""
    mean: float
    low: float
    high: float
    words: float
    """Mean length of an answer."""
    incoherent: int
    """Answers that are no text, of all properties."""
    over_refusal: float
    """Share of the helpful and honest items that were refused."""
    minutes: float | None
    """It took to make; None for a vote."""


@dataclass(frozen=True, slots=True)
class Gain:
    """Relative gain of the fused model's mean."""

    over: str
    value: float
    low: float
    high: float


def fusion_page(  # noqa: PLR0913  (a fusion and everything that is said of it)
    models: Sequence[Model],
    gains: Sequence[Gain],
    radar: Sequence[str],
    shares: Mapping[str, Sequence[Sequence[float]]],
    drift: Mapping[str, Sequence[float]],
    judges: Sequence[str],
    about: str,
) -> str:
    """The page as one self-contained HTML text.

    Args:
        models: in the order of the table; the fused one is marked by its name, "fused".
        gains: of the fused model.
        radar: names of at most five models to draw, the fused one last.
        shares: property to the router's mean weight, one row a layer and one number an expert.
        drift: expert to ||W - W0|| / ||W0|| by layer.
        judges: one line a judge about what it is worth.
        about: what was trained and asked, in a sentence or two.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(files("labwright.eval").joinpath("fusion.html").read_text(encoding="utf-8"))
    by_name = {m.name: m for m in models}
    drawn = [(n, c, _polygon(by_name[n])) for n, c in zip(radar, COLOURS[-len(radar) :], strict=True)]
    return template.render(
        models=models, gains=gains, properties=PROPERTIES, about=about, judges=judges, radar=drawn,
        axes=[(name, *_point(i, 1.0), *_point(i, 1.22)) for i, name in enumerate(PROPERTIES)],
        rings=[" ".join(f"{x},{y}" for x, y in (_point(i, r) for i in range(3))) for r in (0.25, 0.5, 0.75, 1.0)],
        shares=shares, experts=list(drift), layers=max(map(len, shares.values()), default=0), colour=_colour,
        drift=[(name, values, max(values)) for name, values in drift.items()],
        most=max((max(v) for v in drift.values()), default=0.0) or 1.0,
    )  # fmt: skip


def _point(axis: int, value: float) -> tuple[float, float]:
    angle = 2 * math.pi * axis / len(PROPERTIES) - math.pi / 2
    return round(CENTRE + RADIUS * value * math.cos(angle), 1), round(CENTRE + RADIUS * value * math.sin(angle), 1)


def _polygon(model: Model) -> str:
    return " ".join(f"{x},{y}" for x, y in (_point(i, model.scores[p]) for i, p in enumerate(PROPERTIES)))


def _colour(share: float) -> str:
    """White at 0, dark blue at 1."""
    kept = 1 - min(1.0, max(0.0, share))
    return f"rgb({round(20 + 235 * kept)},{round(60 + 195 * kept)},{round(120 + 135 * kept)})"
