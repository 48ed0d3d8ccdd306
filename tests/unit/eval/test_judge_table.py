"""Strata, intervals and reasons of the result table."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from labwright.errors import WrongUse
from labwright.eval.judge_batch import resampled_sums
from labwright.eval.judge_labels import checked
from labwright.eval.judge_perception import jsb
from labwright.eval.judge_reliability import reliability, stratify
from labwright.eval.judge_table import Settings


def noisy(n: int, seed: int = 0, raters: int = 5):
    """Ordinal data with a judge that is one off for half of the labels."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, 6, (n, 1))
    human = np.clip(truth + rng.integers(-1, 2, (n, raters)), 1, 5)
    machine = np.clip(truth + rng.integers(0, 2, (n, raters)), 1, 5)
    return checked(human.tolist(), machine.tolist(), range(1, 6), "ordinal")


def settings(data, **more):
    return Settings(kind=data.kind, labels=data.labels, **more)


def test_weights_of_resamples_are_those_of_drawing_items():
    """With features 1 and i, a resample of n items sums to n and to the drawn indices; its mean is that of the items."""
    n, resamples = 50, 4000
    features = np.column_stack([np.ones(n), np.arange(n)])
    sums = np.vstack(list(resampled_sums(features, resamples, seed=3)))
    assert sums.shape == (resamples, 2)
    assert (sums[:, 0] == n).all()
    means = sums[:, 1] / n
    assert means.mean() == pytest.approx(24.5, abs=0.15)
    assert means.std() == pytest.approx(np.arange(n).std() / np.sqrt(n), rel=0.05)


def test_intervals_hold_the_estimate_and_narrow_with_the_items():
    widths = []
    for n in (60, 960):
        data = noisy(n)
        found = stratify(data, settings(data, resamples=500))[0]["figures"]
        for name in ("alpha_HH", "alpha_HM", "alpha_diff", "jsb"):
            assert found[name].low <= found[name].value <= found[name].high, name
        widths.append(found["alpha_HM"].high - found["alpha_HM"].low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.5)


def test_the_interval_covers_the_alpha_of_the_population():
    """Of 60 samples of 100 items, about 95 % have the alpha of a very large sample in their interval."""
    large = noisy(20_000, seed=99)
    truth = stratify(large, settings(large, resamples=0))[0]["figures"]["alpha_HM"].value
    held = 0
    for seed in range(60):
        data = noisy(100, seed=seed)
        f = stratify(data, settings(data, resamples=300))[0]["figures"]["alpha_HM"]
        held += f.low <= truth <= f.high
    assert held >= 52


def test_the_same_seed_gives_the_same_document():
    data = noisy(80)
    first, second = (json.dumps(reliability(data, settings=settings(data, resamples=50, seed=7))) for _ in range(2))
    assert first == second


def test_every_null_in_the_document_has_a_reason():
    data = checked([[1, 1], [2, 3]], [[1], [2]], range(1, 5), "ordinal")
    document = reliability(data)
    figures = [f for row in document["rows"] for f in row["figures"].values()]
    assert any(f["value"] is None for f in figures)
    assert all(f["value"] is not None or f["reason"] for f in figures)
    assert all(b["jsd"] is not None or b["reason"] for b in document["perception"]["bins"])


def test_people_alone_give_their_own_agreement_and_say_that_there_is_no_judge():
    data = checked([[1, 2], [2, 2], [3, 3]], [[], [], []], range(1, 4), "ordinal")
    found = stratify(data, settings(data))[0]["figures"]
    assert found["alpha_HH"].value is not None
    for name in ("alpha_MM", "alpha_HM", "alpha_diff", "spearman_medians", "jsb"):
        assert found[name].value is None
        assert found[name].reason == "no label of a judge", name


def test_strata_keep_their_order_and_empty_ones_stay():
    data = noisy(40)
    rows = stratify(data, settings(data, resamples=0), share_bins=((0, 60), (60, 100)))
    assert [r["name"] for r in rows] == [
        "All", *(f"distinct = {u}" for u in range(1, 6)), "share [0, 60)", "share [60, 100)",
    ]  # fmt: skip
    assert sum(r["size"] for r in rows if r["by"] == "distinct") == 40
    assert next(r for r in rows if r["name"] == "distinct = 5")["size"] == 0
    assert all(r["small"] == (r["size"] < 30) for r in rows)


def test_a_share_bin_that_is_no_range_is_refused():
    data = noisy(5)
    with pytest.raises(WrongUse, match="60:20"):
        stratify(data, settings(data), share_bins=((60, 20),))


def test_halves_of_medians_go_where_they_are_told():
    data = checked([[1, 2], [2, 2]], [[2], [2]], range(1, 3), "ordinal")
    weights = {h: [b["weight"] for b in jsb(data, half=h).bins] for h in ("drop", "floor", "round_half_up", "split")}
    assert weights == {"drop": [0, 0.5], "floor": [0.5, 0.5], "round_half_up": [0, 1], "split": [0.25, 0.75]}
    assert jsb(data, half="split").coverage == 1.0


def test_a_coin_that_beats_people_is_pointed_out():
    rng = np.random.default_rng(0)
    people = [("a", "b") if i % 10 else ("a", "a") for i in range(200)]
    data = checked(people, [(x,) for x in rng.choice(["a", "b"], 200)], ("a", "b"), "categorical")
    document = reliability(data, settings=settings(data, resamples=0))
    assert document["rows"][0]["random_beats_people"]
    assert any("random labeller" in w for w in document["warnings"])


def test_ten_thousand_items_with_two_thousand_resamples_take_seconds():
    """The goal is ten seconds on two cores; the bound leaves room for a busy machine."""
    data = noisy(10_000)
    started = time.perf_counter()
    document = reliability(data)
    assert time.perf_counter() - started < 30
    assert document["rows"][0]["figures"]["alpha_HM"]["low"] is not None
