"""One row of the result table: every statistic of a stratum, with intervals where they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from labwright.eval.judge_agreement import alpha, difference, kappa, pair_counts, percent_agreement, rank_correlation
from labwright.eval.judge_arrays import Arrays
from labwright.eval.judge_batch import (
    Base,
    Form,
    Level,
    alpha_of,
    coincidences,
    divergences,
    resampled_sums,
    weighted,
)
from labwright.eval.judge_labels import Figure, Floats, Kind, Label
from labwright.eval.judge_perception import NO_JUDGE, perception

SMALL = 30
"""A stratum with fewer items is marked."""
DEFINED = 0.95
"""An interval needs a value in at least this share of the resamples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a table is computed."""

    kind: Kind
    labels: tuple[Label, ...]
    form: Form = "distance"
    base: Base = "e"
    resamples: int = 2000
    """Bootstrap resamples of the items; 0 gives no intervals."""
    seed: int = 0

    @property
    def level(self) -> Level:
        """Distances of alpha."""
        return "ordinal" if self.kind == "ordinal" else "nominal"


def row(a: Arrays, settings: Settings) -> dict[str, Any]:
    """Every statistic of the given items.

    Args:
        a: the items of one stratum, possibly none.
        settings: kind of data and of result.

    Returns:
        size, small, dispersion of the aggregates and, under `figures`, the statistics by name. HH is agreement among
        people, MM among the judge's labels, HM between the two aggregates, HR between people and a random labeller,
        diff is HH - HM.
    """
    figures = _agreement(a, settings)
    seen = perception(a, settings.labels, form=settings.form, base=settings.base)
    figures["jsb"] = seen.value
    for b in seen.bins:
        figures[f"jsd_{b['label']}"] = Figure(b["jsd"], b["reason"])
    if settings.resamples and a.size > 1:
        for name, interval in _intervals(a, settings).items():
            figures[name] = _with_interval(figures[name], interval)
    return {
        "size": a.size,
        "small": a.size < SMALL,
        "coverage": seen.coverage,
        "human_dispersion": _spread(a.human_label, settings.kind),
        "machine_dispersion": _spread(a.machine_label, settings.kind),
        "figures": figures,
    }


def _agreement(a: Arrays, s: Settings) -> dict[str, Figure]:
    k = len(s.labels)
    pairs = {
        "HM": pair_counts(a.human_label, a.machine_label, k),
        "HR": pair_counts(a.human_label, a.random_label, k),
    }
    groups = {"HH": (a.human, False), "MM": (a.machine, False), **{n: (p, True) for n, p in pairs.items()}}
    figures: dict[str, Figure] = {}
    names = ("alpha",) if s.kind == "ordinal" else ("alpha", "percent", "fleiss", "randolph")
    for name in names:
        for group, (units, two) in groups.items():
            judged = group in ("HH", "HR") or a.machine.any() or not a.size
            figures[f"{name}_{group}"] = _statistic(name, units, two, s) if judged else NO_JUDGE
        figures[f"{name}_diff"] = difference(figures[f"{name}_HH"], figures[f"{name}_HM"])
    if s.kind == "ordinal":
        figures |= _correlations(a)
    return figures


def _statistic(name: str, units: Floats, two: bool, s: Settings) -> Figure:
    if name == "alpha":
        return alpha(units, s.level, two_coders=two)
    if name == "percent":
        return percent_agreement(units)
    method: Literal["fleiss", "randolph"] = "fleiss" if name == "fleiss" else "randolph"
    return kappa(units, method=method, two_coders=two)


def _correlations(a: Arrays) -> dict[str, Figure]:
    columns = {
        "medians": (a.human_label.astype(float), a.machine_label.astype(float)),
        "means": (a.human_mean, a.machine_mean),
    }
    judged = bool(a.machine.any()) or not a.size
    methods: tuple[Literal["spearman", "kendall"], ...] = ("spearman", "kendall")
    return {
        f"{method}_{what}": rank_correlation(*columns[what], method) if judged else NO_JUDGE
        for what in columns
        for method in methods
    }


def _spread(aggregates: Any, kind: Kind) -> int | None:
    known = aggregates[aggregates >= 0]
    return int(known.max() - known.min()) if kind == "ordinal" and len(known) else None


def _intervals(a: Arrays, s: Settings) -> dict[str, tuple[float, float] | None]:
    """Percentile 95 % intervals over resamples of the items of this stratum."""
    n, k = a.size, len(s.labels)
    features = np.hstack(
        [
            coincidences(a.human).reshape(n, -1),
            coincidences(pair_counts(a.human_label, a.machine_label, k)).reshape(n, -1),
            (a.bins[:, :, None] * a.human[:, None, :]).reshape(n, -1),
            (a.bins[:, :, None] * a.machine[:, None, :]).reshape(n, -1),
            a.bins,
        ]
    )
    blocks = []
    for sums in resampled_sums(features, s.resamples, s.seed):
        human, pair, p, q, sizes = np.split(sums, [k * k, 2 * k * k, 3 * k * k, 4 * k * k], axis=1)
        tables = [x.reshape(-1, k, k) for x in (human, pair, p, q)]
        hh, hm = alpha_of(tables[0], s.level), alpha_of(tables[1], s.level)
        paired = tables[0].sum(axis=(-1, -2)) > 0
        hh = np.where(np.isnan(hh) & paired, 1.0, hh)  # one label left: perfect within a group, see `alpha`
        js = divergences(tables[2], tables[3], s.form, s.base)
        blocks.append(np.column_stack([hh, hm, hh - hm, weighted(js, sizes, n)]))
    drawn = np.vstack(blocks)
    return {name: _percentiles(drawn[:, i]) for i, name in enumerate(("alpha_HH", "alpha_HM", "alpha_diff", "jsb"))}


def _percentiles(drawn: Floats) -> tuple[float, float] | None:
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < DEFINED * len(drawn):
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def _with_interval(figure: Figure, interval: tuple[float, float] | None) -> Figure:
    if figure.value is None:
        return figure
    if interval is None:
        return replace(figure, reason=f"no interval: undefined in more than {1 - DEFINED:.0%} of the resamples")
    return replace(figure, low=interval[0], high=interval[1])
