"""The table of objectives as people read it: one entry a workflow, pair, objective and failure, from raw rows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labwright.errors import MetricUndefined
from labwright.eval.intervals import cluster_bootstrap, mean_of_means, micro, paired_difference, sign_flip, wilson
from labwright.eval.protocol_findings import METRICS
from labwright.eval.suites.figures import Row
from labwright.eval.suites.objective_comparison import (
    RESAMPLES,
    Points,
    cells_of,
    comparators,
    main_model,
    paired,
    quality_of,
    runs_of,
    share_of,
    tool_calls,
)
from labwright.workflows.baselines import COMPARED


def summary(rows: Sequence[Row], model: str | None = None) -> dict[str, Any]:
    """What the page shows of one model's cells.

    Returns:
        model, workflows, pairs, left_out, objectives, failures; empty lists where nothing was measured.
    """
    model = main_model(rows) if model is None else model
    cells = cells_of(rows, model)
    kept, out = comparators(cells)
    names = [w for w in COMPARED if any(r["workflow"] == w for r in cells)]
    return {
        "model": model,
        "workflows": [_workflow(cells, name) for name in names],
        "pairs": [found for name in kept if (found := _pair(cells, name))],
        "left_out": [{"workflow": o.workflow, "reason": o.reason} for o in out],
        "objectives": _by_objective(cells, names),
        "failures": [r for r in cells if r["failed"]],
    }


def models_of(rows: Sequence[Row]) -> list[str]:
    """Models that were measured, the main one first."""
    main = main_model(rows)
    found = {r["model"] for r in rows if r["kind"] == "cell" and r["workflow"] != "rules_only"}
    return sorted(found, key=lambda name: (name != main, name))


def _workflow(cells: Sequence[Row], name: str) -> dict[str, Any]:
    mine = [r for r in cells if r["workflow"] == name]
    runs = runs_of(cells, name)
    valid = tool_calls(cells, name)
    levels = {n: sum(r["levels"][n] for r in mine) for n in ("1", "2", "3", "n")}
    return {
        "name": name,
        "cells": len(mine),
        "objectives": len(runs),
        **_rates(runs),
        "levels": levels,
        "level_ends": {n: wilson(levels[n], levels["n"]) if levels["n"] else (None, None) for n in ("1", "2", "3")},
        "repairs": sum(r["repairs"] for r in mine),
        "interventions": sum(r["interventions"] for r in mine),
        "calls": {"hits": valid.hits, "n": valid.n, "ends": wilson(valid.hits, valid.n) if valid.n else (None, None)},
        "quality": {points: _quality(mine, points) for points in ("code", "judged")},
        "protocols": sum(bool(r["quality"]) for r in mine),
        "failed": sum(bool(r["failed"]) for r in mine),
        **{key: statistics.median(r[key] for r in mine)
           for key in ("prompt_tokens_evaluated", "generated_tokens", "seconds", "usd")},
    }  # fmt: skip


def _rates(runs: dict[str, list[Row]]) -> dict[str, Any]:
    if not runs:
        nothing = (None, None)
        return {"macro": None, "macro_ends": nothing, "micro": None, "micro_ends": nothing, "wilson": nothing}
    shares = {name: [share_of(r) for r in each] for name, each in runs.items()}
    every = [s for each in shares.values() for s in each]
    values = {name: [r["level3_gold"] for r in each] for name, each in runs.items()}
    return {
        "macro": mean_of_means([*values.values()]),
        "macro_ends": cluster_bootstrap(values, mean_of_means, RESAMPLES),
        "micro": micro([*shares.values()]),
        "micro_ends": cluster_bootstrap(shares, micro, RESAMPLES),
        "wilson": wilson(sum(s.hits for s in every), sum(s.n for s in every)),
    }


def _quality(runs: Sequence[Row], points: Points) -> list[float | None]:
    found = quality_of(runs, points)
    return [None] * len(METRICS) if found is None else list(found)


def _pair(cells: Sequence[Row], name: str) -> dict[str, Any] | None:
    ours, base = paired(cells, name)
    try:
        difference, ends = paired_difference(ours, base, RESAMPLES)
        p = sign_flip(ours, base)
    except MetricUndefined:  # no objective is complete for both
        return None
    return {
        "workflow": name,
        "n": len(ours),
        "ours": statistics.fmean(ours.values()),
        "base": statistics.fmean(base.values()),
        "difference": difference,
        "ends": ends,
        "p": p,
    }


def _by_objective(cells: Sequence[Row], workflows: Sequence[str]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in cells:
        entry = found.setdefault(row["objective"], {"field": row["field"], "of": {name: [] for name in workflows}})
        entry["of"][row["workflow"]].append(row)
    for entry in found.values():
        for each in entry["of"].values():
            each.sort(key=lambda r: r["seed"])
    return [{"id": name, **found[name]} for name in sorted(found, key=lambda n: (found[n]["field"], n))]


def report_of(row: Row, runs: Path) -> Path | None:
    """The report of a run; None when its folder is not on this machine, or the cell made none."""
    if not row["run"]:
        return None
    path = (runs / "cells" / row["run"] / "report.html").resolve()
    # Rows travel between machines: a name that leads out of the folder is not followed.
    return path if path.is_relative_to(runs.resolve()) and path.is_file() else None
