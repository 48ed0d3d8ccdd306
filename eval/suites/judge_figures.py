"""From raw rows of `labwright bench judges` to its figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from labwright.errors import MetricUndefined
from labwright.eval.damage import TARGETS
from labwright.eval.damage_series import detection_f1, f1_interval, response
from labwright.eval.suites.figures import Row
from labwright.eval.suites.judge_vectors import error_of

WHO = ("judge", "people", "random")


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured is absent."""
    makers = (_vectors, _bootstrap, _damage, _damage_judged, _recipes)
    return [{**figure, "raw": raw} for make in makers for figure in make(rows)]


def _figure(name: str, value: float, unit: str, n: int, note: str = "") -> dict[str, Any]:
    # Errors of a ten-millionth are figures too, so digits count from the first that is not 0.
    return {"name": name, "value": float(f"{value:.4g}"), "unit": unit, "n": n, "low": None, "high": None, "note": note}


def _vectors(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found = [r for r in rows if r["kind"] == "vector"]
    if not found:
        return []
    errors = {r["name"]: error_of((r["name"], r["expected"], r["computed"])) for r in found}
    worst = max(errors, key=lambda name: errors[name])
    note = f"worst {worst}; the vectors are given to 6 or 7 digits"
    return [_figure("vectors_max_error", errors[worst], "difference", len(found), note)]


def _bootstrap(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found = [r for r in rows if r["kind"] == "bootstrap"]
    return [
        _figure(
            "bootstrap_10k_s",
            r["seconds"],
            "s",
            r["items"],
            "5 people and 5 labels of a judge an item; 2,000 resamples",
        )
        for r in found[-1:]
    ]


def _damage(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found = [r for r in rows if r["kind"] == "damage"]
    if not found:
        return []
    n = len({r["protocol"] for r in found})
    answers = [response(found, kind) for kind in TARGETS]
    worst = max(answers, key=lambda a: a.spearman)
    talk, kind, other = max((share, a.kind, metric) for a in answers for metric, share in a.crosstalk.items())
    each = "; ".join(
        f"{a.kind} on {a.target}: rho {a.spearman:.3f}, weakest protocol {a.spearman_worst:.3f}, mean fall {a.fall:.2f}"
        for a in answers
    )
    pointed = [k for k in TARGETS if k != "steps_dropped"]  # a step that is gone cannot be pointed at
    low, high = f1_interval(found, pointed)
    parts = ", ".join(f"{k} {detection_f1(found, [k]):.2f}" for k in pointed)
    return [
        _figure("damage_spearman_max", worst.spearman, "rho", n, f"code-checked part, worst is {worst.kind}; {each}"),
        _figure("damage_crosstalk_max", talk, "share of the fall", n, f"code-checked part; {other} under {kind}"),
        {
            **_figure("damage_detection_f1", detection_f1(found, pointed), "F1", n, f"steps hit; {parts}"),
            "low": round(low, 4),
            "high": round(high, 4),
        },
    ]


def _damage_judged(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found = [r for r in rows if r["kind"] == "damage_judge"]
    kinds = list(dict.fromkeys(r["damage"] for r in found))
    if set(kinds) != set(TARGETS):
        return []  # an unfinished series is no sample of it
    each = {kind: _rho(found, kind) for kind in kinds}
    worst = max(each, key=lambda kind: each[kind])
    note = f"{found[0]['judge']}, targeted metric alone; " + ", ".join(f"{k} {v:.2f}" for k, v in each.items())
    return [_figure("damage_judge_spearman_max", each[worst], "rho", len({r["protocol"] for r in found}), note)]


def _rho(rows: Sequence[Row], kind: str) -> float:
    """Pooled rank correlation; 0 for a judge that says the same of everything, or nothing."""
    try:
        return response(rows, kind).spearman
    except MetricUndefined:
        return 0.0


def _recipes(rows: Sequence[Row]) -> list[dict[str, Any]]:
    figures = []
    for who in WHO:
        found = [r for r in rows if r["kind"] == "recipes" and r["name"].startswith(f"{who}:")]
        for name, statistic in (("alpha_hm", "alpha_HM"), ("jsb", "jsb")):
            values = {r["name"].split(":", 1)[1]: r["strata"][0][statistic][0] for r in found}
            known = {c: v for c, v in values.items() if v is not None}
            if known:
                note = ", ".join(f"{c} {v:.2f}" for c, v in known.items())
                size = found[0]["strata"][0]["size"]
                figures.append(_figure(f"recipes_{who}_{name}", statistics.fmean(known.values()), "mean", size, note))
    return figures
