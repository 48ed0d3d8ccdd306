"""The other defences: their formulas by hand, and what each does to a training.

Numbers were computed in float64 from the papers named in each module.
"""

from __future__ import annotations

import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from tiny_training import DATA
from torch import tensor

from labwright.errors import TrainingRefused
from labwright.models.checkpoints import load_checkpoint
from labwright.models.training.config import LoraSettings, TrainingConfig
from labwright.models.training.examples import Example
from labwright.models.training.hooks import Hook
from labwright.models.training.loop import train
from labwright.safety.defences.ewc import Ewc, consolidation
from labwright.safety.defences.ldifs import Ldifs, drift
from labwright.safety.defences.lisa import Lisa, proximal
from labwright.safety.defences.repnoise import RepNoise, mmd
from labwright.safety.defences.safe_lora import project, safe_lora
from labwright.safety.defences.safeinstruct import with_safe_pairs
from labwright.safety.defences.vaccine import Vaccine, perturbation

PAIRS = tuple(Example(f"Tell me about kinase {n}", f"I cannot say {n}.", id=f"a{n}") for n in range(6))
CONFIG = TrainingConfig(
    epochs=1, batch_size=4, learning_rate=1e-2, template="none", device="cpu", max_tokens=64, checkpoint_every=0,
    lora=LoraSettings(r=4, dropout=0.0, targets=("q_proj", "v_proj")),
)  # fmt: skip


def test_vaccine_s_shift_has_one_norm_over_all_blocks():
    e = perturbation([tensor([[1.0, 2], [0, -2]]), tensor([[0.0, 4], [0, 0]])], 2.0)
    torch.testing.assert_close(e[0], tensor([[0.4, 0.8], [0, -0.8]]))
    torch.testing.assert_close(e[1], tensor([[0.0, 1.6], [0, 0]]))
    assert perturbation([torch.zeros(2)], 2.0)[0].tolist() == [0, 0]


def test_lisa_s_proximal_term_and_its_gradient():
    theta = tensor([1.0, -2, 0.5], requires_grad=True)
    term = proximal({"w": theta}, {"w": tensor([0.8, -1.5, 0.5])}, 0.5)
    term.backward()
    assert term.item() == pytest.approx(0.0725)
    assert theta.grad.tolist() == pytest.approx([0.1, -0.25, 0])


def test_ewc_and_ldifs_on_paper():
    found = consolidation({"w": tensor([0.2, -0.4])}, {"w": torch.zeros(2)}, {"w": tensor([1, 0.25])}, 1.0)
    assert found.item() == pytest.approx(0.04)
    found = drift([tensor([[1.0, 2], [3, 4]])], [tensor([[1.0, 1], [3, 6]])], 1e-4)
    assert found.item() == pytest.approx(0.00025)


def test_mmd_of_two_samples_and_of_one():
    x = tensor([[0.0, 0], [1, 0]], dtype=torch.float64, requires_grad=True)
    y = tensor([[0.0, 2], [2, 2]], dtype=torch.float64)
    assert mmd(x, y).item() == pytest.approx(4.441047503684905, abs=1e-9)
    assert mmd(y, y).item() == 0
    mmd(x, torch.cat([x[:1].detach(), y[:1]])).backward()
    assert torch.isfinite(x.grad).all()


def test_safe_lora_s_projection():
    v = tensor([[3.0, 0], [4, 0]], dtype=torch.float64)
    change = tensor([[1.0, 1], [1, 0]], dtype=torch.float64)
    projected, cosine = project(change, v)
    torch.testing.assert_close(projected, tensor([[4.2, 1.8], [5.6, 2.4]], dtype=torch.float64))
    assert cosine == pytest.approx(0.879393730551528, abs=1e-12)
    projected, cosine = project(change, tensor([[0.0, 0], [2, 0]], dtype=torch.float64))
    assert projected.tolist() == [[0, 0], [2, 0]]
    assert cosine == pytest.approx(0.5773502691896258, abs=1e-12)


def test_safe_lora_replaces_changes_at_or_below_the_threshold_and_no_other():
    tuned = torch.nn.ModuleDict({n: torch.nn.Linear(2, 2) for n in ("aligned_in", "aligned_out", "untouched")})
    aligned = {n: p.detach().clone() for n, p in tuned.named_parameters()}
    base = {n: p.clone() for n, p in aligned.items()}
    change = tensor([[1.0, 1], [1, 0]])
    base["aligned_in.weight"] -= tensor([[3.0, 0], [4, 0]])
    base["aligned_out.weight"] -= tensor([[0.0, 0], [2, 0]])
    with torch.no_grad():
        for layer in tuned.values():
            layer.weight += change
    found = safe_lora(tuned, aligned, base, threshold=0.578)
    assert {n: p.projected for n, p in found.items()} == {"aligned_in.weight": False, "aligned_out.weight": True}
    now = tuned["aligned_out"].weight - aligned["aligned_out.weight"]
    torch.testing.assert_close(now, tensor([[0.0, 0], [2, 0]]))
    for name in ("aligned_in", "untouched"):
        torch.testing.assert_close(tuned[name].weight - aligned[f"{name}.weight"], change)
    with pytest.raises(TrainingRefused, match="no weight was changed both"):
        safe_lora(tuned, aligned, aligned)
    with pytest.raises(TrainingRefused, match="is absent"):
        safe_lora(tuned, {}, base)


def test_safe_pairs_are_drawn_once_each_into_the_upload():
    rows = with_safe_pairs(DATA.train, PAIRS, pairs=4, seed=3)
    assert len(rows) == len(DATA.train) + 4
    assert len(set(rows) & set(PAIRS)) == 4
    assert rows == with_safe_pairs(DATA.train, PAIRS, pairs=4, seed=3)
    for asked in (0, 7):
        with pytest.raises(TrainingRefused, match="6 are held"):
            with_safe_pairs(DATA.train, PAIRS, pairs=asked, seed=3)


def test_lisa_takes_turns_at_exact_steps():
    lisa = Lisa(PAIRS, alignment_steps=2, user_steps=3)
    assert [lisa.turn(s) for s in range(7)] == ["alignment"] * 2 + ["user"] * 3 + ["alignment"] * 2


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Lisa(()), "lisa needs alignment pairs"),
        (lambda: Lisa(PAIRS, user_steps=0), "turns of"),
        (lambda: Ewc(()), "ewc needs alignment pairs"),
        (lambda: Ewc(PAIRS, weight=-1), "weight -1"),
        (lambda: RepNoise(()), "repnoise needs harmful pairs"),
        (lambda: RepNoise(PAIRS, ascent=-1), "must be 0 or more"),
        (lambda: Vaccine(-1), "rho = -1"),
        (lambda: Ldifs(-1), "rho = -1"),
        (lambda: Ewc([Example("q", " ")]), "empty answer"),
    ],
)
def test_a_defence_without_its_data_or_with_a_wrong_setting_is_refused(made, said):
    with pytest.raises(TrainingRefused, match=said):
        made()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp("base"), hidden_size=32, intermediate_size=48)


@pytest.fixture(scope="module")
def plain(base, tmp_path_factory):
    return trained(base, tmp_path_factory.mktemp("plain") / "out", [])


def trained(base, folder, hooks, config=CONFIG):
    result = train(load_checkpoint(str(base)), DATA, config, folder, hooks)
    left = [h for m in result.model.modules() for h in m._forward_hooks.values()]  # transformers has some of its own
    assert not any("labwright" in getattr(h, "__module__", "") for h in left)
    return load_file(folder / "adapter_model.safetensors")


def far(one, other):
    return max((one[n] - other[n]).abs().max().item() for n in one)


@pytest.mark.parametrize(
    "off",
    [
        lambda: Vaccine(0.0),
        lambda: Ldifs(0.0),
        lambda: Ewc(PAIRS, weight=0.0),
        lambda: RepNoise(PAIRS, ascent=0.0, noise=0.0),
    ],
)
def test_a_defence_of_no_weight_is_plain_training(base, plain, tmp_path, off):
    assert far(trained(base, tmp_path / "out", [off()]), plain) < 1e-6


@pytest.mark.parametrize(
    "on",
    [
        lambda: Vaccine(5.0),
        lambda: Ldifs(1.0),
        lambda: Ewc(PAIRS, weight=1e6),
        lambda: RepNoise(PAIRS, ascent=5.0, noise=1.0),
        lambda: Lisa(PAIRS, alignment_steps=2, user_steps=2),
    ],
)
def test_a_defence_with_weight_is_not(base, plain, tmp_path, on):
    assert far(trained(base, tmp_path / "out", [on()]), plain) > 1e-3


class Steps(Hook):
    """Which examples each step saw, and the weights after it."""

    name = "steps"

    def __init__(self):
        self.seen, self.weights = [], []

    def loss_terms(self, run, batch, outputs):
        self.seen.append(batch.ids[0])
        return {}

    def after_step(self, run):
        self.weights.append({n: p.detach().clone() for n, p in run.parameters.items()})


def test_lisa_s_turns_see_their_own_data_and_hold_to_the_other_s_end(base, tmp_path):
    lisa, steps = Lisa(PAIRS, alignment_steps=1, user_steps=2, rho=4.0, free_share=0.0), Steps()
    config = CONFIG.model_copy(update={"max_steps": 5, "epochs": 9.0})
    trained(base, tmp_path / "out", [lisa, steps], config)
    alignment = {e.id for e in PAIRS}
    assert [i in alignment for i in steps.seen] == [True, False, False, True, False]
    ends = lisa.state().tensors
    for name, weight in steps.weights[3].items():
        assert torch.equal(ends[f"alignment/{name}"], weight)
        assert torch.equal(ends[f"user/{name}"], steps.weights[2][name])


def test_lisa_goes_on_after_an_interrupt_as_if_there_had_been_none(base, tmp_path):
    config = CONFIG.model_copy(update={"max_steps": 6, "epochs": 9.0, "checkpoint_every": 1})

    class StoppedLisa(Lisa):
        def after_step(self, run):
            super().after_step(run)
            if run.step == 5:
                raise RuntimeError("killed")

    def settings():
        return {"alignment_steps": 1, "user_steps": 2, "rho": 2.0, "free_share": 0.0}

    with pytest.raises(RuntimeError, match="killed"):
        train(load_checkpoint(str(base)), DATA, config, tmp_path / "a", [StoppedLisa(PAIRS, **settings())])
    train(load_checkpoint(str(base)), DATA, config, tmp_path / "a", [Lisa(PAIRS, **settings())], resume=True)
    whole = trained(base, tmp_path / "b", [Lisa(PAIRS, **settings())], config)
    resumed = load_file(tmp_path / "a" / "adapter_model.safetensors")
    assert all(torch.equal(resumed[n], whole[n]) for n in whole)
