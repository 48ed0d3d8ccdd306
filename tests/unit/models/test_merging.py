"""Merging in weight space, against sums made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_mixtures import write_adapter, write_base
from transformers import AutoModelForCausalLM

from labwright.errors import WrongUse
from labwright.models.checkpoints import load_checkpoint
from labwright.models.merging import METHODS, MergeSettings, Method, merge_folder, merge_task_vectors

TAU = [
    torch.tensor([[4.0, -1, 0], [2, 3, -6]]),
    torch.tensor([[-2.0, 5, 1], [0, 3, -3]]),
    torch.tensor([[1.0, 0, -8], [6, -1, 2]]),
]


def merged(method: Method, **settings: float) -> list[list[float]]:
    return merge_task_vectors(TAU, MergeSettings(method=method, **settings), "w").tolist()  # type: ignore[arg-type]


def test_average_and_task_arithmetic() -> None:
    assert merged("average") == [
        [pytest.approx(1.0), pytest.approx(4 / 3), pytest.approx(-7 / 3)],
        [pytest.approx(8 / 3), pytest.approx(5 / 3), pytest.approx(-7 / 3)],
    ]
    assert merged("task_arithmetic", scale=0.5) == [[1.5, 2.0, -3.5], [4.0, 2.5, -3.5]]
    assert merged("task_arithmetic") == [[pytest.approx(0.4 * v) for v in row] for row in [[3, 4, -7], [8, 5, -7]]]


def test_ties_trims_elects_and_averages_what_agrees() -> None:
    # density 1/2 keeps three entries of six: {4, 3, -6}, {5, 3, -3} (a tie at 3 is not cut), {-8, 6, 2}
    expected = [[4.0, 5.0, -8.0], [6.0, 3.0, (-6 - 3) / 2]]
    assert merged("ties", density=0.5) == expected
    assert merged("ties", density=0.5, scale=2.0) == [[2 * v for v in row] for row in expected]
    # Without trimming: signs of the sums are + + - / + + -
    assert merged("ties", density=1.0) == [[2.5, 5.0, -8.0], [4.0, 3.0, -4.5]]


@pytest.mark.parametrize("method", ["dare_linear", "dare_ties"])
def test_dare_drops_by_its_seed_and_rescales(method: Method) -> None:
    big = [torch.ones(200, 200)]
    settings = MergeSettings(method=method, density=0.25, scale=1.0, seed=3)
    one = merge_task_vectors([*big, torch.zeros(200, 200)], settings, "w")
    assert set(one.unique().tolist()) == {0.0, 4.0}
    assert one.mean().item() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(one, merge_task_vectors([*big, torch.zeros(200, 200)], settings, "w"))
    for other in (MergeSettings(method=method, density=0.25, scale=1.0, seed=4), settings):
        name = "w" if other.seed == 4 else "another"
        assert not torch.equal(one, merge_task_vectors([*big, torch.zeros(200, 200)], other, name))


def test_dare_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    merged("dare_linear")
    assert torch.equal(torch.rand(1), expected)


def test_dare_that_drops_nothing_is_the_method_that_follows() -> None:
    assert merged("dare_linear", density=1.0, scale=0.5) == merged("task_arithmetic", scale=0.5)
    assert merged("dare_ties", density=1.0) == merged("ties", density=1.0)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"method": "soup"}, "one of average"),
        ({"method": "ties", "density": 0.0}, "above 0"),
        ({"method": "average", "scale": 0.5}, "has no scale"),
        ({"method": "task_arithmetic", "density": 0.5}, "keeps every entry"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(WrongUse, match=why):
        merge_task_vectors(TAU, MergeSettings(**settings))  # type: ignore[arg-type]


def test_one_model_is_no_merge() -> None:
    with pytest.raises(WrongUse, match="two or more"):
        merge_task_vectors(TAU[:1], MergeSettings(method="average"))


def test_models_merged_into_a_folder(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    sources = {n: str(write_adapter(tmp_path / n, base, s)) for s, n in enumerate(("helpful", "honest"))}
    for method in METHODS:
        record = merge_folder(str(base), sources, MergeSettings(method=method), tmp_path / method)
        assert record["changed"] == 6
    name = "model.layers.0.mlp.down_proj.weight"
    start = AutoModelForCausalLM.from_pretrained(base).get_parameter(name)
    mean = sum(load_checkpoint(s).model.get_parameter(name) for s in sources.values()) / 2
    found = load_checkpoint(str(tmp_path / "average")).model
    torch.testing.assert_close(found.get_parameter(name), mean, atol=1e-6, rtol=1e-5)
    assert torch.equal(
        found.get_parameter("lm_head.weight"),
        AutoModelForCausalLM.from_pretrained(base).get_parameter("lm_head.weight"),
    )
    assert not torch.equal(found.get_parameter(name), start)
    with pytest.raises(WrongUse, match="not empty"):
        merge_folder(str(base), sources, MergeSettings(method="average"), tmp_path / "average")
