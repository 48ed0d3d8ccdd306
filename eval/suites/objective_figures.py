"""From raw rows of `labwright bench objectives` to its figures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from labwright.eval.intervals import (
    Share,
    cluster_bootstrap,
    gain_mean_of_ratios,
    gain_ratio_of_means,
    mean_of_means,
    micro,
    relative_gain,
    wilson,
)
from labwright.eval.protocol_findings import METRICS
from labwright.eval.suites.figures import Row, figure
from labwright.eval.suites.objective_cells import OURS, Wanted, all_listed, cells
from labwright.eval.suites.objective_comparison import (
    RESAMPLES,
    Points,
    cells_of,
    comparators,
    main_model,
    paired,
    qualities,
    runs_of,
    share_of,
    tool_calls,
)
from labwright.eval.suites.objective_judging import ORDERS, judges_of, with_judgements, worst_order
from labwright.workflows.baselines import COMPARED

WHOLE_ONLY = ("level3_macro_gold", "best_baseline_level3", "level3_over_best_baseline", "baseline_tool_calls_valid_min")
"""Figures with a goal that are given for a whole table alone, and so are the gains; the others say their n."""
GAINS = {"ratio_of_means": gain_ratio_of_means, "mean_of_ratios": gain_mean_of_ratios}


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured is absent."""
    makers = (_macros, _best_baseline, _gains, _judges, _tool_calls, _ends_of_the_scale, _ray_speedup, _ray_kills)
    scored = with_judgements(rows)
    made = [one for make in makers for one in make(scored)]
    left, planned = missing_cells(scored)
    if left:
        made = [one for one in made if not one["name"].startswith((*WHOLE_ONLY, "quality_gain_"))]
        note = f"of {planned} cells; until all are measured no figure with a goal is given of the table"
        made.append(figure("cells_missing", left, "cells", planned, note=note))
    return [{**one, "raw": raw} for one in made]


def missing_cells(rows: Sequence[Row]) -> tuple[int, int]:
    """How many cells of the default table are not measured, and how many it has; none are missing of no table."""
    measured = {row["name"] for row in cells_of(rows)}
    if not measured:
        return 0, 0
    planned = cells(Wanted(), all_listed(), (), main_model(rows))
    return sum(cell.name not in measured for cell in planned), len(planned)


def _ends(interval: tuple[float | None, float | None]) -> dict[str, float | None]:
    low, high = interval
    return {"low": None if low is None else round(low, 4), "high": None if high is None else round(high, 4)}


def _macros(rows: Sequence[Row]) -> list[dict[str, Any]]:
    cells = cells_of(rows)
    made = [one for workflow in COMPARED if (one := _macro(cells, workflow))]
    ours = next((f for f in made if f["name"] == f"level3_macro_{OURS}"), None)
    if ours is None:
        return made
    means = ", ".join(f"{f['name'].removeprefix('level3_macro_')} {f['value']:.3f} (n {f['n']})" for f in made)
    head = {**ours, "name": "level3_macro_gold", "note": f"{ours['note']}; model {main_model(rows)}; {means}"}
    return [head, *made]


def _macro(cells: Sequence[Row], workflow: str) -> dict[str, Any] | None:
    runs = runs_of(cells, workflow)
    if not runs:
        return None
    shares = [[share_of(r) for r in each] for each in runs.values()]
    values = {name: [r["level3_gold"] for r in each] for name, each in runs.items()}
    n = sum(map(len, values.values()))
    failed = sum(bool(r["failed"]) for each in runs.values() for r in each)
    note = f"{n} cells on {len(runs)} objectives, micro {micro(shares):.3f}"
    note += f", {failed} runs ended with an error" if failed else ""
    macro = mean_of_means([*values.values()])
    ends = _ends(cluster_bootstrap(values, mean_of_means, RESAMPLES))
    return figure(f"level3_macro_{workflow}", macro, "share", len(runs), **ends, note=note)


def _best_baseline(rows: Sequence[Row]) -> list[dict[str, Any]]:
    cells = cells_of(rows)
    kept, out = comparators(cells)
    found: list[tuple[float, str, dict[str, float], dict[str, float]]] = []
    for workflow in kept:
        ours, base = paired(cells, workflow)
        if base:
            found.append((statistics.fmean(base.values()), workflow, ours, base))
    if not found:
        return []
    value, best, ours, base = max(found, key=lambda one: one[0])
    others = ", ".join(f"{w} {v:.3f} (n {len(b)})" for v, w, _, b in found if w != best)
    note = f"{best}; ours on the same objectives {statistics.fmean(ours.values()):.3f}"
    note += f"; others: {others}" if others else ""
    note += "".join(f"; left out {o.workflow}: {o.reason}" for o in out)
    ends = _ends(cluster_bootstrap({name: [v] for name, v in base.items()}, mean_of_means, RESAMPLES))
    made = [figure("best_baseline_level3", value, "share", len(base), **ends, note=note)]
    lead = statistics.fmean(ours.values()) - value
    gap = {name: [ours[name] - base[name]] for name in ours}
    ends = _ends(cluster_bootstrap(gap, mean_of_means, RESAMPLES))
    return [*made, figure("level3_over_best_baseline", lead, "share", len(base), **ends, note=f"ours less {best}")]


def _gains(rows: Sequence[Row]) -> list[dict[str, Any]]:
    cells = cells_of(rows)
    bases, _ = comparators(cells)
    made: list[dict[str, Any]] = []
    kinds: Mapping[Points, str] = {"judged": "quality_gain_", "code": "quality_code_gain_"}
    for points, prefix in kinds.items():
        ours, base = qualities(cells, bases, points) if bases else ({}, {})
        if not ours:
            continue
        each = zip(METRICS, _columns(ours), _columns(base), strict=True)
        note = f"{points} points, mean of {', '.join(bases)}; " + ", ".join(
            f"{metric} {mine:.2f} against {theirs:.2f}" for metric, mine, theirs in each
        )
        for name, gain in GAINS.items():
            value, interval = relative_gain(ours, base, gain, RESAMPLES)
            made.append(figure(prefix + name, value, "relative", len(ours), **_ends(interval), note=note))
    return made


def _judges(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """How the judges that were shown known damage order it; the best one speaks."""
    tested = {judge: found for judge in judges_of(rows) if (found := worst_order(rows, judge)) is not None}
    if not tested:
        return []
    best = min(tested, key=lambda judge: tested[judge][0])
    each = "; ".join(
        f"{judge}: " + ", ".join(f"{kind} {rho:.2f}" for kind, rho in found[1].items())
        for judge, found in tested.items()
    )
    protocols = len({r["protocol"] for r in rows if r["kind"] == "judge_damage" and r["judge"] == best})
    note = f"rank correlation of damage and score, worst kind; a judge is believed from {ORDERS:g} on. {each}"
    return [figure("quality_judge_spearman_max", tested[best][0], "rho", protocols, note=note)]


def _columns(by_objective: Mapping[str, Sequence[float]]) -> list[float]:
    return [statistics.fmean(column) for column in zip(*by_objective.values(), strict=True)]


def _tool_calls(rows: Sequence[Row]) -> list[dict[str, Any]]:
    cells = cells_of(rows)
    kept, out = comparators(cells)
    valid: dict[str, Share] = {w: s for w in kept if (s := tool_calls(cells, w)).n}
    made = []
    if valid:
        worst = min(valid, key=lambda w: valid[w].hits / valid[w].n)
        each = ", ".join(f"{w} {s.hits}/{s.n}" for w, s in valid.items())
        share = valid[worst]
        note = f"{worst}; {each}" + "".join(f"; left out {o.workflow}: {o.reason}" for o in out)
        ends = _ends(wilson(share.hits, share.n))
        made.append(figure("baseline_tool_calls_valid_min", share.hits / share.n, "share", share.n, **ends, note=note))
    if valid or out:
        note = "; ".join(f"{o.workflow}: {o.reason}" for o in out)
        made.append(figure("baselines_left_out", len(out), "workflows", len(kept) + len(out), note=note))
    return made


def _ends_of_the_scale(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """An agent that does nothing, and scripts that share no code with labwright; the worst objective speaks."""
    made = []
    for kind, worst, what in (("noop", max, "highest"), ("reference", min, "lowest")):
        scores = {r["name"]: r["level3_gold"] for r in rows if r["kind"] == kind}
        if scores:
            value = worst(scores.values())
            note = f"{what} of all objectives: {worst(scores, key=lambda n: scores[n])}"
            made.append(figure(f"{kind}_score", value, "share", len(scores), note=note))
    return made


def _ray_speedup(rows: Sequence[Row]) -> list[dict[str, Any]]:
    rounds = [r for r in rows if r["kind"] == "ray_speedup"]
    if not rounds:
        return []
    ratios = [r["one_worker_s"] / r["two_workers_s"] for r in rounds]
    first = rounds[0]
    note = (
        f"median of {len(rounds)} rounds of {first['cells']} cells, low and high are the extremes; {first['work']}; "
        f"medians {statistics.median(r['one_worker_s'] for r in rounds):.1f} s with one worker, "
        f"{statistics.median(r['two_workers_s'] for r in rounds):.1f} s with two; each cell waited "
        f"{first['asleep_s']:.1f} s for its model. On two cores jobs of the sandbox exclude one another, so only the "
        "wait for the model is shared out"
    )
    ends = {"low": round(min(ratios), 4), "high": round(max(ratios), 4)}
    return [figure("ray_speedup_2", statistics.median(ratios), "ratio", first["cells"], **ends, note=note)]


def _ray_kills(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = [r for r in rows if r["kind"] == "ray_kills"]
    if not done:
        return []
    row = done[-1]
    note = (
        f"{row['kills']} workers killed with SIGKILL, {row['after_row']} of them between the writing of a row and its "
        f"report; {row['cells']} cells, {row['work']}; begun {row['begun']} times; {row['lost']} lost, "
        f"{row['doubled']} doubled"
    )
    return [figure("ray_lost_or_doubled", row["lost"] + row["doubled"], "cells", row["kills"], note=note)]
