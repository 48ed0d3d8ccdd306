"""How far a judge may be trusted where people disagree: the table by stratum, and the check against a coin.

One number over all items misleads: with many uncertain items a judge, even a random one, can seem to agree with
people's majority as well as people agree with each other. So the table is by stratum, JS_b compares distributions, and
the perception chart (eval/perception_chart.py) shows them. Where a statistic is undefined its reason stands in its
place. Alpha, kappa, shares and correlations: higher is better; JS_b: lower is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from labwright.eval.judge_aggregates import Tie
from labwright.eval.judge_arrays import Arrays, Half, arrays
from labwright.eval.judge_labels import Annotations, Figure, checked
from labwright.eval.judge_perception import perception
from labwright.eval.judge_strata import SHARE_BINS, strata
from labwright.eval.judge_table import Settings, row

COIN = "a random labeller agrees with people's aggregate at least as well as people agree with each other"


def stratify(
    data: Annotations,
    settings: Settings,
    *,
    share_bins: Sequence[tuple[float, float]] = SHARE_BINS,
    half: Half = "drop",
    tie: Tie = "first",
) -> list[dict[str, Any]]:
    """The result table, one dictionary a stratum, in its order.

    Args:
        data: checked annotations.
        settings: kind, form and base of the divergence, resamples, seed.
        share_bins: [low, high) in per cent of the people who gave the aggregate.
        half: what becomes of items whose median lies between two labels.
        tie: which of several majorities counts.

    Returns:
        Rows with name, by, proportion (per cent), random_beats_people and what `judge_table.row` gives.

    Raises:
        WrongUse: a share bin is no range.
    """
    return _rows(arrays(data, half=half, tie=tie, seed=settings.seed), settings, share_bins)


def _rows(a: Arrays, settings: Settings, share_bins: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    out = []
    for stratum in strata(a, share_bins):
        found = row(a.at(stratum.chosen), settings)
        hh, hr = found["figures"]["alpha_HH"].value, found["figures"]["alpha_HR"].value
        head = {
            "name": stratum.name,
            "by": stratum.by,
            "proportion": 100 * found["size"] / a.size if a.size else 0.0,
            "random_beats_people": None if hh is None or hr is None else hr >= hh,
        }
        out.append({**head, **found})
    return out


def reliability(
    data: Annotations,
    *,
    settings: Settings | None = None,
    share_bins: Sequence[tuple[float, float]] = SHARE_BINS,
    half: Half = "drop",
    tie: Tie = "first",
) -> dict[str, Any]:
    """Everything that `labwright eval judges` shows, ready for JSON.

    Args:
        data: checked annotations.
        settings: by default the distance in base e with 2,000 resamples.
        share_bins: as in `stratify`.
        half: as in `stratify`.
        tie: as in `stratify`.

    Returns:
        settings, warnings, rows and perception (JS_b, its coverage and bins).

    Raises:
        WrongUse: a share bin is no range.
    """
    settings = settings or Settings(kind=data.kind, labels=data.labels)
    a = arrays(data, half=half, tie=tie, seed=settings.seed)
    seen = perception(a, data.labels, form=settings.form, base=settings.base, half=half)
    rows = _rows(a, settings, share_bins)
    warnings = [*data.warnings, *seen.warnings]
    if rows[0]["random_beats_people"]:
        warnings.append(f"over all items {COIN}: read the strata, not the first row")
    return {
        "items": len(data.items),
        "settings": {**asdict(settings), "half": half, "tie": tie, "share_bins": [list(b) for b in share_bins]},
        "warnings": warnings,
        "rows": [{**r, "figures": {k: asdict(f) for k, f in r["figures"].items()}} for r in rows],
        "perception": asdict(seen),
    }


def coin_check(n: int, disagreement: float, *, seed: int = 0) -> tuple[Figure, Figure]:
    """Two people with two labels against a fair coin: why one number over all items misleads.

    In theory nominal alpha among the people is 1 - 2p for a share p of items on which they differ, and alpha between
    their majority (a random side of a split) and the coin is 0: for p above one half the coin wins.

    Args:
        n: items.
        disagreement: p, in [0, 1].
        seed: of the draws.

    Returns:
        Alpha among the people, alpha between their majority and the coin.
    """
    rng = np.random.default_rng(seed)
    first = rng.integers(2, size=n)
    second = np.where(rng.permutation(n) < round(disagreement * n), 1 - first, first)
    # The label met first wins a tie; the first person's side is random, so the majority of a split is too.
    people = [("ab"[x], "ab"[y]) for x, y in zip(first, second, strict=True)]
    coin = [("ab"[x],) for x in rng.integers(2, size=n)]
    data = checked(people, coin, ("a", "b"), "categorical")
    settings = Settings(kind=data.kind, labels=data.labels, resamples=0)
    figures = row(arrays(data, seed=seed), settings)["figures"]
    return figures["alpha_HH"], figures["alpha_HM"]
