"""The fine-tuning of a mixture: what gets gradients, what is written, what each deviation changes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_mixtures import NAMES
from transformers import AutoModelForCausalLM

from labwright.errors import TrainingRefused
from labwright.models.checkpoints import Checkpoint, load_checkpoint
from labwright.models.h3fusion.build import BuildSettings, build
from labwright.models.h3fusion.faithful import chosen
from labwright.models.h3fusion.fuse import FusionPlan, FusionResult, fuse
from labwright.models.h3fusion.fusing import FusionHook, FusionSettings
from labwright.models.h3fusion.losses import gate_loss
from labwright.models.h3fusion.variants import read_variants
from labwright.models.training.config import LoraSettings, TrainingConfig
from labwright.models.training.examples import Example, TrainingData
from labwright.models.training.loop import train

QUICK = TrainingConfig(
    lora=LoraSettings(r=2, alpha=2, dropout=0), template="none", stop_marker="", max_steps=3, batch_size=3,
    checkpoint_every=0, memory_check=False, device="cpu",
)  # fmt: skip


def data(n: int = 3) -> TrainingData:
    rows = [
        Example(f"w{e} w{10 + i}", f"w{20 + e} w{23 + e} w{i}", name, f"{name}:{i}")
        for i in range(n)
        for e, name in enumerate(NAMES)
    ]
    return TrainingData(tuple(rows), (), "made up", "CC0-1.0")


def run(
    base: Path, adapters: dict[str, str], folder: Path, examples: TrainingData | None = None, **changes: Any
) -> FusionResult:
    faithful = chosen(changes.pop("faithful", "").split(","))
    training = QUICK.model_copy(update=changes.pop("training", {}))
    plan = FusionPlan(
        sources=adapters,
        build=BuildSettings(top_k=changes.pop("top_k", 2), faithful=faithful),
        mixtral=changes.pop("mixtral", False),
        fusion=FusionSettings(faithful=faithful, **changes),
        training=training,
    )
    return fuse(str(base), plan, examples or data(), folder)


def start(base: Path, adapters: dict[str, str], faithful: str = "") -> torch.nn.Module:
    dense = load_checkpoint(str(base))
    settings = BuildSettings(faithful=chosen(faithful.split(",")))
    return build(dense, read_variants(dense, adapters), settings)


class Watch(FusionHook):
    """Keeps the gradients and the terms of the last step."""

    def before_update(self, run: Any) -> None:
        self.gradients_seen = {n: p.grad.norm().item() for n, p in run.parameters.items() if p.grad is not None}
        self.terms = dict(run.last.terms)
        super().before_update(run)


def watched(base: Path, adapters: dict[str, str], folder: Path, steps: int = 2, **changes: Any) -> Watch:
    settings = FusionSettings(**{**changes, "faithful": chosen(changes.get("faithful", "").split(","))})
    dense = load_checkpoint(str(base))
    hook = Watch(settings, NAMES)
    checkpoint = Checkpoint(start(base, adapters), dense.tokenizer, dense.path, {})  # type: ignore[arg-type]
    config = settings.training(QUICK.model_copy(update={"max_steps": steps}))
    train(checkpoint, data(), config, folder, hooks=[hook])
    return hook


def test_gradients_reach_router_and_experts_and_leave_attention_alone(
    base: Path, adapters: dict[str, str], tmp_path: Path
) -> None:
    seen = watched(base, adapters, tmp_path / "plain").gradients_seen
    assert all(seen[n] > 0 for n in seen if ".router." in n)
    assert sum(".router." in n for n in seen) == 2
    for e in range(3):
        assert sum(seen[n] for n in seen if f"experts.{e}." in n) > 0
    assert not any("self_attn" in n for n in seen)
    tuned = watched(base, adapters, tmp_path / "tuned", attention="tuned").gradients_seen
    assert sum("self_attn" in n for n in tuned) == 2 * 4 * 2


def test_the_released_way_leaves_the_router_and_tunes_attention(
    base: Path, adapters: dict[str, str], tmp_path: Path
) -> None:
    hook = watched(base, adapters, tmp_path / "a", faithful="untrained_router,tuned_attention")
    assert not any("router" in n for n in hook.gradients_seen)
    assert any("self_attn" in n for n in hook.gradients_seen)


def test_the_gate_is_that_of_the_batch_with_and_without_padding(base: Path, adapters: dict[str, str]) -> None:
    from labwright.models.training.encoding import Batch

    model = start(base, adapters)
    ids = torch.tensor([[5, 6, 7, 0, 0], [8, 9, 10, 11, 12]])
    batch = Batch(ids, (ids != 0).long(), ids, ("honest", "helpful"), ("a", "b"), 2)
    out = model(ids, attention_mask=batch.attention_mask, output_router_logits=True)
    labels = torch.tensor([2, 0])
    for faithful, mask in (("", batch.attention_mask), ("padded_gate", None)):
        hook = FusionHook(FusionSettings(gate_weight=0.5, faithful=chosen([faithful])), NAMES)
        hook._layers = 2
        terms = hook.loss_terms(None, batch, out)  # type: ignore[arg-type]
        assert list(terms) == ["gate"]
        assert terms["gate"].item() == pytest.approx(
            0.5 * gate_loss(out.router_logits, labels, mask=mask).item(), abs=1e-6
        )
    strange = Batch(ids, batch.attention_mask, ids, ("honest", "kind"), ("a", "b"), 2)
    with pytest.raises(TrainingRefused, match="'kind'"):
        hook.loss_terms(None, strange, out)  # type: ignore[arg-type]


def test_terms_of_weight_0_are_left_out(base: Path, adapters: dict[str, str], tmp_path: Path) -> None:
    assert watched(base, adapters, tmp_path / "none", gate_weight=0.0).terms == {}
    both = watched(base, adapters, tmp_path / "both", gate_weight=0.1, gammas=(1.0, 0, 0))
    assert set(both.terms) == {"gate", "drift"}
    assert both.terms["drift"] == pytest.approx(sum(both.drifts()["helpful"]["absolute"]) / 2, rel=0.6)


def test_penalties_are_divided_by_the_layers_there_are_or_by_32(
    base: Path, adapters: dict[str, str], tmp_path: Path
) -> None:
    forms = {"penalty_form": "factor_norms", "gammas": (0.5, 0, 0), "gate_weight": 0.0, "steps": 1}
    ours = watched(base, adapters, tmp_path / "ours", **forms).terms["drift"]
    theirs = watched(base, adapters, tmp_path / "theirs", faithful="hard_coded_layers", **forms).terms["drift"]
    assert ours > 0
    assert theirs == pytest.approx(ours * 2 / 32, rel=1e-5)


def test_a_fused_model_is_written_with_its_record(base: Path, adapters: dict[str, str], tmp_path: Path) -> None:
    before = start(base, adapters)
    result = run(base, adapters, tmp_path / "out", mixtral=True, gate_weight=0.1)
    ids = torch.tensor([[5, 9, 12, 7]])
    found = load_checkpoint(str(tmp_path / "out"))
    torch.testing.assert_close(found.model(ids).logits, result.model(ids).logits, atol=1e-5, rtol=1e-4)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "mixtral")
    torch.testing.assert_close(plain(ids).logits, result.model(ids).logits, atol=1e-5, rtol=1e-4)
    for name, parameter in before.named_parameters():
        moved = not torch.equal(parameter, found.model.get_parameter(name))
        assert moved == (".mlp." in name), name
    record = json.loads((tmp_path / "out" / "fusion.json").read_text())
    assert record["experts"] == list(NAMES)
    assert record["router_shares"].keys() == set(NAMES)
    assert all(math.isclose(sum(layer), 1, abs_tol=1e-5) for ls in record["router_shares"].values() for layer in ls)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "import labwright.models.h3fusion" in card
    assert 'from_pretrained("FOLDER/mixtral")' in card
    assert record["base"]["sha256"] in card


def test_the_recorded_drift_is_the_distance_from_the_start(
    base: Path, adapters: dict[str, str], tmp_path: Path
) -> None:
    before = start(base, adapters)
    result = run(base, adapters, tmp_path / "out")
    for e, name in enumerate(NAMES):
        for layer in range(2):
            old, new = (
                torch.cat([p.flatten() for p in m.mixtures[layer].experts[e].parameters()])
                for m in (before, result.model)
            )
            drift = result.record["drift"][name]
            assert drift["absolute"][layer] == pytest.approx((new - old).norm().item(), rel=1e-2)
            assert drift["relative"][layer] == pytest.approx(((new - old).norm() / old.norm()).item(), rel=1e-2)


def test_every_property_needs_examples_and_no_other_is_taken(
    base: Path, adapters: dict[str, str], tmp_path: Path
) -> None:
    some = TrainingData(tuple(e for e in data().train if e.property != "honest"))
    with pytest.raises(TrainingRefused, match="no example of honest"):
        run(base, adapters, tmp_path / "out", some)
    more = TrainingData((*data().train, Example("w1", "w2", "kind", "x")))
    with pytest.raises(TrainingRefused, match="'kind', which is none of helpful"):
        run(base, adapters, tmp_path / "out", more)


def test_labels_follow_the_examples_or_the_cumulative_rule() -> None:
    from labwright.models.h3fusion.fuse import _mixed

    sizes = {"helpful": 4, "harmless": 3, "honest": 2}
    mixed = TrainingData(tuple(Example("w1", "w2", n, f"{n}:{i}") for n, size in sizes.items() for i in range(size)))
    right = [e.property for e in _mixed(mixed, NAMES, frozenset()).train]
    assert right == ["helpful"] * 4 + ["harmless"] * 3 + ["honest"] * 2
    assert [e.property for e in _mixed(mixed, NAMES, chosen(["cumulative_labels"])).train] == ["helpful"] * 4 + [
        "harmless"
    ] * 5


def test_all_deviations_together_still_make_a_model(base: Path, adapters: dict[str, str], tmp_path: Path) -> None:
    settings = FusionSettings(faithful=chosen(["all"])).released()
    assert (settings.gate_form, settings.penalty_form) == ("double_softmax", "factor_norms")
    result = run(base, adapters, tmp_path / "out", faithful="all", gammas=(0.01, 0.0, 0.0))
    assert result.record["settings"]["faithful"] == sorted(chosen(["all"]))
    before = start(base, adapters)
    for layer in range(2):
        assert torch.equal(result.model.mixtures[layer].router.weight, before.mixtures[layer].router.weight)


@pytest.mark.parametrize(
    ("settings", "why"), [({"gammas": (0.1, 0.1)}, "2 gammas for 3"), ({"gammas": (0.1, -1.0, 0)}, "below 0")]
)
def test_dials_without_a_meaning_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(TrainingRefused, match=why):
        FusionHook(FusionSettings(**settings), NAMES)
