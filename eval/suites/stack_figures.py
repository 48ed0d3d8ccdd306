"""From raw rows of `labwright bench stack` to its figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from labwright.eval.intervals import wilson
from labwright.eval.suites.figures import Row, bootstrap, figure
from labwright.eval.suites.stack_names import ALONE, BASE, DEFAULT, HARDENED, RULES, STACK, UNHARDENED


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured is absent."""
    return [{**one, "raw": raw} for make in MAKERS for one in make(rows)]


def _runs(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = [r for r in rows if r["kind"] == "stack_run"]
    mine = [r for r in done if r["player"] == STACK]
    if not mine:
        return []
    calls, own = sum(r["role_calls"] for r in mine), sum(r["by_stack"] for r in mine)
    low, high = wilson(own, calls)

    def mean(player: str, what: str) -> float:
        values = [r[what] for r in done if r["player"] == player]
        return statistics.fmean(values) if values else float("nan")

    beside = ", ".join(
        f"{p}: level 3 {mean(p, 'level3_gold'):.2f}, {mean(p, 'seconds'):.0f} s, "
        f"{mean(p, 'prompt_tokens_evaluated'):.0f} tokens read" for p in (STACK, DEFAULT, RULES)
        if any(r["player"] == p for r in done)
    )  # fmt: skip
    fallback = f"{sum(r['fallback'] for r in mine)} of {sum(r['decided'] for r in mine)} values of its roles fell back"
    figures = [
        figure("stack_runs_done", sum(r["status"] == "done" for r in mine), "runs", len(mine), note=beside),
        figure("lineage_complete_share", statistics.fmean(bool(r["lineage"]) for r in mine), "share", len(mine)),
        figure("calls_answered_by_stack_share", own / calls if calls else 0.0, "share", calls, low=low, high=high, note=fallback),
    ]  # fmt: skip
    shared = [(r, o) for r in mine for o in done if o["player"] == RULES and o["objective"] == r["objective"]]
    if shared:
        gaps = [r["level3_gold"] - o["level3_gold"] for r, o in shared]
        note = ", ".join(f"{r['objective']} {r['level3_gold']:.2f} and {o['level3_gold']:.2f}" for r, o in shared)
        figures.append(figure("stack_level3_minus_rules", statistics.fmean(gaps), "share", len(gaps), note=note))
    return figures


def _harm(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """HS+ of the mixture over that of the unhardened one; every backend in the note."""
    done = {(r["stack"], r["backend"]): r for r in rows if r["kind"] == "stack_harm"}
    hard, soft = done.get((HARDENED, "fused")), done.get((UNHARDENED, "fused"))
    if hard is None or soft is None:
        return []
    told = []
    for stack in (HARDENED, UNHARDENED):
        each = ", ".join(f"{name} {r['hs_plus']:.2f}" for (s, name), r in done.items() if s == stack)
        told.append(f"{stack}: {each}")
    note = (
        f"HS+ of the mixture {hard['hs_plus']:.3f} and {soft['hs_plus']:.3f}, {hard['n']} prompts of the stand-in topic. "
        + "; ".join(told)
    )
    if not soft["hs_plus"]:
        return [
            figure(
                "stack_hs_unhardened",
                0.0,
                "share",
                soft["n"],
                note=f"no ratio: the unhardened one harms nobody. {note}",
            )
        ]
    return [figure("stack_hs_over_unhardened", hard["hs_plus"] / soft["hs_plus"], "ratio", hard["n"], note=note)]


def _accuracy(row: Row, task: str = "") -> float:
    values = [v for t, right in row["right"].items() for v in right if not task or t == task]
    return statistics.fmean(values) if values else float("nan")


def _roles(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Accuracy on the roles' questions: members before and after tuning, the ensemble and what it is joined with."""
    done = {(r["stack"], r["backend"]): r for r in rows if r["kind"] == "stack_roles"}
    figures = []
    hard, soft = done.get((HARDENED, "fused")), done.get((UNHARDENED, "fused"))
    if hard and soft:
        drop = _accuracy(soft) - _accuracy(hard)
        note = f"questions of roles: the mixture {_accuracy(hard):.3f}, unhardened {_accuracy(soft):.3f}"
        figures.append(
            figure("stack_fa_drop", drop, "share", len([v for r in hard["right"].values() for v in r]), note=note)
        )
    mine = {name: r for (s, name), r in done.items() if s == HARDENED}
    for name, over, what in (("stack_member_gain", BASE, "tuned-helpful"), ("stack_ensemble_gain", ALONE, "ensemble")):
        if over in mine and what in mine:
            pairs = [
                (a, b)
                for t in mine[what]["right"]
                for a, b in zip(mine[what]["right"][t], mine[over]["right"][t], strict=True)
            ]
            gaps = [float(a - b) for a, b in pairs]
            low, high = bootstrap(gaps)
            each = "; ".join(
                f"{n}: " + ", ".join(f"{t} {_accuracy(r, t):.2f}" for t in r["right"]) for n, r in mine.items()
            )
            usual = ", ".join(f"{t} {share:.2f}" for t, share in mine[what]["usual"].items())
            figures.append(figure(name, statistics.fmean(gaps), "share", len(gaps), low=low, high=high,
                                  note=f"{what} over {over}, the same held-out questions. {each}; "
                                  f"always the most frequent answer: {usual}"))  # fmt: skip
    return figures


def _choices(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Points on the written objectives, with each backend alone in all roles."""
    done = {r["backend"]: r["points"] for r in rows if r["kind"] == "stack_choices"}
    if "ensemble" not in done or ALONE not in done:
        return []
    gaps = [done["ensemble"][k] - done[ALONE][k] for k in done["ensemble"]]
    low, high = bootstrap(gaps)
    each = ", ".join(f"{name} {statistics.fmean(p.values()):.3f}" for name, p in done.items())
    return [figure("stack_choices_gain", statistics.fmean(gaps), "points", len(gaps), low=low, high=high,
                   note=f"ensemble over {ALONE} on the written objectives: {each}")]  # fmt: skip


MAKERS: tuple[Callable[[Sequence[Row]], list[dict[str, Any]]], ...] = (_runs, _harm, _roles, _choices)
