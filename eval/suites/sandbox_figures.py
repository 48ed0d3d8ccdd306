"""From raw rows of `labwright bench sandbox` to its figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from labwright.eval.suites.figures import Row, figure
from labwright.eval.suites.screen import wilson

RESAMPLES = 2000


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured is absent."""
    makers = (_attacks, _leftovers, _starts, _cycles, _throughput, _memory)
    return [{**one, "raw": raw} for make in makers for one in make(rows)]


def _attacks(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = [r for r in rows if r["kind"] == "attack"]
    if not done:
        return []
    runtimes = sorted({r["runtime"] for r in done})
    of = {name: [r for r in done if r["runtime"] == name] for name in runtimes}
    through = ", ".join(f"{r['name']}: {r['stopped_by']}" for r in done if not r["held"])
    note = "; ".join(f"{name} {sum(r['held'] for r in found)} of {len(found)}" for name, found in of.items())
    held = sum(r["held"] for r in done)
    low, high = wilson(held, len(done))
    names = {r["name"].split(":")[1] for r in done}
    refused = "".join(f"; {r['name']} refused: {r['reason']}" for r in rows if r["kind"] == "refused")
    return [
        figure("attacks_total", len(names), "attacks", len(done), note=f"distinct; run on {', '.join(runtimes)}{refused}"),
        figure("attacks_held_share", held / len(done), "share", len(done), low=low, high=high,
               note=note + (f"; through: {through}" if through else "")),
    ]  # fmt: skip


def _leftovers(rows: Sequence[Row]) -> list[dict[str, Any]]:
    killed = [r for r in rows if r["kind"] == "kills"]
    counted = [r["left"] for r in rows if r["kind"] == "leftovers"] + [r["left"] for r in killed]
    if not killed:
        return []
    row = killed[-1]
    left = sum(sum(each.values()) for each in counted)
    found = ", ".join(f"{count} {what}" for what, count in row["found"].items())
    ended = "stayed" if row["processes_end_s"] is None else f"gone {row['processes_end_s']:g} s after the last kill"
    note = (
        f"after the attacks and {row['jobs']} jobs, {row['kills']} of them killed with their client; before the next "
        f"start: {found}; their processes were {ended}; {row['failed']} of the other jobs failed"
    )
    return [figure("leftovers", left, "containers, volumes, mounts, processes, folders", row["jobs"], note=note)]


def _ratio(
    rows: Sequence[Row], name: str, ways: tuple[str, str], *, script: str = "plain", of: str = "first_s"
) -> list[dict[str, Any]]:
    """Median of the paired ratios of two ways to run a script, with its bootstrap interval."""
    top, bottom = ways
    pairs = [(r[top][of], r[bottom][of]) for r in rows if r["kind"] == "pair" and r["script"] == script]
    if not pairs:
        return []
    ratios = np.array([a / b for a, b in pairs])
    resampled = np.median(np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios))), axis=1)
    low, high = (round(float(v), 4) for v in np.quantile(resampled, (0.025, 0.975)))
    tops, bottoms = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = "first output" if of == "first_s" else "whole cycle"
    note = f"median of paired ratios, {what}; medians {top} {tops:.4g} s, {bottom} {bottoms:.4g} s"
    return [figure(name, float(np.median(ratios)), "ratio", len(pairs), low=low, high=high, note=note)]


def _starts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        *_ratio(rows, "warm_over_bare_run", ("warm", "bare")),
        *_ratio(rows, "cold_over_bare_run", ("cold", "bare")),
        *_ratio(rows, "warm_import_over_cold_import", ("warm", "cold"), script="imports"),
    ]


def _cycles(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        *_ratio(rows, "warm_cycle_over_bare", ("warm", "bare"), of="total_s"),
        *_ratio(rows, "cold_cycle_over_bare", ("cold", "bare"), of="total_s"),
        *_ratio(rows, "warm_import_cycle_over_cold", ("warm", "cold"), script="imports", of="total_s"),
    ]


def _throughput(rows: Sequence[Row]) -> list[dict[str, Any]]:
    figures = []
    for width in sorted({r["width"] for r in rows if r["kind"] == "throughput"}):
        rounds = [r for r in rows if r["kind"] == "throughput" and r["width"] == width]
        ratios = [r["ours_per_s"] / r["bare_per_s"] for r in rounds]
        ours, bare = (statistics.median(r[key] for r in rounds) for key in ("ours_per_s", "bare_per_s"))
        note = (
            f"median of {len(rounds)} rounds of {rounds[0]['jobs']} jobs, outputs taken out; low and high are the "
            f"extremes; ours {ours:.2f}, bare {bare:.2f} jobs/s"
        )
        figures.append(
            figure(f"throughput{width}_over_bare", statistics.median(ratios), "ratio", len(rounds),
                   low=round(min(ratios), 4), high=round(max(ratios), 4), note=note)
        )  # fmt: skip
    return figures


def _memory(rows: Sequence[Row]) -> list[dict[str, Any]]:
    names = {
        "container_waiting_mib": "waiting_mib",
        "container_warm_mib": "waiting_imported_mib",
        "container_working_mib": "working_peak_mib",
    }
    notes = ("process 1 alone", "the analysis stack imported", "peak with pandas and scipy")
    row = next((r for r in rows if r["kind"] == "memory"), None)
    if row is None:
        return []
    return [
        figure(name, row[key], "MiB", 1, note=note)
        for (name, key), note in zip(names.items(), notes, strict=True)
        if row[key] is not None
    ]
