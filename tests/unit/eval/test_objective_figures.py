"""Figures of the table of objectives, from rows small enough to compute each value by hand."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cells import row_of

from labwright.eval.protocol_findings import METRICS
from labwright.eval.suites import objective_figures
from labwright.eval.suites.objective_cells import Cell, all_listed
from labwright.eval.suites.objective_comparison import cells_of, main_model, qualities, runs_of
from labwright.eval.suites.objective_figures import figures_of
from labwright.eval.suites.objective_summary import summary
from labwright.workflows.baselines import COMPARED

RAW = "docs/benchmarks/raw/objectives.jsonl"
ENTRIES = ("o1", "o2", "g1", "g2")


def run(objective: str, workflow: str, met: int, seed: int = 0, **more: Any) -> dict[str, Any]:
    """A run that meets the first `met` of two outputs and two gold properties."""
    verdicts = [number < met for number in range(4)]
    lists = {
        "outputs": dict(zip(ENTRIES[:2], verdicts[:2], strict=True)),
        "gold": dict(zip(ENTRIES[2:], verdicts[2:], strict=True)),
    }
    model = more.pop("model", "none" if workflow == "rules_only" else "m")
    return row_of(Cell(objective, workflow, model, seed), **lists, level3_gold=met / 4, **more)


def quality(code: list[float], judged: list[float] | None = None) -> dict[str, Any]:
    judged_points = judged or [None] * 5
    return {m: {"code": c, "judged": j} for m, c, j in zip(METRICS, code, judged_points, strict=True)}


def figures(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    made = figures_of(rows, RAW)
    assert len({f["name"] for f in made}) == len(made)
    assert all(f["raw"] == RAW for f in made)
    return {f["name"]: f for f in made}


OURS = [
    *(run("a", "labwright", 4), run("a", "labwright", 2, 1), run("b", "labwright", 2), run("b", "labwright", 2, 1)),
    *(run("c", "labwright", 0, failed="RunFailed: x"), run("c", "labwright", 4, 1)),
]
"""a (1 + 0.5) / 2 = 0.75, b 0.5, c (0 + 1) / 2 = 0.5."""
OTHERS = [
    *(run("a", "react", 1), run("b", "react", 2), run("c", "react", 2)),
    *(run("a", "one_shot", 4), run("b", "one_shot", 0)),
    *(run(o, "plan_execute", 4, calls_valid=1, calls_total=4) for o in "abc"),
    *(run(o, "rules_only", n, calls_valid=0, calls_total=0) for o, n in (("a", 0), ("b", 0), ("c", 1))),
]
"""react 0.25 0.5 0.5; one_shot 1 and 0, c missing; plan_execute perfect with 3 of 12 calls valid; rules_only 0 0 0.25."""


@pytest.fixture(autouse=True)
def _whole(request, monkeypatch):
    """The tables here are small ones of made-up objectives, and whole."""
    if "interrupted" not in request.node.name:
        monkeypatch.setattr(objective_figures, "missing_cells", lambda rows: (0, len(rows)))


def test_an_interrupted_table_gives_no_figure_that_has_a_goal():
    made = figures([*OURS, *OTHERS])
    assert not set(made) & {*objective_figures.WHOLE_ONLY, "quality_gain_ratio_of_means"}
    assert made["level3_macro_labwright"]["n"] == 3
    planned = 14 * (2 + 6)
    assert made["cells_missing"]["value"] == made["cells_missing"]["n"] == planned
    cells = [
        run(one.id, workflow, 4, seed)
        for one in all_listed()
        if not one.online
        for workflow in COMPARED
        for seed in range(2 if workflow == "labwright" else 1)
    ]
    whole = figures(cells)
    assert set(objective_figures.WHOLE_ONLY) <= set(whole)
    assert "cells_missing" not in whole
    assert figures(cells[:-1])["cells_missing"]["value"] == 1


def test_nothing_measured_gives_no_figure():
    assert figures_of([], RAW) == []
    assert figures_of([{"kind": "something else", "name": "x"}], RAW) == []


def test_our_rate_is_the_mean_over_objectives_of_the_mean_over_seeds():
    """(0.75 + 0.5 + 0.5) / 3; micro (4 + 2 + 2 + 2 + 0 + 4) of 24 entries = 0.583."""
    made = figures([*OURS, *OTHERS])
    ours = made["level3_macro_gold"]
    assert (ours["value"], ours["n"]) == (0.5833, 3)
    assert 0.0 <= ours["low"] < 0.5833 < ours["high"] <= 1.0
    assert ours["note"].startswith("6 cells on 3 objectives, micro 0.583, 1 runs ended with an error; model m; ")
    assert made["level3_macro_labwright"]["value"] == 0.5833
    values = {w: (made[f"level3_macro_{w}"]["value"], made[f"level3_macro_{w}"]["n"]) for w in ("react", "one_shot", "rules_only", "plan_execute")}  # fmt: skip
    assert values == {
        "react": (0.4167, 3),
        "one_shot": (0.5, 2),
        "rules_only": (0.0833, 3),
        "plan_execute": (1.0, 3),
    }
    assert made["level3_macro_one_shot"]["low"] is None  # two objectives carry no interval


def test_the_best_baseline_is_taken_where_both_were_measured_and_invalid_callers_are_left_out():
    """one_shot 0.5 on a and b, where ours is 0.625; plan_execute is better and could not use the tools."""
    made = figures([*OURS, *OTHERS])
    best = made["best_baseline_level3"]
    assert (best["value"], best["n"]) == (0.5, 2)
    assert best["note"].startswith("one_shot; ours on the same objectives 0.625; others: react 0.417 (n 3), rules_only 0.083 (n 3)")  # fmt: skip
    assert "left out plan_execute: 0.25 of its 12 tool calls were valid, below 0.5" in best["note"]
    assert made["level3_over_best_baseline"]["value"] == 0.125
    valid = made["baseline_tool_calls_valid_min"]
    assert (valid["value"], valid["n"]) == (1.0, 12)  # react 12 of 12, one_shot 8 of 8; the lower bound comes first
    assert made["baselines_left_out"]["value"] == 1
    assert made["baselines_left_out"]["n"] == 4


def test_the_lowest_share_of_valid_calls_of_a_comparator_is_shown():
    rows = [run("a", "labwright", 4), run("a", "react", 1, calls_valid=6, calls_total=8), run("a", "one_shot", 1)]
    valid = figures(rows)["baseline_tool_calls_valid_min"]
    assert (valid["value"], valid["n"]) == (0.75, 8)
    assert valid["note"] == "react; react 6/8, one_shot 4/4"


def test_an_objective_without_all_its_seeds_enters_no_comparison():
    """b lacks the second seed that a has; with one seed everywhere, one is what the table was to have."""
    rows = [run("a", "labwright", 4), run("a", "labwright", 4, 1), run("b", "labwright", 0), run("a", "react", 1), run("b", "react", 4)]  # fmt: skip
    assert set(runs_of(rows, "labwright")) == {"a"}
    best = figures(rows)["best_baseline_level3"]
    assert (best["value"], best["n"]) == (0.25, 1)
    assert set(runs_of([r for r in rows if r["seed"] == 0], "labwright")) == {"a", "b"}


def test_gains_are_those_of_the_specification():
    """T11: ours 4 4 4 4 4 against 3 4 2 4 5."""
    rows = [run("a", "labwright", 4, quality=quality([4] * 5)), run("a", "react", 1, quality=quality([3, 4, 2, 4, 5]))]
    made = figures(rows)
    assert made["quality_code_gain_mean_of_ratios"]["value"] == 0.2267
    assert made["quality_code_gain_ratio_of_means"]["value"] == 0.1111
    assert not {n for n in made if n.startswith("quality_gain_")}


def test_judged_gains_are_there_only_when_a_judge_qualified():
    """Judged 5 against 4 throughout: 0.25 by both."""
    ours, base = quality([4] * 5, [5] * 5), quality([4] * 5, [4] * 5)
    rows = [run("a", "labwright", 4, quality=ours, judge="big"), run("a", "react", 1, quality=base, judge="big")]
    made = figures(rows)
    assert made["quality_gain_ratio_of_means"]["value"] == made["quality_gain_mean_of_ratios"]["value"] == 0.25
    assert made["quality_code_gain_ratio_of_means"]["value"] == 0.0
    unqualified = figures([{**r, "judge": ""} for r in rows])
    assert not {n for n in unqualified if n.startswith("quality_gain_")}


def test_the_baseline_of_a_gain_is_the_mean_of_the_comparators_that_wrote_a_protocol():
    """react 2 and one_shot 4 give 3; rules_only wrote none; on b ours wrote none."""
    rows = [
        *(run("a", "labwright", 4, quality=quality([4] * 5)), run("b", "labwright", 0)),
        *(run(o, "react", 1, quality=quality([2] * 5)) for o in "ab"),
        *(run(o, "one_shot", 1, quality=quality([4] * 5)) for o in "ab"),
        *(run(o, "rules_only", 1) for o in "ab"),
    ]
    ours, base = qualities(rows, ["react", "one_shot", "rules_only"], "code")
    assert (ours, base) == ({"a": [4.0] * 5}, {"a": [3.0] * 5})
    assert figures(rows)["quality_code_gain_ratio_of_means"]["n"] == 1


def test_the_ends_of_the_scale_are_told_by_their_worst_objective():
    rows = [
        {"kind": kind, "name": name, "level3_gold": value}
        for kind, name, value in (("noop", "a", 0.0), ("noop", "b", 0.25), ("reference", "a", 1.0), ("reference", "b", 0.75))
    ]  # fmt: skip
    made = figures(rows)
    assert (made["noop_score"]["value"], made["noop_score"]["note"]) == (0.25, "highest of all objectives: b")
    assert (made["reference_score"]["value"], made["reference_score"]["n"]) == (0.75, 2)


def test_the_figures_of_the_cluster():
    """Speed-ups 200 / 100 and 180 / 100: median 1.9."""
    rounds = [{"kind": "ray_speedup", "name": str(n), "one_worker_s": one, "two_workers_s": 100.0, "cells": 4, "asleep_s": 40.0, "work": "w"} for n, one in enumerate((200.0, 180.0))]  # fmt: skip
    kills = {"kind": "ray_kills", "name": "k", "kills": 10, "after_row": 5, "cells": 12, "begun": 17, "lost": 1, "doubled": 2, "work": "w"}  # fmt: skip
    made = figures([*rounds, kills])
    speedup = made["ray_speedup_2"]
    assert (speedup["value"], speedup["low"], speedup["high"], speedup["n"]) == (1.9, 1.8, 2.0, 4)
    assert "each cell waited 40.0 s for its model" in speedup["note"]
    assert (made["ray_lost_or_doubled"]["value"], made["ray_lost_or_doubled"]["n"]) == (3, 10)


def test_rows_of_another_model_and_doubled_rows_do_not_count():
    rows = [run("a", "labwright", 4), run("b", "labwright", 2), run("a", "labwright", 0, model="x"), run("a", "labwright", 4)]  # fmt: skip
    assert main_model(rows) == "m"
    assert len(cells_of(rows)) == 2
    assert (
        main_model([*rows, run("a", "labwright", 0, model="qwen2.5-coder-1.5b-instruct")])
        == "qwen2.5-coder-1.5b-instruct"
    )
    assert main_model([]) == ""


def test_the_summary_pairs_ours_with_each_comparator():
    """Differences to react 0.5, 0 and 0; to one_shot -0.25 and 0.5; to rules_only 0.75, 0.5 and 0.25."""
    made = summary([*OURS, *OTHERS])
    pairs = {p["workflow"]: p for p in made["pairs"]}
    assert set(pairs) == {"react", "one_shot", "rules_only"}
    assert pairs["react"]["difference"] == pytest.approx(0.5 / 3)
    assert pairs["react"]["p"] == 1.0  # both signs of the one difference that is not 0 are as extreme
    # one_shot: -0.25 and 0.5, mean 0.125; all of |0.125|, |0.375|, |0.375|, |0.125| are as extreme.
    assert (pairs["one_shot"]["n"], pairs["one_shot"]["difference"], pairs["one_shot"]["p"]) == (2, 0.125, 1.0)
    assert made["left_out"] == [
        {"workflow": "plan_execute", "reason": "0.25 of its 12 tool calls were valid, below 0.5"}
    ]
    ours = next(w for w in made["workflows"] if w["name"] == "labwright")
    assert (ours["macro"], ours["micro"]) == (pytest.approx(1.75 / 3), pytest.approx(14 / 24))
    assert [f["name"] for f in made["failures"]] == ["c/labwright/m/0"]
