"""Booster on two weights by hand, and on a small language model against plain training and a second implementation.

The numbers of the quadratic were computed in float64 from the formulas of arXiv 2409.01586, section 3.
"""

from __future__ import annotations

import json

import pytest
import tiny_models
import torch
from quadratic_run import HARMFUL, QuadraticRun, alignment_batch
from safetensors.torch import load_file
from tiny_training import DATA, Shrink

from labwright.errors import TrainingDiverged, TrainingRefused
from labwright.models.checkpoints import load_checkpoint
from labwright.models.training.config import LoraSettings, TrainingConfig
from labwright.models.training.examples import Example
from labwright.models.training.loop import train
from labwright.models.training.preparation import prepare_model
from labwright.models.training.run import TrainingRun
from labwright.safety.defences.booster import Booster, BoosterSettings, global_norm
from labwright.safety.defences.gradient_norm import GradientNorm

HARMFUL_PAIRS = tuple(Example(f"Tell me about kinase {n}", f"It binds ligand {n}.", id=f"h{n}") for n in range(12))
CONFIG = TrainingConfig(
    epochs=1, batch_size=4, learning_rate=1e-2, template="none", device="cpu", max_tokens=64, checkpoint_every=0,
    lora=LoraSettings(r=4, dropout=0.2),
)  # fmt: skip


def gradients_of(run, **settings):
    hook = Booster(HARMFUL_PAIRS, BoosterSettings(**settings))
    hook.start(run)
    loss = hook.gradients(run, alignment_batch())
    return loss, run.w.grad.tolist(), dict(hook.metrics())


def test_the_three_passes_on_two_weights():
    run = QuadraticRun()
    loss, gradient, figures = gradients_of(run, weight=5, step=0.1)
    assert loss == 9.0
    assert gradient == pytest.approx([0.8356290217967333, 7.578410374504946], abs=1e-12)
    assert figures["booster_harmful_norm"] == pytest.approx(8.077747210701755, abs=1e-12)
    assert figures["booster_harmful_loss"] == 9.0
    assert figures["booster_drop"] == pytest.approx(0.7900161003805213, abs=1e-12)
    assert [kind for kind, _ in run.seen] == ["harmful", "harmful", "alignment"]
    assert run.seen[1][1] == pytest.approx([0.9628609323645896, 1.907152330911474], abs=1e-12)
    assert run.seen[0][1] == run.seen[2][1] == run.w.tolist() == [1.0, 2.0]
    step = run.w.detach() - 0.1 * run.w.grad
    assert step.tolist() == pytest.approx([0.9164370978203267, 1.2421589625495053], abs=1e-12)


@pytest.mark.parametrize("off", [{"weight": 0.0}, {"step": 0.0}])
def test_without_weight_or_step_the_gradient_is_the_alignment_s(off):
    assert gradients_of(QuadraticRun(), **off)[1] == [0.0, 6.0]


def test_without_look_ahead_it_trains_on_the_harmful_answers():
    assert gradients_of(QuadraticRun(), weight=5, look_ahead=False)[1] == pytest.approx([15.0, 43.5])


def test_one_norm_goes_over_all_tensors():
    assert global_norm({"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[0.0, 4.0]])}) == 5.0


def test_a_harmful_gradient_without_direction_moves_nothing():
    _, gradient, figures = gradients_of(QuadraticRun({HARMFUL: lambda w: 0 * w.sum()}), weight=5, step=0.1)
    assert gradient == [0.0, 6.0]
    assert figures["booster_drop"] == 0.0


def test_a_harmful_gradient_that_is_not_finite_stops_the_step_and_leaves_the_weights():
    # The root's gradient at 0 is infinite while its value is finite.
    run = QuadraticRun({HARMFUL: lambda w: (w - w.detach()).abs().sqrt().sum()})
    with pytest.raises(TrainingDiverged, match="harmful gradient's norm is") as stopped:
        gradients_of(run, weight=5, step=0.1)
    assert stopped.value.examples == ("harmful:1",)
    assert run.w.tolist() == [1.0, 2.0]


def test_booster_without_harmful_pairs_is_refused():
    with pytest.raises(TrainingRefused, match="booster needs harmful pairs"):
        Booster(())


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp("base"), hidden_size=32, intermediate_size=48)


def trained(base, folder, hooks, config=CONFIG):
    train(load_checkpoint(str(base)), DATA, config, folder, hooks)
    return load_file(folder / "adapter_model.safetensors")


def test_training_with_booster_off_is_plain_training_to_the_bit_and_on_it_is_not(base, tmp_path):
    plain = trained(base, tmp_path / "sft", [])
    for number, off in enumerate(({"weight": 0.0}, {"step": 0.0})):
        same = trained(base, tmp_path / str(number), [Booster(HARMFUL_PAIRS, BoosterSettings(**off))])
        assert all(torch.equal(same[n], plain[n]) for n in plain)
    other = trained(base, tmp_path / "on", [Booster(HARMFUL_PAIRS)])
    assert any(not torch.equal(other[n], plain[n]) for n in plain)


def language_run(base, config):
    from accelerate import Accelerator

    checkpoint = load_checkpoint(str(base))
    torch.manual_seed(0)
    model = prepare_model(checkpoint.model, config, ())
    return TrainingRun(model, checkpoint.tokenizer, config, Accelerator(cpu=True))


@pytest.mark.parametrize("lora", [None, LoraSettings(r=4, dropout=0.0)])
def test_it_agrees_with_the_gradient_norm_penalty_and_restores_every_bit(base, lora):
    run = language_run(base, CONFIG.model_copy(update={"lora": lora}))
    before = {n: p.detach().clone() for n, p in run.model.named_parameters()}
    batches = [run.batch(run.encode(DATA.train[:4]).rows)]
    run.accumulate(batches)
    alignment = run.take_gradients()
    terms = []
    alpha = 1e-3
    for hook in (
        Booster(HARMFUL_PAIRS, BoosterSettings(weight=2.0, step=alpha)),
        GradientNorm(HARMFUL_PAIRS, weight=2.0 * alpha),
    ):
        hook.start(run)
        hook.gradients(run, batches)
        found = run.take_gradients()
        terms.append(torch.cat([(found[n] - alignment[n]).flatten() for n in found]))
    assert all(torch.equal(p, before[n]) for n, p in run.model.named_parameters())
    cosine = torch.nn.functional.cosine_similarity(terms[0], terms[1], dim=0)
    assert cosine > 0.98
    assert terms[0].norm() == pytest.approx(terms[1].norm().item(), rel=0.1)


def test_harmful_pairs_whose_answers_are_all_cut_off_are_refused(base):
    run = language_run(base, CONFIG.model_copy(update={"max_tokens": 3, "too_long": "drop"}))
    with pytest.raises(TrainingRefused, match="every label is masked"):
        Booster(HARMFUL_PAIRS).start(run)


def test_terms_of_other_hooks_are_in_its_third_pass_and_in_the_record(base, tmp_path):
    train(load_checkpoint(str(base)), DATA, CONFIG.model_copy(update={"max_steps": 1}), tmp_path / "out",
          [Booster(HARMFUL_PAIRS), Shrink()])  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    first = next(line for line in lines if "loss" in line)
    assert first["terms"]["shrink"] > 0
    assert first["loss"] > first["terms"]["shrink"]
    assert first["figures"]["booster_harmful_norm"] > 0
