"""Experts from a base and its alignments, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_mixtures import NAMES, tokenizer, write_adapter, write_base
from transformers import AutoModelForCausalLM

from labwright.errors import HashMismatch, WrongUse
from labwright.models.checkpoints import Checkpoint, load_checkpoint
from labwright.models.h3fusion.build import BuildSettings, build
from labwright.models.h3fusion.faithful import FAITHFUL, chosen, evaluated_rows
from labwright.models.h3fusion.modeling import H3FusionForCausalLM
from labwright.models.h3fusion.variants import Variant, read_variants


def loaded(base: Path) -> Checkpoint:
    return load_checkpoint(str(base))


def built(base: Path, sources: dict[str, str], **settings: object) -> H3FusionForCausalLM:
    dense = loaded(base)
    faithful = settings.get("faithful", frozenset())
    variants = read_variants(dense, sources, own_base="other_base" in faithful)  # type: ignore[operator]
    return build(dense, variants, BuildSettings(**settings))  # type: ignore[arg-type]


def up(model: H3FusionForCausalLM, expert: int, layer: int = 1) -> torch.Tensor:
    return model.mixtures[layer].experts[expert].up_proj.weight


def factors(folder: str) -> tuple[torch.Tensor, torch.Tensor]:
    from safetensors.torch import load_file

    stem = "base_model.model.model.layers.1.mlp.up_proj.lora_"
    weights = load_file(Path(folder) / "adapter_model.safetensors")
    return weights[f"{stem}A.weight"], weights[f"{stem}B.weight"]


def hand_made(model: object, deltas: list[torch.Tensor], scale: float = 1.0) -> list[Variant]:
    name = "model.layers.0.mlp.up_proj.weight"
    return [Variant(n, {name: d}, scale, {"source": n}) for n, d in zip(NAMES, deltas, strict=True)]


def test_vector_5_the_scale_is_part_of_the_merge(base: Path, adapters: dict[str, str]) -> None:
    a, b = torch.tensor([[1.0, 2]]), torch.tensor([[3.0], [4]])
    assert (0.5 * b @ a).tolist() == [[1.5, 3], [2, 4]]
    start = loaded(base).model.model.layers[1].mlp.up_proj.weight
    model, unscaled = built(base, adapters), built(base, adapters, faithful=frozenset({"unscaled_merge"}))
    for e, name in enumerate(NAMES):
        a, b = factors(adapters[name])  # r = 2, alpha = 1
        torch.testing.assert_close(up(model, e), start + 0.5 * b @ a, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(up(unscaled, e), start + b @ a, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("faithful", "expected"), [((), [1.0, 2, 3]), (("aliased_experts",), [6.0, 6, 6])])
def test_vector_6_experts_are_copies_unless_aliased(
    base: Path, faithful: tuple[str, ...], expected: list[float]
) -> None:
    dense = loaded(base)
    weight = dense.model.model.layers[0].mlp.up_proj.weight
    with torch.no_grad():
        weight.zero_()
    eye = torch.eye(*weight.shape)
    model = build(dense, hand_made(dense.model, [eye, 2 * eye, 3 * eye]), BuildSettings(faithful=frozenset(faithful)))
    for e, times in enumerate(expected):
        torch.testing.assert_close(up(model, e, layer=0), times * eye)


def test_experts_alone_are_the_aligned_models(base: Path, adapters: dict[str, str]) -> None:
    ids = torch.tensor([[5, 9, 12, 7]])
    model = built(base, adapters, top_k=1)
    for e, name in enumerate(NAMES):
        with torch.no_grad():
            for block in model.mixtures:
                block.router.forward = (
                    lambda x, e=e: (
                        torch.nn.functional.one_hot(  # type: ignore[method-assign]
                            torch.full(x.shape[:-1], e), 3
                        ).float()
                        * 50
                    )
                )
            found = model(ids).logits
        torch.testing.assert_close(found, load_checkpoint(adapters[name]).model(ids).logits, atol=1e-5, rtol=1e-4)


def test_whole_models_make_the_experts_that_their_adapters_make(
    base: Path, adapters: dict[str, str], tmp_path: Path
) -> None:
    whole = {}
    for name, folder in adapters.items():
        checkpoint = load_checkpoint(folder)
        checkpoint.model.save_pretrained(tmp_path / name)
        checkpoint.tokenizer.save_pretrained(tmp_path / name)
        whole[name] = str(tmp_path / name)
    one, other = built(base, adapters), built(base, whole)
    for e in range(3):
        torch.testing.assert_close(up(one, e), up(other, e), atol=1e-6, rtol=0)


def test_top_k_is_honoured_unless_it_is_fixed(base: Path, adapters: dict[str, str]) -> None:
    assert built(base, adapters, top_k=3).mixtures[0].top_k == 3
    assert built(base, adapters, top_k=3, faithful=frozenset({"fixed_top_k"})).mixtures[0].top_k == 2
    with pytest.raises(WrongUse, match="top_k 4 of 3"):
        built(base, adapters, top_k=4)


def test_the_seed_draws_the_router(base: Path, adapters: dict[str, str]) -> None:
    one, same, other = (built(base, adapters, seed=s).mixtures[0].router.weight for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_changes_of_attention_are_refused_or_averaged(base: Path, adapters: dict[str, str], tmp_path: Path) -> None:
    wide = str(write_adapter(tmp_path / "wide", base, 9, targets=("up_proj", "q_proj")))
    sources = {**adapters, "honest": wide}
    with pytest.raises(WrongUse, match=r"honest: changed 2 weights outside .*q_proj"):
        built(base, sources)
    start = loaded(base).model.model.layers[0].self_attn.q_proj.weight
    moved = load_checkpoint(wide).model.model.layers[0].self_attn.q_proj.weight
    model = built(base, sources, shared="average")
    found = model.language_model.model.layers[0].self_attn.q_proj.weight
    torch.testing.assert_close(found, start + (moved - start) / 3, atol=1e-6, rtol=1e-5)


def test_a_missing_property_is_named(base: Path, adapters: dict[str, str]) -> None:
    with pytest.raises(WrongUse, match="no model for honest"):
        read_variants(loaded(base), {**adapters, "honest": ""})
    with pytest.raises(WrongUse, match="second property"):
        read_variants(loaded(base), {"helpful": adapters["helpful"]})


def test_an_adapter_of_another_base_is_refused(base: Path, adapters: dict[str, str], tmp_path: Path) -> None:
    other = write_base(tmp_path / "other", seed=5)
    foreign = str(write_adapter(tmp_path / "foreign", other, 3))
    with pytest.raises(HashMismatch, match="was trained on weights"):
        read_variants(loaded(base), {**adapters, "honest": foreign})


def test_the_released_way_adds_an_adapter_to_another_base(base: Path, adapters: dict[str, str], tmp_path: Path) -> None:
    chat = write_base(tmp_path / "chat", seed=5)
    model = built(chat, adapters, faithful=frozenset({"other_base"}))
    a, b = factors(adapters["honest"])
    start = loaded(chat).model.model.layers[1].mlp.up_proj.weight
    torch.testing.assert_close(up(model, 2), start + 0.5 * b @ a, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "why"), [({"intermediate_size": 64}, "another shape"), ({"vocab_size": 44}, "another shape")]
)
def test_a_model_of_another_shape_is_refused(
    base: Path, adapters: dict[str, str], tmp_path: Path, changes: dict[str, int], why: str
) -> None:
    other = str(write_base(tmp_path / "other", seed=1, **changes))
    with pytest.raises(WrongUse, match=f"honest .*{why}"):
        read_variants(loaded(base), {**adapters, "honest": other})


def test_a_model_with_another_tokenizer_is_refused(base: Path, adapters: dict[str, str], tmp_path: Path) -> None:
    other = str(write_base(tmp_path / "other", seed=1, words=30))
    with pytest.raises(WrongUse, match="tokenizer differs from the base's in 6 entries"):
        read_variants(loaded(base), {**adapters, "honest": other})
    copy = tmp_path / "copy"
    write_adapter(copy, base, 4)
    tokenizer(30).save_pretrained(copy)
    with pytest.raises(WrongUse, match="tokenizer differs"):
        read_variants(loaded(base), {**adapters, "honest": str(copy)})


def test_an_alignment_that_changed_nothing_is_refused(base: Path, adapters: dict[str, str]) -> None:
    with pytest.raises(WrongUse, match="equals its base"):
        read_variants(loaded(base), {**adapters, "honest": str(base)})


def test_an_adapter_of_shared_embeddings_is_refused(tmp_path: Path) -> None:
    tied = write_base(tmp_path / "tied", "llama_tied")
    good = str(write_adapter(tmp_path / "good", tied, 1))
    head = str(write_adapter(tmp_path / "head", tied, 2, targets=("up_proj", "lm_head")))
    with pytest.raises(WrongUse, match="shares between its embeddings and its head"):
        read_variants(loaded(tied), {"helpful": good, "harmless": head})
    assert built(tied, {"helpful": good, "harmless": good}).config.tie_word_embeddings


def test_adapters_of_other_kinds_are_refused(base: Path, adapters: dict[str, str], tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "ia3", base, 3)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "IA3"}))
    with pytest.raises(WrongUse, match="plain LoRA"):
        read_variants(loaded(base), {**adapters, "honest": str(folder)})


def test_ranks_may_differ(base: Path, adapters: dict[str, str], tmp_path: Path) -> None:
    wide = str(write_adapter(tmp_path / "wide", base, 7, r=5, lora_alpha=10))
    model = built(base, {**adapters, "honest": wide})
    torch.testing.assert_close(
        up(model, 2), load_checkpoint(wide).model.model.layers[1].mlp.up_proj.weight, atol=1e-6, rtol=0
    )


def test_the_base_itself_is_not_changed_by_reading(base: Path, adapters: dict[str, str]) -> None:
    dense = loaded(base)
    read_variants(dense, adapters)
    for one, other in zip(
        dense.model.parameters(), AutoModelForCausalLM.from_pretrained(base).parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_deviations_are_named_one_by_one() -> None:
    assert len(FAITHFUL) == 10
    assert chosen(["all"]) == frozenset(FAITHFUL)
    assert chosen([""]) == frozenset()
    with pytest.raises(WrongUse, match="nonsense: one of all, aliased_experts"):
        chosen(["nonsense"])
    assert evaluated_rows("helpful", 805, chosen(["first_rows"])) == 50
    assert evaluated_rows("honest", 409, chosen(["first_rows"])) == 409
    assert evaluated_rows("helpful", 805, chosen([""])) == 805
