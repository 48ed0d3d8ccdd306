"""Figures from rows: every expected value is computed by hand beside it."""

from __future__ import annotations

from typing import Any

import pytest

from labwright.eval.suites.figures import bootstrap, figures_of, points

RAW = "docs/benchmarks/raw/x.jsonl"


def figures(*rows: dict[str, Any]) -> dict[str, dict[str, Any]]:
    made = figures_of(rows, RAW)
    assert len({f["name"] for f in made}) == len(made)
    return {f["name"]: f for f in made}


def objective(name: str, rate: float, **more: Any) -> dict[str, Any]:
    return {"kind": "objective", "name": name, "level3_gold": rate, **more}


def measured(name: str, seconds: float, **more: Any) -> dict[str, Any]:
    values = {
        "prompt_tokens_evaluated": seconds * 10,
        "generated_tokens": seconds * 2,
        "overhead_share": seconds / 10_000,
        "checkpoint_max_kib": seconds / 10,
    }
    return objective(name, 1.0, seconds=seconds, **{**values, **more})


def choice(kind: str, name: str, three: tuple[float, float, float], *, answerable: bool = True, refused: bool = False):
    names = ("dataset_points", "operator_points", "paper_points")
    scores = dict(zip(names, three, strict=True))
    return {"kind": f"choice_{kind}", "name": name, "answerable": answerable, "refused": refused, **scores}


def test_nothing_measured_gives_no_figure():
    assert figures_of([], RAW) == []


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (objective("a:0", 0.5), {"level3_rate_gold", "level3_tasks"}),
        (choice("model", "c1", (1, 1, 1)), set()),
        (choice("rules", "c1", (1, 1, 1)), set()),
        ({"kind": "kills", "name": "k", "kills": 3, "repeated": 0, "requests": 9, "in_flight": 1}, {"calls_repeated_after_kill"}),
        ({"kind": "something else", "name": "x"}, set()),
    ],
)  # fmt: skip
def test_a_figure_whose_rows_are_missing_is_absent(row, names):
    assert set(figures(row)) == names


def test_every_figure_says_where_its_rows_are_and_has_all_fields():
    made = figures(measured("a:0", 100), choice("model", "c", (1, 1, 1)), choice("rules", "c", (0, 1, 1)))
    fields = {"name", "value", "unit", "n", "low", "high", "note", "raw"}
    assert all(set(f) == fields and f["raw"] == RAW for f in made.values())


def test_the_rate_is_the_mean_over_objectives_of_the_mean_over_seeds():
    """a (0.5 + 1) / 2 = 0.75, b 0.25, c 1: 2 / 3. Resampled means of three values reach both extremes: 1/27 > 2.5 %."""
    made = figures(objective("a:0", 0.5), objective("a:1", 1.0), objective("b:0", 0.25), objective("c:0", 1.0))
    rate = made["level3_rate_gold"]
    assert (rate["value"], rate["n"], rate["low"], rate["high"]) == (0.6667, 3, 0.25, 1.0)
    assert rate["note"] == "a 0.50 1.00; b 0.25; c 1.00"


def test_a_run_that_never_started_counts_as_nothing_done():
    """(1 + 0) / 2; it has no seconds, so it enters no median."""
    failed = {**objective("b:0", 0.0), "failed": "NoUsableData: none", "outputs": []}
    made = figures(measured("a:0", 100), failed)
    assert made["level3_rate_gold"]["value"] == 0.5
    assert made["seconds"]["n"] == 1
    assert made["level3_rate_gold"]["low"] is None  # two values carry no interval


def test_tasks_are_those_of_the_first_metastasis_run_else_of_the_first():
    rows = [objective("a:0", 1.0, level3_tasks=7), objective("metastasis_signature:0", 1.0, level3_tasks=3),
            objective("metastasis_signature:1", 1.0, level3_tasks=4)]  # fmt: skip
    tasks = figures(*rows)["level3_tasks"]
    assert (tasks["value"], tasks["n"], tasks["note"]) == (3.0, 1, "metastasis_signature:0")
    assert figures(rows[0])["level3_tasks"]["value"] == 7.0
    assert figures(objective("a:0", 0.0))["level3_tasks"]["value"] == 0.0


def test_the_share_that_the_model_decided_leaves_out_runs_that_asked_none():
    """(0.9 + 0.6) / 2 = 0.75."""
    shares = [0.9, None, 0.6]
    made = figures(*(objective(f"{i}:0", 1.0, model_share=s) for i, s in enumerate(shares)))["model_decided_share"]
    assert (made["value"], made["n"]) == (0.75, 2)
    assert "model_decided_share" not in figures(objective("a:0", 1.0, model_share=None))


def test_economy_is_the_median_with_the_extremes():
    made = figures(measured("a:0", 300), measured("b:0", 100), measured("c:0", 140), measured("d:0", 200))
    expected = {  # median of 100, 140, 200, 300 = 170
        "seconds": (170, 100, 300, "s"),
        "prompt_tokens_evaluated": (1700, 1000, 3000, "tokens"),
        "generated_tokens": (340, 200, 600, "tokens"),
        "overhead_share": (0.017, 0.01, 0.03, "share"),
    }
    assert {n: (f["value"], f["low"], f["high"], f["unit"]) for n, f in made.items() if n in expected} == expected
    assert (made["checkpoint_max_kib"]["value"], made["checkpoint_max_kib"]["n"]) == (30.0, 4)


def test_points_are_the_mean_of_the_three():
    assert points(choice("model", "c", (1, 0.5, 0.75))) == 0.75


def test_the_model_is_compared_with_the_rules_objective_by_objective():
    """Gains 0.75 - 0.25 = 0.5, 1 - 1 = 0, 0 - 0.1 = -0.1; mean 0.4 / 3. c4 was not asked of the rules."""
    rows = [
        choice("model", "c1", (1, 0.5, 0.75)), choice("rules", "c1", (0, 0.5, 0.25)),
        choice("model", "c2", (1, 1, 1)), choice("rules", "c2", (1, 1, 1)),
        choice("rules", "c3", (0, 0.3, 0)), choice("model", "c3", (0, 0, 0)),
        choice("model", "c4", (1, 1, 1)),
    ]  # fmt: skip
    made = figures(*rows)
    assert "model_over_rules_points" not in figures(*rows, choice("rules", "c5", (0, 0, 0)))  # unfinished
    gain = made["model_over_rules_points"]
    assert (gain["value"], gain["n"], gain["low"], gain["high"]) == (0.1333, 3, -0.1, 0.5)
    # Data sets (1 + 1 + 0) / 3 against (0 + 1 + 0) / 3, analyses 1.5 / 3 against 1.8 / 3, papers 1.75 / 3 against 1.25 / 3.
    assert gain["note"] == (
        "dataset_points 0.67 against 0.33, operator_points 0.50 against 0.60, paper_points 0.58 against 0.42"
    )
    assert "unanswerable_refused_share" not in made


def test_unanswerable_objectives_count_for_refusal_only():
    rows = [choice("model", "c1", (1, 1, 1)), choice("rules", "c1", (1, 1, 1))]
    for name, by_model, by_rules in (
        ("u1", True, False),
        ("u2", True, True),
        ("u3", False, False),
        ("u4", True, False),
    ):
        rows += [
            choice("model", name, (float(by_model),) * 3, answerable=False, refused=by_model),
            choice("rules", name, (float(by_rules),) * 3, answerable=False, refused=by_rules),
        ]
    made = figures(*rows)
    share = made["unanswerable_refused_share"]
    assert (share["value"], share["n"], share["note"]) == (0.75, 4, "rules alone 0.25")
    assert (made["model_over_rules_points"]["value"], made["model_over_rules_points"]["n"]) == (0.0, 1)


def test_of_several_rows_of_kills_the_last_counts():
    row = {"kind": "kills", "name": "k", "kills": 20, "repeated": 0, "requests": 400, "in_flight": 3}
    made = figures({**row, "repeated": 9}, row)["calls_repeated_after_kill"]
    assert (made["value"], made["n"]) == (0, 20)
    assert made["note"] == "3 replies were in flight at a kill; 400 requests in all"


@pytest.mark.parametrize("values", [[], [0.5], [0.1, 0.9]])
def test_fewer_than_three_values_carry_no_interval(values):
    assert bootstrap(values) == (None, None)


def test_the_interval_of_equal_values_is_the_value():
    assert bootstrap([0.4] * 5) == (0.4, 0.4)


def test_the_interval_is_that_of_the_normal_approximation_where_it_holds():
    """0 to 99: mean 49.5, standard deviation sqrt(9999 / 12) = 28.866; 1.96 * 28.866 / 10 = 5.658."""
    low, high = bootstrap(list(range(100)))
    assert low == pytest.approx(49.5 - 5.658, abs=0.6)
    assert high == pytest.approx(49.5 + 5.658, abs=0.6)


def test_the_interval_is_the_same_each_time():
    values = [0.1, 0.5, 0.7, 0.9]
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(list(range(9)), seed=1) != bootstrap(list(range(9)), seed=2)
