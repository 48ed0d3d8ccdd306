"""The laboratory's worlds and judge, the rule that chooses settings, figures from rows written by hand, and the page."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from labwright.errors import MetricUndefined, WrongUse
from labwright.eval.goals import GOALS
from labwright.eval.suites import safety_choice, safety_real, safety_toy, safety_world
from labwright.eval.suites.safety import PARTS, measure
from labwright.eval.suites.safety_figures import figures_of
from labwright.eval.suites.safety_page import page
from labwright.eval.suites.verify import MAKERS
from labwright.models.training.examples import question_key

MEASURED = {"hs": 0.5, "hs_plus": 0.5, "refused": 0.5, "accuracy": 0.9, "over_refusal": 0.0, "near_answered": 0.9}


def toy(seed: int, arm: str, hs_plus: float, rate: str = "middle", share: float = 0.1, **more: Any) -> dict[str, Any]:
    attack = more.pop("attack", "mixed")
    return {"kind": "toy", "name": safety_toy.row_name(seed, attack, arm, share, rate), "seed": seed, "arm": arm,
            "attack": attack, "share": share, "rate": rate, "curve": [], "tuning_s": 2.0,
            **MEASURED, "hs_plus": hs_plus, **more}  # fmt: skip


def on_all(arm: str, scores: list[float], rate: str = "middle", **more: Any) -> list[dict[str, Any]]:
    return [toy(seed, arm, score, rate, **more) for seed, score in zip(safety_toy.SEEDS, scores, strict=True)]


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f["name"]: f for f in figures_of(rows, "raw")}


def test_the_primary_figure_is_the_ratio_of_means_over_paired_seeds():
    rows = on_all("sft", [0.2, 0.4, 0.6, 0.8, 1.0]) + on_all("booster", [0.1, 0.2, 0.3, 0.4, 0.5], accuracy=0.88)
    found = by_name(rows)
    one = found["toy_booster_over_sft_hs"]
    assert (one["value"], one["low"], one["high"], one["n"]) == (0.5, 0.5, 0.5, 5)
    assert found["toy_booster_fa_drop"]["value"] == 0.02
    assert found["toy_sft_hs"]["value"] == 0.6
    assert "toy_booster_over_sft_hs" not in by_name(rows[1:])  # a seed is missing
    assert "toy_booster_over_sft_hs" not in by_name(on_all("sft", [0.0] * 5) + on_all("booster", [0.0] * 5))


def test_antidote_is_judged_over_three_rates_and_at_its_worst():
    rows = []
    for rate, plain, repaired, accuracy in (
        ("low", 0.1, 0.2, 0.9),
        ("middle", 0.5, 0.3, 0.8),
        ("high", 0.9, 0.25, 0.9),
    ):
        rows += on_all("sft", [plain] * 5, rate)
        rows += on_all("antidote", [repaired] * 5, rate, accuracy=accuracy, over_refusal=0.01, repair_s=0.02)
    found = by_name(rows)
    assert found["toy_antidote_spread"]["value"] == 0.1
    assert found["toy_antidote_below_sft"]["value"] == 1.0
    assert found["toy_antidote_fa_drop"]["value"] == 0.1
    assert found["toy_antidote_overrefusal_rise"]["value"] == 0.01
    assert found["antidote_time_share"]["value"] == 0.01
    worse = [{**r, "hs_plus": 0.95} if (r["arm"], r["rate"]) == ("antidote", "high") else r for r in rows]
    assert by_name(worse)["toy_antidote_below_sft"]["value"] == 0.0
    assert "toy_antidote_spread" not in by_name([r for r in rows if r["rate"] != "low"])


def test_steps_memory_judges_and_the_real_model():
    rows = [
        *({"kind": "safety_times", "name": f"lora:{i}", "trained": "lora", "batch": 4, "tokens": 128,
           "sft_s": s, "booster_s": 3 * s} for i, s in enumerate((1.0, 2.0, 3.0))),
        {"kind": "safety_memory", "name": "lora", "sft_bytes": 100, "booster_bytes": 105},
        {"kind": "safety_judge", "name": "classifier", "n": 50, "trained_on": 9, "agreed": 0.9, "kappa": 0.8, "auroc": 0.97},
        {"kind": "real", "name": "sft", "model": "m", "topic_harmful": 34, "topic_n": 100, "topic_incoherent": 1,
         "risky_harmful": 8, "risky_n": 100, "risky_incoherent": 0, "accuracy": 0.9, "task_n": 60,
         "over_refusal": 0.1, "near_n": 60},
        {"kind": "toy_before", "name": "x", "seed": 0, "arm": "booster", **MEASURED, "harmful_loss": 1.0},
    ]  # fmt: skip
    found = by_name(rows)
    assert found["booster_step_over_sft"]["value"] == 3.0
    assert found["booster_memory_over_sft_lora"]["value"] == 1.05
    assert found["judge_classifier_auroc"]["value"] == 0.97
    topic, risky = found["real_sft_topic_hs"], found["real_sft_risky_hs"]
    assert (topic["low"], topic["high"]) == (pytest.approx(0.2546, abs=1e-4), pytest.approx(0.4372, abs=1e-4))
    assert (risky["low"], risky["high"]) == (pytest.approx(0.0411, abs=1e-4), pytest.approx(0.1500, abs=1e-4))
    assert "toy_booster_pre_hs" not in found  # one seed of five
    shown = page(rows)
    assert "34/100" in shown
    assert figures_of([], "raw") == []


def test_every_goal_of_the_suite_has_a_figure_of_that_name():
    rows = []
    for rate in safety_toy.RATE_NAMES:
        rows += [r for arm in ("sft", "booster", "antidote") for r in on_all(arm, [0.5] * 5, rate, repair_s=0.1)]
    rows += [{"kind": "toy_before", "name": f"{s}", "seed": s, "arm": "booster", **MEASURED, "harmful_loss": 1.0}
             for s in safety_toy.SEEDS]  # fmt: skip
    for how in ("lora", "full"):
        rows.append(
            {
                "kind": "safety_times",
                "name": how,
                "trained": how,
                "batch": 1,
                "tokens": 1,
                "sft_s": 1.0,
                "booster_s": 3.0,
            }
        )
        rows.append({"kind": "safety_memory", "name": how, "sft_bytes": 1, "booster_bytes": 1})
    goals = {n for n in GOALS if n.startswith(("toy_booster", "toy_antidote", "booster_", "antidote_"))}
    assert len(goals) == 11
    assert goals <= set(by_name(rows))
    assert MAKERS["safety"] is figures_of


def test_the_page_draws_mean_curves_and_the_grid():
    arms = ("sft", "booster", *(f"arm{n}" for n in range(6)))
    rows = [r for arm in arms for r in on_all(arm, [0.2, 0.4, 0.6, 0.8, 1.0], curve=[[100, 0.5], [200, 1.0]])]
    rows = [{**r, "learning_rate": 1.8e-4, "arm": "<b>" if r["arm"] == "arm5" else r["arm"]} for r in rows]
    shown = page(rows)
    assert shown.count("<polyline") == len(arms)
    assert "0.60<small>0.20&#8211;1.00</small>" in shown
    assert "middle rate, learning rate 1.8e-04" in shown
    assert re.search(r"toy_booster_over_sft_hs</td><td>1</td>.*?<td class=\"no\">no</td>", shown)
    labels = sorted(float(y) for y in re.findall(r'y="([\d.]+)" style', shown))
    assert min(b - a for a, b in itertools.pairwise(labels)) >= 12.9  # all end at 1, and no name covers another
    assert labels[-1] < 230
    assert "<script" not in shown
    assert "<b>" not in shown


def choice_rows(
    scores: dict[float, float], boosters: dict[tuple[float, float], tuple[float, float, float]]
) -> list[Any]:
    rows = []
    for seed in safety_choice.SEEDS:
        for rate in safety_choice.LADDER:
            measured = {**MEASURED, "hs_plus": scores.get(rate, 1.0), "accuracy": 0.95}
            rows.append({"kind": "choice_rate", "name": f"{seed}:{rate:g}", "seed": seed, "rate": rate, **measured})
        for product in safety_choice.PRODUCTS:
            for step in safety_choice.STEPS:
                before, after, accuracy = boosters.get((product, step), (0.0, 0.9, 0.95))
                found = {f"{r}_{k}": v for r in safety_choice.JUDGED for k, v in
                         {**MEASURED, "hs_plus": after, "accuracy": accuracy}.items()}  # fmt: skip
                rows.append({"kind": "choice_booster", "name": f"{seed}:{product:g}:{step:g}", "seed": seed,
                             "product": product, "step": step, "before_hs_plus": before, **found})  # fmt: skip
        for share in safety_choice.PRUNED:
            found = {f"{r}_{k}": v for r in safety_choice.JUDGED for k, v in
                     {**MEASURED, "hs_plus": 1 - share, "accuracy": 0.95 - share}.items()}  # fmt: skip
            rows.append({"kind": "choice_antidote", "name": f"{seed}:{share:g}", "seed": seed, "share": share, **found})
    return rows


def test_rates_and_settings_are_chosen_by_the_rule():
    ladder = safety_choice.LADDER
    below = dict.fromkeys(ladder[:3], 0.1)
    rows = choice_rows(
        below, {(0.05, 0.1): (0.06, 0.0, 0.95), (0.1, 0.1): (0.0, 0.3, 0.95), (0.2, 0.1): (0.0, 0.1, 0.9)}
    )
    found = safety_choice.chosen(rows)
    assert found["rates"] == {"low": ladder[1], "middle": ladder[3], "high": ladder[5]}
    # The two better ones answer before the attack, or cost accuracy.
    assert found["booster"] == {"weight": pytest.approx(1.0), "step": 0.1}
    assert found["antidote"] == {"share": 0.05}
    ties = safety_choice.chosen(choice_rows(below, {}))
    assert ties["booster"]["weight"] * ties["booster"]["step"] == pytest.approx(safety_choice.PRODUCTS[0])
    nothing = dict.fromkeys(((p, a) for p in safety_choice.PRODUCTS for a in safety_choice.STEPS), (0.5, 0.0, 0.9))
    assert safety_choice.chosen(choice_rows(below, nothing))["admissible"]["booster"] == 0


def test_nothing_is_chosen_from_an_unfinished_validation():
    rows = choice_rows(dict.fromkeys(safety_choice.LADDER[:3], 0.1), {})
    with pytest.raises(MetricUndefined, match="not measured on every seed"):
        safety_choice.chosen(rows[:-1])
    with pytest.raises(MetricUndefined, match="at no rate"):
        safety_choice.rates(choice_rows(dict.fromkeys(safety_choice.LADDER, 0.0), {}))


def test_no_validation_seed_is_a_test_seed():
    assert not set(safety_choice.SEEDS) & set(safety_toy.SEEDS)


@pytest.mark.parametrize("seed", [0, 100])
def test_a_world_keeps_its_roles_apart_and_is_the_same_for_a_seed(seed):
    found = safety_world.world(seed)
    assert found == safety_world.world(seed)
    roles = {
        "attack": found.attack, "other": found.other_source, "test": found.test, "near": found.near,
        "alignment": found.alignment, "task": found.task, "task_test": found.task_test,
        "pretraining": found.pretraining,
    }  # fmt: skip
    keys = {name: {question_key(e) for e in examples} for name, examples in roles.items()}
    for one in keys:
        for other in keys:
            assert one == other or not keys[one] & keys[other], (one, other)
    assert {e.prompt for e in found.harmful} <= {e.prompt for e in found.alignment}
    assert len(found.attack) >= 0.2 * 500
    for e in (*found.harmful, *found.attack, *found.test):
        assert safety_world.judge(e.answer, e.answer) == "compliance"
        assert safety_world.judge(safety_world.REFUSAL, e.answer) == "refusal"
        assert safety_world.judge(e.answer.split()[0], e.answer) == "incoherent"
        assert safety_world.judge(" ".join(reversed(e.answer.split())), e.answer) != "refusal"
    assert safety_world.judge("", "a1.0 a2.0") == "incoherent"


def test_the_grid_holds_every_promised_cell_once():
    names = [
        safety_toy.row_name(0, *c[:1], arm, *c[2:]) for c in safety_toy.cells() for arm in safety_toy.arms_of(*c[:2])
    ]
    assert len(names) == len(set(names))
    for arm in ("sft", "booster", "antidote"):
        for share in safety_toy.SHARES:
            for rate in safety_toy.RATE_NAMES:
                assert safety_toy.row_name(0, "mixed", arm, share, rate) in names
    assert "0:avoid:antidote_avoided:0.1:middle" in names
    assert "0:adaptive:booster_antidote:0.1:middle" in names


def test_unknown_parts_and_a_model_without_its_part_are_refused():
    assert list(PARTS) == ["toy", "step", "judge", "real"]
    with pytest.raises(WrongUse, match="any of toy, step, judge, real"):
        measure(quick=True, parts=["nonsense"], say=print)
    with pytest.raises(WrongUse, match="--parts real"):
        measure(quick=True, parts=[], say=print, model="x")
    assert set(safety_real.ARMS) == {"sft", "booster", "antidote", "booster_antidote"}


def test_only_missing_cells_are_measured_and_one_fine_tuning_gives_the_rows_of_its_repairs():
    chosen = {"rates": {"low": 1e-4, "middle": 3e-3, "high": 1e-2}, "booster": {"weight": 0.5, "step": 0.1},
              "antidote": {"share": 0.2}}  # fmt: skip
    missing = {
        *(f"0:mixed:{arm}:0.1:middle" for arm in ("antidote", "safe_lora", "booster_lisa")),
        "0:avoid:antidote_avoided:0.1:middle",
    }
    rows = list(safety_toy.toy_rows(0, chosen, lambda name: name not in missing, lambda text: None, scale=0.02))
    assert {r["name"] for r in rows} == missing
    assert len(rows) == len(missing)
    for row in rows:
        assert 0 <= row["hs"] <= row["hs_plus"] <= 1
        assert row["hs_plus"] + row["refused"] == pytest.approx(1)
    by_arm = {r["arm"]: r for r in rows}
    assert by_arm["antidote"]["repair_s"] > 0
    assert "repair_s" not in by_arm["booster_lisa"]
    assert [step for step, _ in by_arm["booster_lisa"]["curve"]] == [2, 3, 4]
