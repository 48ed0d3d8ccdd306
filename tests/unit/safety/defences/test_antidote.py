"""Antidote's scores, masks and counts by hand, and on a small language model with adapters and without.

The numbers were computed in float64 from section 2 of arXiv 2408.09600 and the rounding of its released code.
"""

from __future__ import annotations

import pytest
import tiny_models
import torch
from torch import nn

from labwright.errors import TrainingRefused
from labwright.models.checkpoints import load_checkpoint
from labwright.models.training.config import LoraSettings, TrainingConfig
from labwright.models.training.encoding import encode
from labwright.models.training.examples import Example
from labwright.models.training.preparation import prepare_model
from labwright.safety.defences.antidote import (
    AntidoteSettings,
    activity,
    antidote,
    apply_masks,
    masks_of,
    prunable,
)

W = torch.tensor([[0.5, -1, 0.2, 0], [-0.3, 0.4, 0.9, -0.8], [1.2, 0.1, -0.6, 0.7]])
SAMPLES = ([[1.0, 0, 2, -1], [2, 1, -1, 0]], [[0.0, 3, 1, 4], [1, -1, 0, 2], [1, 0, 0, 0]])
RMS = torch.tensor([[0.935414, 2.345208, 0.346410, 0], [0.561249, 0.938083, 1.558846, 2.592296],
                    [2.244994, 0.234521, 1.039230, 2.268259]])  # fmt: skip


class Fed(nn.Module):
    """A linear layer whose inputs are looked up by token id, padding included."""

    def __init__(self):
        super().__init__()
        rows = [*SAMPLES[0], *SAMPLES[1], [100.0] * 4]  # the last stands for padding
        self.inputs = nn.Embedding.from_pretrained(torch.tensor(rows))
        self.q_proj = nn.Linear(4, 3, bias=False)
        self.q_proj.weight.data.copy_(W)

    def forward(self, input_ids, attention_mask, use_cache):
        ids = torch.where(attention_mask.bool(), input_ids, torch.tensor(5))
        return self.q_proj(self.inputs(ids))


def encoded():
    from labwright.models.training.encoding import Encoded

    return [Encoded(ids, ids, "", str(ids)) for ids in ((0, 1), (2, 3, 4))]


@pytest.mark.parametrize("size", [1, 2])
def test_activity_is_over_real_tokens_of_samples_in_both_definitions(size):
    model = Fed()
    found = activity(model, prunable(model), encoded(), batch_size=size)["q_proj"]
    assert found.tolist() == pytest.approx([1.870829, 2.345208, 1.732051, 3.240370], abs=1e-6)
    torch.testing.assert_close(W.abs() * found, RMS, atol=1e-6, rtol=0)
    found = activity(model, prunable(model), encoded(), aggregate="mean", batch_size=size)["q_proj"]
    assert found.tolist() == pytest.approx([1.825141, 2.081139, 1.618034, 2.736068], abs=1e-6)
    assert not model.q_proj._forward_pre_hooks


@pytest.mark.parametrize(
    ("share", "mask"),
    [
        (0.25, [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]),
        (0.5, [[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1]]),
        (0.0, [[0] * 4] * 3),
        (1.0, [[1] * 4] * 3),
    ],
)
def test_rows_lose_their_highest_scores(share, mask):
    assert masks_of({"w": RMS}, share)["w"].int().tolist() == mask


def test_a_layer_loses_its_highest_scores_wherever_they_are():
    assert masks_of({"w": RMS}, 0.5, "layer")["w"].int().tolist() == [[0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 1]]


def test_all_layers_together_lose_their_highest_scores():
    two = {"low": RMS * 0.01, "high": RMS}
    masks = masks_of(two, 0.25, "global")
    assert masks["low"].sum() == 0
    assert masks["high"].sum() == 6
    assert torch.equal(masks["high"], masks_of({"w": RMS}, 0.5, "layer")["w"])


@pytest.mark.parametrize(
    ("inputs", "share", "count"),
    [(4, 0.1, 1), (4, 0.3, 2), (8, 0.125, 1), (8, 0.01, 1), (256, 0.01, 3), (256, 0.05, 13), (256, 0.1, 26),
     (256, 0.25, 64), (4096, 0.01, 41), (4096, 0.05, 205), (4096, 0.1, 410), (576, 0.01, 6), (576, 0.05, 29),
     (576, 0.1, 58), (576, 0.25, 144), (4096, 1e-5, 1)],
)  # fmt: skip
def test_the_count_of_a_row_is_rounded_as_in_the_released_code(inputs, share, count):
    mask = masks_of({"w": torch.rand(2, inputs)}, share)["w"]
    assert mask.sum(1).tolist() == [count, count]


def test_the_whole_way_tells_the_two_definitions_apart():
    pruned = {}
    for aggregate in ("rms", "mean"):
        model = Fed()
        antidote(model, encoded(), AntidoteSettings(share=0.25, aggregate=aggregate))
        pruned[aggregate] = model.q_proj.weight
    expected = torch.tensor([[0.5, 0, 0.2, 0], [-0.3, 0.4, 0.9, 0], [1.2, 0.1, -0.6, 0]])
    torch.testing.assert_close(pruned["rms"], expected, rtol=0, atol=0)
    assert pruned["mean"][2].tolist() == pytest.approx([0, 0.1, -0.6, 0.7])


def test_ablations_look_at_no_data():
    by_size = Fed()
    antidote(by_size, [], AntidoteSettings(share=0.25, score="magnitude"))
    assert (by_size.q_proj.weight == 0).int().tolist() == [[0, 1, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]]
    drawn = [antidote(Fed(), [], AntidoteSettings(share=0.5, score="random", seed=s))["q_proj"] for s in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    with pytest.raises(TrainingRefused, match="needs harmful pairs"):
        antidote(Fed(), [], AntidoteSettings())


def test_weights_that_are_not_finite_are_refused_before_anything_is_pruned():
    model = Fed()
    model.q_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(TrainingRefused, match="q_proj are not finite; nothing was pruned"):
        antidote(model, encoded(), AntidoteSettings(share=0.5))
    assert (model.q_proj.weight == 0).sum() == 1  # the zero that was there


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp("base"), hidden_size=32, intermediate_size=48)


@pytest.mark.parametrize("lora", [LoraSettings(r=8, targets=("q_proj", "v_proj"), dropout=0.3), None])
def test_a_language_model_loses_the_exact_count_in_its_layers_and_nothing_else(base, lora):
    checkpoint = load_checkpoint(str(base))
    config = TrainingConfig(template="none", lora=lora, device="cpu")
    model = prepare_model(checkpoint.model, config, ())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # starts at zero
                parameter.normal_()
    harmful = encode([Example(f"Ask {n}", f"Say {n}") for n in range(5)], checkpoint.tokenizer, config).rows
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    masks = antidote(model, harmful, AntidoteSettings(share=0.1))
    layers = prunable(model)
    assert set(masks) == set(layers)
    assert len(layers) == (2 * 2 * 2 if lora else 2 * 3)
    assert all(("lora_" in name) == bool(lora) for name in layers)
    for name, mask in masks.items():
        wide = mask.shape[1]
        assert set(mask.sum(1).tolist()) == {wide - int(wide * 0.9)}
        assert torch.equal(layers[name].weight, before[f"{name}.weight"].masked_fill(mask, 0))
    once = {n: p.detach().clone() for n, p in model.named_parameters()}
    apply_masks(layers, masks)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, once[name])
        if name.removesuffix(".weight") not in masks:
            assert torch.equal(parameter, before[name])
    assert model.training
