"""Figures of the fusion benchmark from rows written by hand, and the toy's data."""

from __future__ import annotations

from typing import Any

import pytest

from labwright.errors import WrongUse
from labwright.eval.goals import GOALS
from labwright.eval.suites import fusion_toy
from labwright.eval.suites.fusion import PARTS, measure
from labwright.eval.suites.fusion_figures import figures_of

NAMES = fusion_toy.NAMES


def toy(seed: int, condition: str, own: float, share: float = 0.3, drift: float = 1.0) -> dict[str, Any]:
    same = {key: dict.fromkeys(NAMES, value) for key, value in (("own_share", own), ("share", share), ("drift", drift))}
    return {"kind": "toy", "name": f"{seed}:{condition}", "seed": seed, "condition": condition, **same}


def dialled(seed: int, drifts: list[float], shares: list[float]) -> list[dict[str, Any]]:
    rows = [toy(seed, "no_gate", 0.3, shares[0], drifts[0])]
    for name in NAMES:
        for gamma, drift, share in zip(fusion_toy.GAMMAS[1:], drifts[1:], shares[1:], strict=True):
            rows.append(toy(seed, f"gamma:{name}:{gamma:g}", 0.3, share, drift))
    return rows


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f["name"]: f for f in figures_of(rows, "raw")}


def test_router_shares_with_and_without_the_gate() -> None:
    found = by_name([toy(s, "gate", own) for s, own in enumerate((0.9, 1.0, 0.95))] + [toy(0, "no_gate", 0.34)])
    assert found["toy_router_share"]["value"] == 0.95
    assert found["toy_router_share"]["n"] == 3
    assert "least of all 0.900" in found["toy_router_share"]["note"]
    assert found["toy_router_share_ungated"]["value"] == 0.34


def test_dials_are_monotone_only_when_drift_and_share_fall_at_every_step() -> None:
    falling = by_name(dialled(0, [4.0, 3.0, 2.0, 1.0], [0.4, 0.3, 0.2, 0.1]))
    assert falling["toy_gamma_monotone"]["value"] == 1.0
    assert falling["toy_gamma_steps"]["value"] == 1.0
    assert falling["toy_gamma_steps"]["n"] == 9
    risen = by_name(dialled(0, [4.0, 3.0, 2.0, 1.0], [0.4, 0.3, 0.35, 0.1]))
    assert risen["toy_gamma_monotone"]["value"] == 0.0
    assert risen["toy_gamma_steps"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    still = by_name(dialled(0, [4.0, 3.0, 3.0, 1.0], [0.4, 0.3, 0.2, 0.1]))
    assert still["toy_gamma_monotone"]["value"] == 0.0


def test_an_unfinished_series_of_dials_makes_no_figure() -> None:
    assert "toy_gamma_monotone" not in by_name(dialled(0, [4.0, 3.0, 2.0, 1.0], [0.4, 0.3, 0.2, 0.1])[:3])


def test_times_are_paired_ratios_and_memory_is_over_base_and_two_sets_of_blocks() -> None:
    shape = {"kind": "fusion_times", "batch": 4, "tokens": 128}
    pairs = [
        {**shape, "name": str(i), "dense_s": d, "fused_s": 1.5 * d, "three_s": 3 * d} for i, d in enumerate((1, 2, 4))
    ]
    memory = {"kind": "fusion_memory", "name": "x", "dense_bytes": 500, "blocks_bytes": 250, "fused_bytes": 1100}
    found = by_name([*pairs, memory])
    assert found["forward_over_dense"]["value"] == 1.5
    assert found["forward_over_three"]["value"] == 0.5
    assert found["memory_over_bound"]["value"] == 1.1


def test_every_goal_has_a_figure_of_that_name() -> None:
    shape = {"kind": "fusion_times", "name": "0", "batch": 4, "tokens": 1, "dense_s": 1, "fused_s": 1, "three_s": 3}
    memory = {"kind": "fusion_memory", "name": "x", "dense_bytes": 5, "blocks_bytes": 2, "fused_bytes": 9}
    rows = [toy(0, "gate", 1.0), *dialled(0, [4.0, 3, 2, 1], [0.4, 0.3, 0.2, 0.1]), shape, memory]
    goals = {"toy_router_share", "toy_gamma_monotone", "forward_over_dense", "forward_over_three", "memory_over_bound"}
    assert goals <= set(by_name(rows)) & set(GOALS)
    assert figures_of([], "raw") == []


def test_the_toy_keeps_its_parts_apart_and_its_styles_right() -> None:
    data = fusion_toy.toy_data(3)
    assert len(data.train) == 3 * fusion_toy.TRAIN
    assert len(data.heldout) == 3 * fusion_toy.HELDOUT
    assert not {e.prompt for e in data.train} & {e.prompt for e in data.heldout}
    assert data == fusion_toy.toy_data(3)
    assert data != fusion_toy.toy_data(4)
    for example in data.train:
        name, *words = example.prompt.split()
        assert name == example.property
        said = {"helpful": words, "harmless": ["no"] * 4, "honest": words[::-1]}[name]
        assert example.answer == " ".join(said)


def test_conditions_name_every_dial_once() -> None:
    names = [name for name, *_ in fusion_toy.conditions()]
    assert len(names) == len(set(names)) == 2 + 3 * (len(fusion_toy.GAMMAS) - 1)


def test_an_unknown_part_is_refused() -> None:
    assert list(PARTS) == ["toy", "speed", "real", "run"]
    with pytest.raises(WrongUse, match="any of toy, speed, real, run"):
        measure(quick=True, parts=["nonsense"], say=print)
