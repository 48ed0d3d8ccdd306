"""From raw rows to figures: the only place where a figure of a benchmark is computed."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]
RESAMPLES = 2000


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured is absent."""
    makers: tuple[Callable[[Sequence[Row]], list[dict[str, Any]]], ...] = (
        _objectives,
        _economy,
        _choices,
        _kills,
    )
    return [{**one, "raw": raw} for make in makers for one in make(rows)]


def figure(name: str, value: float, unit: str, n: int, **more: Any) -> dict[str, Any]:
    """One figure as the documents hold it; `more` sets low, high or note."""
    return {
        "name": name,
        "value": round(value, 4),
        "unit": unit,
        "n": n,
        "low": None,
        "high": None,
        "note": "",
        **more,
    }


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [r for r in rows if r["kind"] == kind]


def _objectives(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = _of(rows, "objective")
    if not done:
        return []
    rates: dict[str, list[float]] = {}
    for row in done:
        rates.setdefault(row["name"].split(":")[0], []).append(row["level3_gold"])
    macro = [statistics.fmean(values) for values in rates.values()]
    low, high = bootstrap(macro)
    each = "; ".join(f"{name} {' '.join(f'{v:.2f}' for v in values)}" for name, values in rates.items())
    figures = [figure("level3_rate_gold", statistics.fmean(macro), "share", len(macro), low=low, high=high, note=each)]
    first = next((r for r in done if r["name"].startswith("metastasis_signature")), done[0])
    figures.append(figure("level3_tasks", float(first.get("level3_tasks", 0)), "tasks", 1, note=first["name"]))
    shares = [r["model_share"] for r in done if r.get("model_share") is not None]
    if shares:
        figures.append(figure("model_decided_share", statistics.fmean(shares), "share", len(shares)))
    return figures


def _economy(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = [r for r in _of(rows, "objective") if r.get("seconds")]
    if not done:
        return []
    names = {
        "seconds": "s",
        "prompt_tokens_evaluated": "tokens",
        "generated_tokens": "tokens",
        "overhead_share": "share",
    }
    figures = [
        figure(name, statistics.median(r[name] for r in done), unit, len(done), low=min(r[name] for r in done),
                high=max(r[name] for r in done), note="median over runs; low and high are the extremes")
        for name, unit in names.items()
    ]  # fmt: skip
    largest = max(r["checkpoint_max_kib"] for r in done)
    return [*figures, figure("checkpoint_max_kib", largest, "KiB", len(done), note="largest of all runs")]


def _choices(rows: Sequence[Row]) -> list[dict[str, Any]]:
    rules = {r["name"]: r for r in _of(rows, "choice_rules")}
    pairs = [(r, rules[r["name"]]) for r in _of(rows, "choice_model") if r["name"] in rules]
    if len(pairs) < len(rules):
        return []  # an unfinished suite is no sample of it: the rows stand in the order of the file
    answerable = [(m, r) for m, r in pairs if m["answerable"]]
    if not answerable:
        return []
    gains = [points(m) - points(r) for m, r in answerable]
    low, high = bootstrap(gains)
    note = ", ".join(
        f"{part} {statistics.fmean(m[part] for m, _ in answerable):.2f} against {statistics.fmean(r[part] for _, r in answerable):.2f}"
        for part in ("dataset_points", "operator_points", "paper_points")
    )
    figures = [
        figure(
            "model_over_rules_points",
            statistics.fmean(gains),
            "points of 1",
            len(gains),
            low=low,
            high=high,
            note=note,
        )
    ]
    refused = [(m["refused"], r["refused"]) for m, r in pairs if not m["answerable"]]
    if refused:
        figures.append(
            figure("unanswerable_refused_share", sum(m for m, _ in refused) / len(refused), "share", len(refused),
                    note=f"rules alone {sum(r for _, r in refused) / len(refused):.2f}")
        )  # fmt: skip
    return figures


def points(row: Row) -> float:
    """Mean of the points for data set, analyses and papers, in [0, 1]."""
    return float(row["dataset_points"] + row["operator_points"] + row["paper_points"]) / 3


def _kills(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = _of(rows, "kills")
    if not done:
        return []
    row = done[-1]
    note = f"{row['in_flight']} replies were in flight at a kill; {row['requests']} requests in all"
    return [figure("calls_repeated_after_kill", row["repeated"], "calls", row["kills"], note=note)]


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float | None, float | None]:
    """Percentile 95 % interval of the mean; none for fewer than three values."""
    if len(values) < 3:
        return None, None
    rng = random.Random(seed)  # noqa: S311  (resampling, not a secret)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return round(means[int(0.025 * RESAMPLES)], 4), round(means[int(0.975 * RESAMPLES) - 1], 4)
