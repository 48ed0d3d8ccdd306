"""The mixture as a model of transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_mixtures import FAMILIES, mixture
from transformers import AutoConfig, AutoModelForCausalLM, BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel

from labwright.errors import WrongUse
from labwright.models.h3fusion import H3FusionConfig, H3FusionForCausalLM
from labwright.models.h3fusion.losses import route
from labwright.models.h3fusion.mixtral import as_mixtral, save_as_mixtral
from labwright.models.h3fusion.modeling import Mixture, decoder_layers

IDS = torch.tensor([[5, 9, 12, 7, 30, 8, 4], [6, 22, 31, 9, 9, 5, 11]])
families = pytest.mark.parametrize("family", FAMILIES)


def by_hand(block: Mixture, x: torch.Tensor) -> torch.Tensor:
    """All experts on all tokens, weighted: what the grouped computation has to equal."""
    weights, ids = route(block.router(x), block.top_k)
    dense = torch.zeros(*x.shape[:-1], len(block.experts)).scatter(-1, ids, weights)
    outputs = torch.stack([expert(x) for expert in block.experts], dim=-2)  # (b, t, K, hidden)
    return (dense[..., None] * outputs).sum(dim=-2)


@families
@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_grouping_by_expert_changes_nothing(family: str, top_k: int) -> None:
    block = mixture(family, top_k).mixtures[0]
    for shape in ((2, 7, 32), (1, 1, 32)):
        x = torch.randn(shape)
        torch.testing.assert_close(block(x), by_hand(block, x), atol=1e-5, rtol=1e-5)


def test_experts_see_only_the_tokens_that_chose_them() -> None:
    block = mixture(top_k=2).mixtures[0]
    seen = [0, 0, 0]
    for e, expert in enumerate(block.experts):
        expert.register_forward_hook(lambda _m, inputs, _o, e=e: seen.__setitem__(e, seen[e] + len(inputs[0])))
    x = torch.randn(4, 11, 32)
    block(x)
    _, ids = route(block.router(x), 2)
    assert seen == [int((ids == e).sum()) for e in range(3)]
    assert sum(seen) == 2 * 44


@pytest.mark.parametrize("n", [1, 6])
def test_an_expert_that_nobody_chose_is_not_computed(n: int) -> None:
    block = mixture(top_k=1).mixtures[0]
    with torch.no_grad():
        block.router.weight.zero_()
        block.router.weight[1] = 1.0
    calls: list[int] = []
    for e, expert in enumerate(block.experts):
        expert.register_forward_hook(lambda *_, e=e: calls.append(e))
    block(torch.rand(1, n, 32))
    assert calls == [1]


@families
def test_generation_with_the_cache_equals_generation_without(family: str) -> None:
    model = mixture(family)
    settings = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    with_cache = model.generate(IDS, use_cache=True, **settings)
    assert with_cache.shape == (2, 19)
    assert torch.equal(with_cache, model.generate(IDS, use_cache=False, **settings))


@families
def test_a_batch_gives_what_each_prompt_gives_alone(family: str) -> None:
    model = mixture(family)
    padded = torch.tensor([[0, 0, 0, 5, 9, 12, 7], IDS[1].tolist()])
    mask = (padded != 0).long()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        together = model(padded, attention_mask=mask, position_ids=positions).logits
        alone = model(IDS[:1, :4]).logits
        other = model(IDS[1:]).logits
    torch.testing.assert_close(together[0, 3:], alone[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together[1], other[0], atol=1e-5, rtol=1e-4)


@families
def test_what_is_saved_is_loaded_bit_by_bit(family: str, tmp_path: Path) -> None:
    model = mixture(family)
    model.set_top_k(1)
    model.save_pretrained(tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".json", ".safetensors"]
    loaded, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert isinstance(loaded, H3FusionForCausalLM)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for (name, old), (same, new) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == same
        assert torch.equal(old, new)
    assert loaded.mixtures[0].top_k == 1
    # Where the loader put the weights in memory may change the order of a sum.
    torch.testing.assert_close(loaded.eval()(IDS).logits, model(IDS).logits, atol=1e-6, rtol=1e-6)


def test_the_configuration_is_found_by_its_type_and_checked(tmp_path: Path) -> None:
    H3FusionConfig(FAMILIES["qwen2"], properties=("a", "b", "c")).save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, H3FusionConfig)
    assert config.properties == ["a", "b", "c"]
    assert config.text_config.model_type == "qwen2"
    with pytest.raises(ValueError, match="top-4 of 3"):
        H3FusionConfig(FAMILIES["llama"], num_experts_per_tok=4)
    with pytest.raises(ValueError, match="one name each"):
        H3FusionConfig(FAMILIES["llama"], num_experts=2)
    with pytest.raises(ValueError, match="top-0 of 3"):
        mixture().set_top_k(0)


def test_the_router_is_computed_in_float32_under_autocast() -> None:
    model = mixture()
    wanted = model(IDS, output_router_logits=True).router_logits[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        router = model.mixtures[0].router
        x = torch.randn(3, 32)
        given = router(x)
        whole = model(IDS, output_router_logits=True).router_logits[0]
    assert given.dtype == whole.dtype == torch.float32
    assert torch.equal(given, x @ router.weight.T)
    torch.testing.assert_close(whole, wanted, atol=0.1, rtol=0.1)  # only what comes before it was rounded


def test_the_router_stays_in_float32(tmp_path: Path) -> None:
    mixture().save_pretrained(tmp_path)
    half = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.mixtures[0].router.weight.dtype == torch.float32
    assert half.mixtures[0].experts[0].up_proj.weight.dtype == torch.bfloat16
    out = half(IDS, output_router_logits=True)
    assert out.logits.dtype == torch.bfloat16
    assert out.router_logits[0].dtype == torch.float32


def test_router_logits_come_by_layer_and_sample_and_carry_a_gradient() -> None:
    model = mixture()
    out = model(IDS, output_router_logits=True)
    assert [tuple(r.shape) for r in out.router_logits] == [(2, 7, 3), (2, 7, 3)]
    assert model(IDS).router_logits is None
    out.router_logits[1].sum().backward()
    assert model.mixtures[1].router.weight.grad is not None
    assert not any(m.router._forward_hooks for m in model.mixtures)


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    model = mixture().train()

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        out = model(IDS, labels=IDS, output_router_logits=True, use_cache=False)
        (out.loss + sum(r.softmax(-1)[..., 0].mean() for r in out.router_logits)).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    plain = gradients()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for one, other in zip(plain, gradients(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("family", ["llama", "llama_tied"])
@pytest.mark.parametrize("top_k", [1, 2])
def test_the_mixtral_form_is_the_same_function(family: str, top_k: int, tmp_path: Path) -> None:
    model = mixture(family, top_k)
    torch.testing.assert_close(as_mixtral(model)(IDS).logits, model(IDS).logits, atol=1e-5, rtol=1e-4)
    save_as_mixtral(model, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded).__name__ == "MixtralForCausalLM"
    torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("family", "why"), [("qwen2", "qwen2 base"), ("gemma2", "gemma2 base")])
def test_no_mixtral_form_of_another_family(family: str, why: str) -> None:
    with pytest.raises(WrongUse, match=why):
        as_mixtral(mixture(family))


def test_a_decoder_of_another_build_is_refused() -> None:
    gpt = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=11))
    with pytest.raises(WrongUse, match="Llama-like decoder"):
        decoder_layers(gpt)
    bert = BertLMHeadModel(
        BertConfig(
            num_hidden_layers=1,
            hidden_size=8,
            num_attention_heads=1,
            intermediate_size=8,
            vocab_size=11,
            is_decoder=True,
        )
    )
    with pytest.raises(WrongUse, match="Llama-like decoder"):
        decoder_layers(bert)
