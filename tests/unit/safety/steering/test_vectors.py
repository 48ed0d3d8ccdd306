"""Shift vectors and their aggregates; the numbers are the specification's test vectors (four anchors, three widths)."""

from __future__ import annotations

import pytest
import torch

from labwright.errors import HashMismatch, MetricUndefined, ModelMissing, WrongUse
from labwright.safety.steering.extraction import split_anchors
from labwright.safety.steering.vectors import AGGREGATES, ShiftVectors, aggregate, deviation, principal

TEXT = torch.tensor([[1.0, 0, 2], [0, 1, 1], [2, 1, 0], [1, 1, 1]])
CORRUPTED = torch.tensor([[3.0, 1, 2], [1, 1, 2], [5, 2, 1], [2, 1, 3]])
DELTAS = TEXT - CORRUPTED


def near(*numbers: float):
    return pytest.approx(numbers, abs=1e-5)


def test_the_mean_points_from_corrupted_to_text():
    assert aggregate(DELTAS).tolist() == near(-1.75, -0.5, -1.0)


def test_the_centred_component_has_the_sign_of_the_mean():
    component = principal(DELTAS, centred=True)
    assert (-component).tolist() == near(0.728917, 0.468534, -0.499154)
    assert deviation(DELTAS) == pytest.approx(1.210917, abs=1e-5)
    assert aggregate(DELTAS, "pc_unit").tolist() == component.tolist()
    assert aggregate(DELTAS, "pc_sigma").tolist() == near(*(1.210917 * component).tolist())
    assert aggregate(DELTAS, "pc_mean_abs").tolist() == near(*(1.030532 * component).tolist())
    # With h = (4, 2, 1) this is the specification's T5.
    steered = torch.tensor([4.0, 2, 1]) + aggregate(DELTAS, "pc_mean")
    assert steered.tolist() == near(3.26327, 1.526444, 1.504504)


def test_the_uncentred_component_keeps_the_mean():
    component = principal(DELTAS, centred=False)
    assert (-component).tolist() == near(0.870078, 0.273592, 0.410015)
    mean = DELTAS.mean(dim=0)
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(aggregate(DELTAS, "pc_uncentred"), mean, dim=0) > cosine(principal(DELTAS, centred=True), mean, dim=0)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_every_component_is_on_the_side_of_the_mean(alpha):
    assert all(float(aggregate(DELTAS, how) @ DELTAS.mean(dim=0)) >= 0 for how in AGGREGATES)
    h = torch.tensor([4.0, 2, 1]) + alpha * aggregate(DELTAS)
    assert h.tolist() == near(4 - 1.75 * alpha, 2 - 0.5 * alpha, 1 - alpha)


def test_what_has_no_aggregate_is_said():
    with pytest.raises(WrongUse, match="one of mean, pc_unit"):
        aggregate(DELTAS, "median")  # type: ignore[arg-type]
    with pytest.raises(MetricUndefined, match="no anchor"):
        aggregate(DELTAS[:0])
    with pytest.raises(MetricUndefined, match="two anchors whose shifts differ"):
        aggregate(DELTAS[:1].repeat(3, 1), "pc_unit")
    assert aggregate(DELTAS[:1]).tolist() == DELTAS[0].tolist()


def test_vectors_are_read_back_and_refused_for_another_model(tmp_path):
    made = ShiftVectors({0: DELTAS[0], 3: DELTAS[1]}, "vlm@abc", "mean", "blank", 4, {0: 1.5}, {0: 2.5, 3: 1.0})
    made.save(tmp_path / "v")
    found = ShiftVectors.load(tmp_path / "v", "vlm@abc")
    assert {layer: v.tolist() for layer, v in found.layers.items()} == {0: DELTAS[0].tolist(), 3: DELTAS[1].tolist()}
    assert (found.aggregate, found.corruption, found.n_anchor, found.sigma) == ("mean", "blank", 4, {0: 1.5})
    assert found.lengths == {0: 2.5, 3: 1.0}
    with pytest.raises(HashMismatch, match=r"of vlm@abc, not of other@def"):
        ShiftVectors.load(tmp_path / "v", "other@def")
    with pytest.raises(ModelMissing, match="no shift vectors"):
        ShiftVectors.load(tmp_path / "nothing")
    (tmp_path / "v" / "shift.safetensors").write_bytes(b"no weights")
    with pytest.raises(HashMismatch, match="damaged"):
        ShiftVectors.load(tmp_path / "v")


def test_anchors_and_test_prompts_are_disjoint_and_of_the_stated_sizes():
    for n, wanted in ((1110, (222, 888)), (330, (66, 264))):
        anchors, tested = split_anchors([f"p{i}" for i in range(n)])
        assert (len(anchors), len(tested)) == wanted
        assert not set(anchors) & set(tested)
    with pytest.raises(WrongUse, match="occurs twice"):
        split_anchors(["a", "a", "b"])
    with pytest.raises(WrongUse, match="leaves no anchor"):
        split_anchors(["a", "b"])
