"""The loop: its losses and gradients, its hook points, its stops, and what it leaves."""

from __future__ import annotations

import json
import math

import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from tiny_training import DATA, ended, forked, is_refused, run_of
from torch import nn

from labwright.errors import TrainingDiverged, TrainingRefused
from labwright.models.checkpoints import load_checkpoint
from labwright.models.training import snapshots
from labwright.models.training.config import LoraSettings, ParameterGroup, TrainingConfig
from labwright.models.training.examples import Example, TrainingData
from labwright.models.training.hooks import Hook
from labwright.models.training.loop import train
from labwright.models.training.memory import estimate, require_memory
from labwright.models.training.preparation import make_optimiser, prepare_model

CONFIG = TrainingConfig(
    epochs=1, batch_size=4, learning_rate=1e-2, template="none", device="cpu", max_tokens=64, checkpoint_every=0
)
FULL = CONFIG.model_copy(update={"lora": None})


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def base(request, tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp(request.param), request.param, hidden_size=32, intermediate_size=48)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp("llama"), hidden_size=32, intermediate_size=48)


def gradients(run):
    return {n: p.grad.clone() for n, p in run.parameters.items() if p.grad is not None}


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_loss_is_the_mean_over_answer_tokens_computed_without_padding(base):
    run = run_of(base, FULL)
    encoding = run.encode(DATA.train[:6])
    found = run.accumulate([run.batch(encoding.rows[:4]), run.batch(encoding.rows[4:])]).loss
    total, count = 0.0, 0
    with torch.no_grad():
        for row in encoding.rows:
            log_p = run.model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
            picked = [-log_p[i - 1, t].item() for i, t in enumerate(row.labels) if t != -100]
            total, count = total + sum(picked), count + len(picked)
    assert found == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("config", [FULL, CONFIG.model_copy(update={"lora": LoraSettings(dropout=0)})])
def test_micro_batches_give_the_gradient_of_the_whole(base, config):
    run = run_of(base, config)
    encoded = run.encode(DATA.train[:7]).rows
    run.accumulate([run.batch(encoded)])
    whole = gradients(run)
    run.zero_gradients()
    run.accumulate([run.batch(encoded[:3]), run.batch(encoded[3:4]), run.batch(encoded[4:])])
    parts = gradients(run)
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6)


def test_gradient_checkpointing_changes_no_gradient(llama):
    found = []
    for on in (False, True):
        run = run_of(llama, CONFIG.model_copy(update={"gradient_checkpointing": on, "lora": LoraSettings(dropout=0)}))
        run.accumulate([run.batch(run.encode(DATA.train[:3]).rows)])
        found.append(gradients(run))
    assert len(found[0]) == 12
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient)


def test_adapters_learn_their_data_and_leave_a_folder_that_loads(base, tmp_path):
    config = CONFIG.model_copy(
        update={"epochs": 25.0, "lora": LoraSettings(dropout=0.0), "heldout_every": 50, "learning_rate": 2e-2}
    )
    before = load_checkpoint(str(base))
    result = train(load_checkpoint(str(base)), DATA, config, tmp_path / "out")
    after = load_checkpoint(str(tmp_path / "out"))
    batch = before.tokenizer("Say gene 1 times", return_tensors="pt")
    with torch.no_grad():
        trained, merged, plain = (c(**batch).logits for c in (result.model.eval(), after.model, before.model))
    torch.testing.assert_close(merged, trained, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(merged, plain, atol=1e-2)
    metrics = rows(tmp_path / "out")
    assert metrics[-2]["loss"] < 0.6 * metrics[1]["loss"]
    assert [r["step"] for r in metrics if "heldout_loss" in r] == [0, 50, 100, 150]
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["base_sha256"] == before.facts["sha256"]
    assert record["data"]["sha256"] == DATA.sha256()
    assert record["result"]["steps"] == result.steps == 150
    assert "not for clinical" in (tmp_path / "out" / "README.md").read_text()
    assert set(load_file(tmp_path / "out" / "adapter_model.safetensors"))
    for name, digest in record["files"].items():
        from labwright.packages import sha256_of

        assert sha256_of(tmp_path / "out" / name) == digest


def test_a_whole_model_is_left_where_asked(llama, tmp_path):
    from transformers import AutoModelForCausalLM

    merged = train(load_checkpoint(str(llama)), DATA, CONFIG.model_copy(update={"save": "merged"}), tmp_path / "merged")
    full = train(load_checkpoint(str(llama)), DATA, FULL, tmp_path / "full")
    ids = torch.tensor([[5, 6, 7]])
    for name, result in (("merged", merged), ("full", full)):
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / name)
        with torch.no_grad():
            torch.testing.assert_close(loaded(ids).logits, result.model.eval()(ids).logits, rtol=1e-4, atol=1e-4)
    base = load_checkpoint(str(llama))
    base.facts["adapter"] = {"name": "a", "sha256": "b"}
    with pytest.raises(TrainingRefused, match="save = merged"):
        train(base, DATA, CONFIG, tmp_path / "third")


def test_an_adapter_is_added_with_its_scale(tmp_path):
    """Test vector 5 of the notes on H3Fusion: A = (1 2), B = (3 4)^T, alpha / r = 0.5."""
    base = tiny_models.save(tmp_path, hidden_size=2, intermediate_size=2, num_attention_heads=1, num_key_value_heads=1)
    settings = LoraSettings(r=1, alpha=0.5, dropout=0, targets=("up_proj",))
    checkpoint = load_checkpoint(str(base))
    before = checkpoint.model.model.layers[0].mlp.up_proj.weight.detach().clone()
    model = prepare_model(checkpoint.model, CONFIG.model_copy(update={"lora": settings}), ())
    layer = model.base_model.model.model.layers[0].mlp.up_proj
    with torch.no_grad():
        layer.lora_A["default"].weight.copy_(torch.tensor([[1.0, 2.0]]))
        layer.lora_B["default"].weight.copy_(torch.tensor([[3.0], [4.0]]))
    after = model.merge_and_unload().model.layers[0].mlp.up_proj.weight
    torch.testing.assert_close(after - before, torch.tensor([[1.5, 3.0], [2.0, 4.0]]))


def test_groups_have_their_own_rate_and_precision(llama):
    config = FULL.model_copy(
        update={
            "weight_decay": 0.1,
            "groups": (ParameterGroup(pattern="mlp", learning_rate=3e-3, weight_decay=0.0, float32=True),),
        }
    )
    model = prepare_model(load_checkpoint(str(llama), dtype="bfloat16").model, config, ())
    parameters = dict(model.named_parameters())
    optimiser = make_optimiser(parameters, config)
    found = {id(p): (g["lr"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}
    for name, parameter in parameters.items():
        expected = (3e-3, 0.0) if "mlp" in name else (1e-2, 0.1 if parameter.ndim > 1 else 0.0)
        assert found[id(parameter)] == expected, name
        assert parameter.dtype == (torch.float32 if "mlp" in name else torch.bfloat16), name
    with pytest.raises(TrainingRefused, match="no trained parameter matches router"):
        make_optimiser(
            parameters, FULL.model_copy(update={"groups": (ParameterGroup(pattern="router", learning_rate=1),)})
        )


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0, 0.5, 1, 0.75, 0.5, 0.25]),
        ("constant", [0, 0.5, 1, 1, 1, 1]),
        ("cosine", [0, 0.5, 1, *(0.5 * (1 + math.cos(math.pi * k / 4)) for k in (1, 2, 3))]),
    ],
)
def test_schedules(llama, tmp_path, schedule, expected):
    config = CONFIG.model_copy(update={"schedule": schedule, "warmup_steps": 2, "max_steps": 6})
    train(load_checkpoint(str(llama)), DATA, config, tmp_path / "out")
    rates = [r["lr"] / config.learning_rate for r in rows(tmp_path / "out") if "lr" in r]
    assert rates == pytest.approx(expected)


class Booster(Hook):
    """The gradient of Booster (arXiv 2409.01586, algorithm 1), to see that the hook points carry it."""

    name = "booster"

    def __init__(self, attack, weight=5.0, step=0.1):
        self.attack, self.weight, self.step = attack, weight, step
        self.restored = []

    def start(self, run):
        self.encoding = run.encode(self.attack)

    def gradients(self, run, batches):
        harmful = [run.draw(self.encoding, "attack", run.step, 4)]
        with run.same_randomness():
            run.accumulate(harmful, terms=False)
        g = run.take_gradients()
        norm = math.sqrt(sum(float(v.square().sum()) for v in g.values())) + 1e-7
        before = {n: p.detach().clone() for n, p in run.parameters.items()}
        with run.weights_restored(), run.same_randomness():
            with torch.no_grad():
                for name, parameter in run.parameters.items():
                    parameter.sub_(self.step * g[name] / norm)
            run.accumulate(harmful, terms=False)
        moved = run.take_gradients()
        self.restored.append(all(torch.equal(p, before[n]) for n, p in run.parameters.items()))
        loss = run.accumulate(batches).loss
        for name, parameter in run.parameters.items():
            parameter.grad += self.weight * (g[name] - moved[name])
        return loss


def test_a_hook_can_compute_the_gradients_at_weights_it_moved(llama, tmp_path):
    """g - g' is alpha times the gradient of the harmful gradient's norm, to first order."""
    config = FULL.model_copy(update={"max_steps": 1, "clip_norm": None})
    hook = Booster(DATA.train, weight=1.0, step=1e-3)
    run = run_of(llama, config, [hook])
    run.model.set_attn_implementation("eager")  # the fused attention has no second derivative
    hook.start(run)
    batches = [run.batch(run.encode(DATA.train[:4]).rows)]
    run.accumulate(batches)
    plain = run.take_gradients()
    run.step_gradients(batches)
    assert hook.restored == [True]
    added = {n: p.grad - plain[n] for n, p in run.parameters.items()}
    harmful = run.draw(hook.encoding, "attack", 0, 4)
    outputs = run.forward(harmful)
    loss = nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), harmful.labels[:, 1:].flatten())
    names = list(run.parameters)
    first = torch.autograd.grad(loss, [run.parameters[n] for n in names], create_graph=True)
    norm = torch.sqrt(sum(g.square().sum() for g in first))
    second = torch.autograd.grad(norm, [run.parameters[n] for n in names])
    ours = torch.cat([added[n].flatten() for n in names])
    theirs = torch.cat([1e-3 * g.flatten() for g in second])
    assert float(nn.functional.cosine_similarity(ours, theirs, dim=0)) > 0.99
    assert float(ours.norm() / theirs.norm()) == pytest.approx(1, abs=0.1)


class Alternate(Hook):
    """Lisa's two states (arXiv 2405.18641): every second step on the other data."""

    name = "alternate"

    def __init__(self, other):
        self.other, self.seen = other, []

    def start(self, run):
        self.encoding = run.encode(self.other)

    def choose_batch(self, run, step):
        return [run.draw(self.encoding, "other", step, 2)] if step % 2 else None

    def loss_terms(self, run, batch, outputs):
        self.seen.append(batch.ids)
        return {"nothing": outputs.logits.sum() * 0}

    def metrics(self):
        return {"batches": len(self.seen)}


def test_a_hook_can_choose_batches_and_add_figures(llama, tmp_path):
    hook = Alternate([Example("Say no", "no", id="other")])
    train(load_checkpoint(str(llama)), DATA, CONFIG.model_copy(update={"max_steps": 4}), tmp_path / "out", [hook])
    assert [set(ids) == {"other"} for ids in hook.seen] == [False, True, False, True]
    assert [r["figures"]["batches"] for r in rows(tmp_path / "out") if "loss" in r] == [1, 2, 3, 4]
    assert all(r["terms"] == {"nothing": 0} for r in rows(tmp_path / "out") if "loss" in r)
    two = Booster(DATA.train)
    two.name = "two"
    with pytest.raises(TrainingRefused, match="both take gradients"):
        train(load_checkpoint(str(llama)), DATA, CONFIG, tmp_path / "b", [Booster(DATA.train), two])
    with pytest.raises(TrainingRefused, match="named alike"):
        train(load_checkpoint(str(llama)), DATA, CONFIG, tmp_path / "c", [Alternate([]), Alternate([])])


def test_a_heldout_loss_that_is_not_finite_stops_the_training(llama, tmp_path):
    checkpoint = load_checkpoint(str(llama))
    with torch.no_grad():
        checkpoint.model.lm_head.weight.fill_(math.inf)
    with pytest.raises(TrainingDiverged, match="held-out loss is nan"):
        train(checkpoint, DATA, CONFIG, tmp_path / "out")


class Poison(Hook):
    """Makes the loss of a step NaN, or only its gradient."""

    name = "poison"

    def __init__(self, step, kind):
        self.step, self.kind = step, kind

    def loss_terms(self, run, batch, outputs):
        if run.step != self.step or self.kind != "loss":
            return {}
        return {"nan": outputs.logits.sum() * math.nan}

    def before_update(self, run):
        if run.step == self.step and self.kind == "gradient":
            next(iter(run.parameters.values())).grad.fill_(math.inf)


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_a_loss_or_gradient_that_is_not_finite_stops_the_training(llama, tmp_path, kind):
    folder = tmp_path / "out"
    with pytest.raises(TrainingDiverged) as raised:
        train(load_checkpoint(str(llama)), DATA, CONFIG, folder, [Poison(2, kind)])
    assert raised.value.step == 3
    assert len(raised.value.examples) == 4
    assert set(raised.value.examples) <= {e.id for e in DATA.train}
    assert "step 3 of 6" in str(raised.value)
    assert raised.value.examples[0] in str(raised.value)
    assert "the checkpoint of step 2 is kept" in str(raised.value)
    snapshot, _ = snapshots.newest(folder / "checkpoints")
    assert snapshot.step == 2
    assert all(bool(torch.isfinite(t).all()) for t in snapshot.tensors["weights"].values())
    assert [r["step"] for r in rows(folder)] == [0, 1, 2]
    assert not (folder / "training.json").exists()


def test_what_cannot_be_trained_is_refused(llama, tmp_path):
    def start(config=CONFIG, data=DATA):
        return train(load_checkpoint(str(llama)), data, config, tmp_path / "out")

    with pytest.raises(TrainingRefused, match=r"no linear layer named w1; this model has .*up_proj"):
        start(CONFIG.model_copy(update={"lora": LoraSettings(targets=("w1",))}))
    with pytest.raises(TrainingRefused, match="no parameter is trained"):
        start(FULL.model_copy(update={"trainable": "nowhere"}))
    with pytest.raises(TrainingRefused, match="no training example"):
        start(data=TrainingData(()))
    with pytest.raises(TrainingRefused, match="also trained on"):
        start(data=TrainingData(DATA.train, DATA.train[:1]))
    with pytest.raises(ValueError, match="trainable"):
        TrainingConfig(trainable="mlp")


def test_a_training_that_does_not_fit_is_refused_with_its_numbers(llama, tmp_path):
    model = load_checkpoint(str(llama)).model
    parameters = dict(model.named_parameters())
    count = sum(p.numel() for p in parameters.values())
    need = estimate(model, parameters, FULL, longest=50)
    assert (need.weights, need.gradients, need.optimiser) == (4 * count, 4 * count, 8 * count)
    wider = estimate(model, parameters, FULL.model_copy(update={"batch_size": 8}), longest=50)
    lighter = estimate(model, parameters, FULL.model_copy(update={"gradient_checkpointing": True}), longest=50)
    assert wider.activations == pytest.approx(2 * need.activations, rel=1e-6)
    assert lighter.activations < need.activations
    require_memory(need, need.more, FULL)
    with pytest.raises(TrainingRefused, match=r"MiB more are needed \(gradients .*lower batch_size.* with lora"):
        require_memory(need, need.more - 1, FULL)
    huge = CONFIG.model_copy(update={"batch_size": 2**40})
    with pytest.raises(TrainingRefused, match="MiB are at hand"):
        train(load_checkpoint(str(llama)), DATA, huge, tmp_path / "out")


def test_a_folder_is_trained_in_by_one_process_at_a_time(llama, tmp_path):
    from labwright.models.training.files import owned

    with owned(tmp_path / "out"):
        assert ended(forked(is_refused, llama, tmp_path / "out", CONFIG)) == 0


def test_bfloat16_passes_keep_float32_weights(llama, tmp_path):
    config = CONFIG.model_copy(update={"autocast": "bfloat16", "max_steps": 2})
    result = train(load_checkpoint(str(llama)), DATA, config, tmp_path / "out")
    assert math.isfinite(result.loss)
    assert {p.dtype for p in result.model.parameters()} == {torch.float32}
    plain = train(load_checkpoint(str(llama)), DATA, config.model_copy(update={"autocast": "none"}), tmp_path / "b")
    assert result.loss != plain.loss
    assert result.loss == pytest.approx(plain.loss, rel=0.05)


def test_vector_m_adapters_of_a_135_million_model_have_645120_weights() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    shapes = LlamaConfig(vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                         num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True)  # fmt: skip
    with torch.device("meta"):
        model = LlamaForCausalLM(shapes)
        lora = LoraSettings(r=8, targets=("q_proj", "k_proj", "v_proj"))
        prepared = prepare_model(model, CONFIG.model_copy(update={"lora": lora}), ())
    trained = sum(p.numel() for p in prepared.parameters() if p.requires_grad)
    assert trained == 30 * 8 * ((576 + 576) + 2 * (576 + 192)) == 645_120
