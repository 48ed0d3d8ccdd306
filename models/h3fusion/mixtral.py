"""The same mixture as a Mixtral checkpoint, which transformers, vLLM and llama.cpp load without labwright.

Mixtral's block (arXiv 2401.04088) is the same function: softmax over all experts in float32, the top k renormalised,
SwiGLU experts. Its attention is Llama's without biases, so mixtures of Llama and Mistral bases can be written so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from labwright.errors import WrongUse
from labwright.models.h3fusion.modeling import H3FusionForCausalLM

if TYPE_CHECKING:
    from transformers import MixtralForCausalLM, PretrainedConfig

COPIED = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps", "rope_parameters",
    "initializer_range", "tie_word_embeddings", "attention_dropout", "sliding_window", "bos_token_id", "eos_token_id",
    "pad_token_id",
)  # fmt: skip


def mixtral_obstacle(config: PretrainedConfig) -> str:
    """Why a base with this configuration has no Mixtral form; empty when it has one."""
    if config.model_type not in ("llama", "mistral"):
        return f"a {config.model_type} base computes otherwise than Mixtral"
    biased = [name for name in ("attention_bias", "mlp_bias") if getattr(config, name, False)]
    if biased:
        return f"the base has biases ({', '.join(biased)}), Mixtral has none"
    if config.hidden_act != "silu":
        return f"the base's activation is {config.hidden_act}, not silu"
    return ""


def as_mixtral(model: H3FusionForCausalLM) -> MixtralForCausalLM:
    """The mixture as a MixtralForCausalLM with copies of its weights.

    Raises:
        WrongUse: the base is no Llama or Mistral without biases.
    """
    from transformers import MixtralConfig, MixtralForCausalLM

    text = model.config.text_config
    if obstacle := mixtral_obstacle(text):
        raise WrongUse(f"no Mixtral form: {obstacle}; load the fusion with labwright.models.h3fusion imported")
    values: dict[str, Any] = {name: getattr(text, name) for name in COPIED if hasattr(text, name)}
    config = MixtralConfig(
        **values, num_local_experts=model.config.num_experts, num_experts_per_tok=model.config.num_experts_per_tok,
        router_jitter_noise=0.0, dtype=model.language_model.dtype,
    )  # fmt: skip
    written: MixtralForCausalLM = MixtralForCausalLM(config).to(model.language_model.dtype)
    dense = {n: t for n, t in model.language_model.state_dict().items() if ".mlp." not in n}
    state = {**dense, **_blocks(model)}
    absent = written.load_state_dict(state, strict=False)
    if absent.missing_keys or absent.unexpected_keys:
        raise WrongUse(f"this release of transformers writes Mixtral otherwise: {absent}")
    written.generation_config = model.generation_config
    written.eval()  # type: ignore[no-untyped-call]
    return written


def _blocks(model: H3FusionForCausalLM) -> dict[str, torch.Tensor]:
    """Routers and experts under Mixtral's names, the experts of a layer stacked."""
    found: dict[str, torch.Tensor] = {}
    for number, mixture in enumerate(model.mixtures):
        experts: list[Any] = list(mixture.experts)
        stem = f"model.layers.{number}.mlp"
        found[f"{stem}.gate.weight"] = mixture.router.weight
        pairs = [torch.cat([e.gate_proj.weight, e.up_proj.weight]) for e in experts]  # each (2 i, h)
        found[f"{stem}.experts.gate_up_proj"] = torch.stack(pairs)  # (K, 2 i, h)
        found[f"{stem}.experts.down_proj"] = torch.stack([e.down_proj.weight for e in experts])  # (K, h, i)
    return found


def save_as_mixtral(model: H3FusionForCausalLM, folder: Path) -> None:
    """Write the mixture as a Mixtral checkpoint in safetensors.

    The router is written in the dtype of the other weights, as Mixtral keeps it: with bfloat16 weights, nearly equal
    experts may be chosen otherwise than by the fusion, whose router is float32.

    Raises:
        WrongUse: as `as_mixtral`.
    """
    as_mixtral(model).save_pretrained(folder)
