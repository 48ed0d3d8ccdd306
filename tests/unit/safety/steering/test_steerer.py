"""Steering: what is changed and what is not, hooks that come off, and vectors taken from a tiny vision-language model."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_vision
import torch
from torch import nn

from labwright.errors import HashMismatch, MetricUndefined, WrongUse
from labwright.safety.steering.corruption import CORRUPTIONS, corrupted
from labwright.safety.steering.extraction import Anchor, SampleSteerer, delta, extract
from labwright.safety.steering.steerer import Policy, Steerer, chosen_layers, decoder_layers, last_states


@pytest.fixture(scope="module")
def model():
    return tiny_vision.model()


@pytest.fixture(scope="module")
def shifts(model):
    generator = torch.Generator().manual_seed(1)
    return {i: torch.randn(32, generator=generator) for i in range(len(decoder_layers(model)))}


def logits(model, inputs):
    with torch.inference_mode():
        return model(**inputs).logits


class Bare(nn.Module):
    """One layer that passes its input on, as the specification's vector has it."""

    def __init__(self, *, as_tuple: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Same(as_tuple=as_tuple)])

    def forward(self, hidden, attention_mask=None, past_key_values=None):
        out = self.layers[0](hidden)
        return out[0] if isinstance(out, tuple) else out


class _Same(nn.Module):
    def __init__(self, *, as_tuple: bool) -> None:
        super().__init__()
        self.as_tuple = as_tuple

    def forward(self, hidden):
        return (hidden, "cache") if self.as_tuple else hidden


@pytest.mark.parametrize("as_tuple", [True, False])
def test_only_the_positions_that_are_asked_for_change(as_tuple):
    bare, v, zeros = Bare(as_tuple=as_tuple), {0: torch.tensor([1.0, -1.0])}, torch.zeros(1, 3, 2)
    with Steerer(bare, v, 0.5, Policy(positions="last_prompt")):
        assert bare(zeros).tolist() == [[[0, 0], [0, 0], [0.5, -0.5]]]
    with Steerer(bare, v, 0.5, Policy(positions="all")):
        assert bare(zeros).tolist() == [[[0.5, -0.5]] * 3]
    mask = torch.tensor([[1, 1, 0]])
    with Steerer(bare, v, 0.5):
        assert bare(zeros, attention_mask=mask).tolist() == [[[0, 0], [0.5, -0.5], [0, 0]]]  # padded on the right
    with Steerer(bare, v, 0.5, Policy(positions="all")):
        assert bare(zeros, attention_mask=mask).tolist() == [[[0.5, -0.5], [0.5, -0.5], [0, 0]]]
    assert zeros.abs().sum() == 0


def test_generated_tokens_are_steered_by_the_default_alone():
    class Cache:
        def get_seq_length(self):
            return 3

    bare, v, one = Bare(as_tuple=True), {0: torch.tensor([1.0, -1.0])}, torch.zeros(1, 1, 2)
    for positions, wanted in (("last_prompt", [0, 0]), ("last_and_generated", [0.5, -0.5]), ("all", [0.5, -0.5])):
        with Steerer(bare, v, 0.5, Policy(positions=positions)):
            assert bare(one, past_key_values=Cache()).tolist() == [[wanted]]


def test_outside_and_at_alpha_zero_the_numbers_are_the_same_bits(model, shifts):
    def hooks():
        return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]

    inputs = tiny_vision.encode("1 2 3", tiny_vision.picture(0))
    before, hooked = logits(model, inputs), hooks()
    with Steerer(model, shifts, 0.0):
        assert torch.equal(logits(model, inputs), before)
    with Steerer(model, shifts, 0.5):
        assert not torch.equal(logits(model, inputs), before)
    with pytest.raises(ZeroDivisionError), Steerer(model, shifts, 0.5):
        1 / 0  # noqa: B018
    assert torch.equal(logits(model, inputs), before)
    assert hooks() == hooked


def test_nested_steering_adds_up_also_when_one_steerer_is_entered_twice(model, shifts):
    inputs = tiny_vision.encode("4 5", tiny_vision.picture(1))
    with Steerer(model, shifts, 0.5, Policy((1,))):
        wanted = logits(model, inputs)
    with Steerer(model, shifts, 0.3, Policy((1,))), Steerer(model, shifts, 0.2, Policy((1,))):
        torch.testing.assert_close(logits(model, inputs), wanted, atol=1e-5, rtol=1e-5)
    twice = Steerer(model, shifts, 0.25, Policy((1,)))
    with twice, twice:
        torch.testing.assert_close(logits(model, inputs), wanted, atol=1e-5, rtol=1e-5)


def test_a_batch_padded_on_either_side_is_steered_as_its_rows_alone(model, shifts):
    rows = [tiny_vision.encode(text, None) for text in ("1 2 3 4 5", "7 8")]
    for left in (True, False):
        batch = tiny_vision.padded(*rows, left=left)
        states = last_states(model, batch)
        for b, row in enumerate(rows):
            alone = last_states(model, row)
            for layer, state in alone.items():
                torch.testing.assert_close(states[layer][b], state[0], atol=1e-4, rtol=1e-4)
    with Steerer(model, shifts, 0.7):
        steered = last_states(model, tiny_vision.padded(*rows))
        for b, row in enumerate(rows):
            torch.testing.assert_close(steered[2][b], last_states(model, row)[2][0], atol=1e-4, rtol=1e-4)


def test_generation_with_a_cache_is_that_without_one(model, shifts):
    inputs = tiny_vision.encode("9 1", tiny_vision.picture(2))
    options = {"max_new_tokens": 5, "do_sample": False}
    with Steerer(model, shifts, 0.4, Policy(positions="all")):
        assert torch.equal(
            model.generate(**inputs, **options, use_cache=True), model.generate(**inputs, **options, use_cache=False)
        )


def test_in_a_generation_the_prompt_alone_is_steered_where_that_is_asked_for(model, shifts):
    inputs = tiny_vision.encode("9 1 4", None)
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    with Steerer(model, shifts, 1.0, Policy(positions="last_prompt")):
        written = model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :].tolist()
    with torch.inference_mode():
        with Steerer(model, shifts, 1.0):
            pass_ = model(**inputs, use_cache=True)
        kept = next(v for v in pass_.values() if hasattr(v, "get_seq_length"))
        wanted = [int(pass_.logits[0, -1].argmax())]
        while len(wanted) < len(written):
            ids = torch.tensor([wanted[-1:]])
            pass_ = model(input_ids=ids, cache=kept, use_cache=True)
            wanted.append(int(pass_.logits[0, -1].argmax()))
    assert written == wanted
    with Steerer(model, shifts, 1.0):
        assert model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :].tolist() != written


def test_half_precision_keeps_its_type(shifts):
    half = tiny_vision.model().bfloat16()
    inputs = {**tiny_vision.encode("1 2", None)}
    with Steerer(half, shifts, 0.5):
        assert logits(half, inputs).dtype == torch.bfloat16


def test_compensation_adds_up_to_the_last_vector(shifts):
    bare = Bare(as_tuple=False)
    bare.layers.append(_Same(as_tuple=False))
    bare.forward = lambda hidden: bare.layers[1](bare.layers[0](hidden))
    v = {0: torch.tensor([1.0, 2.0]), 1: torch.tensor([5.0, 4.0])}
    with Steerer(bare, v, 1.0, Policy(compensate=True)):
        assert bare(torch.zeros(1, 1, 2)).tolist() == [[[5.0, 4.0]]]
    with Steerer(bare, v, 1.0):
        assert bare(torch.zeros(1, 1, 2)).tolist() == [[[6.0, 6.0]]]


def test_wrong_settings_are_said_before_anything_is_hooked(model, shifts):
    for alpha, policy, what in (
        (2.1, Policy(), "0 to 2"),
        (0.5, Policy((7,)), "the model has 0 to 2"),
        (0.5, Policy(positions="first"), "last_prompt, last_and_generated, all"),
    ):
        with pytest.raises(WrongUse, match=what):
            Steerer(model, shifts, alpha, policy)
    with pytest.raises(HashMismatch, match="no shift vector of layers 1, 2"):
        Steerer(model, {0: shifts[0]}, 0.5)
    with pytest.raises(HashMismatch, match="a width of 32"):
        Steerer(model, {0: torch.zeros(8)}, 0.5, Policy((0,)))
    with pytest.raises(WrongUse, match="no decoder"):
        decoder_layers(nn.Linear(2, 2))
    assert chosen_layers(model, "last") == [2]
    assert chosen_layers(model, "upper_half") == [1, 2]
    with pytest.raises(WrongUse, match="layers 'middle': all, upper_half, last, or indices"):
        chosen_layers(model, "middle")


def test_at_the_sample_level_a_meaningless_image_is_undone_exactly(model):
    image = corrupted(tiny_vision.picture(3), "blank")
    text = tiny_vision.encode("1 2 3", None)
    shift = delta(model, tiny_vision.encode, Anchor("1 2 3", image), "blank")
    with Steerer(model, shift, 1.0, Policy((0,))):
        steered = last_states(model, tiny_vision.encode("1 2 3", image))
    torch.testing.assert_close(steered[0], last_states(model, text)[0], atol=1e-5, rtol=1e-5)


def test_the_sample_level_reads_a_prompt_once_and_does_nothing_at_zero(model):
    read: list[bool] = []

    def encode(text, image):
        read.append(image is not None)
        return tiny_vision.encode(text, image)

    image = tiny_vision.picture(4)
    inputs = tiny_vision.encode("1 2", image)
    before = logits(model, inputs)
    steerer = SampleSteerer(model, encode, alpha=1.0)
    for _ in range(3):
        with steerer.steering("1 2", image):
            changed = logits(model, inputs)
    assert read == [False, True]
    assert not torch.equal(changed, before)
    capped = SampleSteerer(model, encode, alpha=1.0, most_norm=dict.fromkeys(range(3), 0.0))
    with capped.steering("1 2", image):
        assert torch.equal(logits(model, inputs), before)
    read.clear()
    with SampleSteerer(model, encode, alpha=0.0).steering("3 4", image):
        assert torch.equal(logits(model, inputs), before)
    assert read == []


def test_extraction_streams_the_mean_that_all_deltas_have(model):
    anchors = [Anchor(f"{i} {i + 1}", tiny_vision.picture(i)) for i in range(5)]
    seen: list[int] = []
    made = extract(model, tiny_vision.encode, anchors, name="m", report=seen.append)
    rows = [delta(model, tiny_vision.encode, a, "blank") for a in anchors]
    for layer, v in made.layers.items():
        torch.testing.assert_close(v, torch.stack([r[layer] for r in rows]).mean(dim=0), atol=1e-5, rtol=1e-5)
        assert made.lengths[layer] == pytest.approx(sum(float(r[layer].norm()) for r in rows) / 5, rel=1e-5)
    assert (made.n_anchor, made.sigma, seen) == (5, {}, [1, 2, 3, 4, 5])
    component = extract(model, tiny_vision.encode, anchors, name="m", how="pc_uncentred")
    assert set(component.sigma) == set(component.layers) == {0, 1, 2}
    with pytest.raises(MetricUndefined, match="at least one anchor"):
        extract(model, tiny_vision.encode, [], name="m")


def test_prompts_that_end_differently_are_refused(model):
    def encode(text, image):
        made = tiny_vision.encode(text, image)
        if image is not None:
            made["input_ids"][0, -1] = 7
        return made

    with pytest.raises(WrongUse, match="another token with an image"):
        delta(model, encode, Anchor("1", tiny_vision.picture(0)), "blank")


def test_corrupted_images_have_the_size_and_nothing_else():
    image = tiny_vision.picture(0).resize((30, 20)).convert("L")
    made = {kind: np.asarray(corrupted(image, kind, seed=1)) for kind in CORRUPTIONS}
    assert {a.shape for a in made.values()} == {(20, 30, 3)}
    assert made["blank"].min() == 255
    assert made["black"].max() == 0
    assert len(np.unique(made["mean_colour"].reshape(-1, 3), axis=0)) == 1
    assert made["noise"].std() > 60
    assert (np.asarray(corrupted(image, "noise", seed=1)) == made["noise"]).all()
    assert (np.asarray(corrupted(image, "noise", seed=2)) != made["noise"]).any()
    with pytest.raises(WrongUse, match="one of blank, noise"):
        corrupted(image, "rainbow")  # type: ignore[arg-type]
