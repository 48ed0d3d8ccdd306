"""From raw rows of `labwright bench fusion` to its figures."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from labwright.eval.suites.figures import Row, bootstrap, figure
from labwright.eval.suites.fusion_scores import judge_figures, real_figures, run_figures
from labwright.eval.suites.fusion_toy import GAMMAS, NAMES


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured is absent."""
    return [{**one, "raw": raw} for make in MAKERS for one in make(rows)]


def _toy_shares(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Share of the router's weight on a property's tokens that goes to its own expert, with and without the gate."""
    figures = []
    for name, condition in (("toy_router_share", "gate"), ("toy_router_share_ungated", "no_gate")):
        done = [r for r in rows if r["kind"] == "toy" and r["condition"] == condition]
        if not done:
            continue
        means = [statistics.fmean(r["own_share"].values()) for r in done]
        least = min(v for r in done for v in r["own_share"].values())
        low, high = bootstrap(means)
        note = f"mean over properties, by seed {' '.join(f'{m:.3f}' for m in means)}; least of all {least:.3f}"
        figures.append(figure(name, statistics.fmean(means), "share", len(means), low=low, high=high, note=note))
    return figures


def _toy_gammas(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of all steps from one dial to the next greater, how many lowered the expert's drift, and its share."""
    by_condition = {(r["seed"], r["condition"]): r for r in rows if r["kind"] == "toy"}
    steps: list[tuple[bool, bool]] = []
    series = []
    for seed in sorted({seed for seed, _ in by_condition}):
        for name in NAMES:
            wanted = ["no_gate", *(f"gamma:{name}:{g:g}" for g in GAMMAS[1:])]
            found = [by_condition.get((seed, c)) for c in wanted]
            done = [r for r in found if r is not None]
            if len(done) < len(wanted):
                continue
            drifts, shares = ([r[key][name] for r in done] for key in ("drift", "share"))
            steps += [(drifts[i + 1] < drifts[i], shares[i + 1] < shares[i]) for i in range(len(done) - 1)]
            series.append((drifts, shares))
    if not steps:
        return []
    drift = sum(d for d, _ in steps) / len(steps)
    share = sum(s for _, s in steps) / len(steps)
    means = [[statistics.fmean(values) for values in zip(*(s[i] for s in series), strict=True)] for i in (0, 1)]
    note = (
        f"of the steps between dials {' '.join(f'{g:g}' for g in GAMMAS)}, those that lowered both; drift alone {drift:.3f}, "
        f"share alone {share:.3f}; mean drift {' '.join(f'{v:.3f}' for v in means[0])}, mean share "
        f"{' '.join(f'{v:.3f}' for v in means[1])}"
    )
    both = sum(d and s for d, s in steps) / len(steps)
    monotone = all(a > b for mean in means for a, b in itertools.pairwise(mean))
    return [
        figure("toy_gamma_monotone", float(monotone), "1 or 0", len(series),
               note="mean drift and mean share of the dialled expert both fall at every step of its dial"),
        figure("toy_gamma_steps", both, "share", len(steps), note=note),
    ]  # fmt: skip


def _times(rows: Sequence[Row]) -> list[dict[str, Any]]:
    pairs = [r for r in rows if r["kind"] == "fusion_times"]
    if not pairs:
        return []
    figures = []
    for name, bottom in (("forward_over_dense", 1), ("forward_over_three", 3)):
        ratios = [r["fused_s"] / (bottom * r["dense_s"]) if bottom == 1 else r["fused_s"] / r["three_s"] for r in pairs]
        low, high = bootstrap_median(ratios)
        seconds = ", ".join(
            f"{what} {statistics.median(r[key] for r in pairs):.3f} s"
            for what, key in (("fused", "fused_s"), ("dense", "dense_s"), ("three", "three_s"))
        )
        note = f"median of paired ratios, {pairs[0]['batch']} x {pairs[0]['tokens']} tokens, in turn; medians {seconds}"
        figures.append(figure(name, statistics.median(ratios), "ratio", len(ratios), low=low, high=high, note=note))
    return figures


def _memory(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = [r for r in rows if r["kind"] == "fusion_memory"]
    if not done:
        return []
    ratios = [r["fused_bytes"] / (r["dense_bytes"] + 2 * r["blocks_bytes"]) for r in done]
    row = done[0]
    note = (
        f"peak of a process that loads and runs, less one that imports alone; fused {row['fused_bytes'] / 2**20:.0f} MiB, "
        f"base {row['dense_bytes'] / 2**20:.0f} MiB, one set of blocks {row['blocks_bytes'] / 2**20:.0f} MiB"
    )
    return [figure("memory_over_bound", statistics.median(ratios), "ratio", len(ratios), note=note)]


def bootstrap_median(
    values: Sequence[float], resamples: int = 2000, seed: int = 0
) -> tuple[float | None, float | None]:
    """Percentile 95 % interval of the median; none for fewer than three values."""
    import random

    if len(values) < 3:
        return None, None
    rng = random.Random(seed)  # noqa: S311  (resampling, not a secret)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(resamples))
    return round(medians[int(0.025 * resamples)], 4), round(medians[int(0.975 * resamples) - 1], 4)


MAKERS: tuple[Callable[[Sequence[Row]], list[dict[str, Any]]], ...] = (
    _toy_shares,
    _toy_gammas,
    _times,
    _memory,
    judge_figures,
    real_figures,
    run_figures,
)
"""One maker a kind of measurement; each takes all rows and reads those of its kinds."""
