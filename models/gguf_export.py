"""Writing a checkpoint as a GGUF file, so that llama.cpp runs it several times faster than transformers.

Tensor names come from the `gguf` package's map. Two things are ours to get right: llama.cpp rotates the pairs of
a head's dimensions that lie side by side where transformers rotates its two halves, so the query and key rows of
Llama models change their order; and the experts of a layer are stacked into one tensor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from gguf import (
    GGML_QUANT_VERSION,
    MODEL_ARCH,
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFWriter,
    LlamaFileType,
    RopeScalingType,
    get_tensor_name_map,
)
from gguf.quants import quantize

from labwright.errors import WrongUse
from labwright.models.gguf_tokenizer import write_tokenizer

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint

Dtype = Literal["f32", "f16", "q8_0"]
FILE_TYPES = {"f32": LlamaFileType.ALL_F32, "f16": LlamaFileType.MOSTLY_F16, "q8_0": LlamaFileType.MOSTLY_Q8_0}
QUANTS = {"f32": GGMLQuantizationType.F32, "f16": GGMLQuantizationType.F16, "q8_0": GGMLQuantizationType.Q8_0}
Q8_BLOCK = 32
KINDS = {"llama": MODEL_ARCH.LLAMA, "qwen2": MODEL_ARCH.QWEN2, "mixtral": MODEL_ARCH.LLAMA}
"""Model type of transformers to architecture of llama.cpp; a fused mixture over Llama counts as mixtral."""
EXPERT = re.compile(r"(model\.layers\.\d+\.mlp\.experts)\.(\d+)\.(gate_proj|up_proj|down_proj)\.weight")


def read_dtype(name: str) -> Dtype:
    """The type of that name.

    Raises:
        WrongUse: there is none.
    """
    if name not in QUANTS:
        raise WrongUse(f"--dtype {name!r}: one of {', '.join(QUANTS)}")
    return cast("Dtype", name)


def export_gguf(checkpoint: Checkpoint, out: Path, dtype: Dtype = "f16") -> None:
    """Write a checkpoint with its tokenizer and chat template.

    Args:
        checkpoint: of a Llama- or Qwen2-like model, or of a mixture whose base is Llama-like.
        out: the file; written beside and renamed when it is whole.
        dtype: type of the matrices; vectors and routers are float32 in any case. Matrices whose rows are no
            multiple of 32 long stay float16 under q8_0.

    Raises:
        WrongUse: the file exists, or llama.cpp knows no model like this one.
    """
    if out.exists():
        raise WrongUse(f"{out} exists; name another file or remove it")
    config = checkpoint.model.config.get_text_config()
    kind = "mixtral" if checkpoint.facts.get("experts") else str(config.model_type)
    _check(kind, config)
    partial = out.with_name(f"{out.name}.part")
    writer = GGUFWriter(partial, MODEL_ARCH_NAMES[KINDS[kind]], use_temp_file=True)
    _write_settings(writer, config, checkpoint.facts)
    writer.add_file_type(FILE_TYPES[dtype])
    write_tokenizer(writer, checkpoint.tokenizer, int(config.vocab_size))
    for name, weight in _tensors(checkpoint, config, KINDS[kind]):
        stored = _type(name, weight, dtype)
        writer.add_tensor(name, quantize(weight, stored), raw_dtype=stored)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _check(kind: str, config: Any) -> None:
    """Refuse what would be written otherwise than the model computes."""
    if kind not in KINDS or (kind == "mixtral" and config.model_type not in ("llama", "mixtral")):
        raise WrongUse(
            f"models of type {config.model_type} cannot be exported; Llama, Qwen2 and mixtures over Llama can"
        )
    if config.hidden_act != "silu":
        raise WrongUse(f"the activation {config.hidden_act} cannot be exported, silu can")
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        raise WrongUse("a model with a sliding window cannot be exported")
    rope = str(config.rope_parameters.get("rope_type", "default"))
    if rope not in ("default", "linear", "llama3"):
        raise WrongUse(f"the position scaling {rope} cannot be exported; default, linear and llama3 can")


def _write_settings(writer: GGUFWriter, config: Any, facts: dict[str, Any]) -> None:
    heads, head_dim = int(config.num_attention_heads), _head_dim(config)
    writer.add_name(str(facts["model"]))
    writer.add_string("labwright.source.sha256", str(facts["sha256"]))
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_vocab_size(int(config.vocab_size))
    writer.add_context_length(int(config.max_position_embeddings))
    writer.add_embedding_length(int(config.hidden_size))
    writer.add_block_count(int(config.num_hidden_layers))
    writer.add_feed_forward_length(int(config.intermediate_size))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.num_key_value_heads))
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    if config.rope_parameters.get("rope_type") == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(config.rope_parameters["factor"]))
    if facts.get("experts"):
        writer.add_expert_count(int(facts["experts"]))
        writer.add_expert_used_count(int(facts["top_k"]))


def _tensors(checkpoint: Checkpoint, config: Any, arch: MODEL_ARCH) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Every tensor under llama.cpp's name, float32."""
    names = get_tensor_name_map(arch, int(config.num_hidden_layers))
    tied = bool(config.tie_word_embeddings)
    for name, weight in _merged(checkpoint.model.state_dict()):
        if tied and name == "lm_head.weight":
            continue
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise WrongUse(f"the weight {name} has no place in a GGUF file of {MODEL_ARCH_NAMES[arch]}")
        data = weight.detach().to("cpu", torch.float32).numpy()
        if arch == MODEL_ARCH.LLAMA and name.rsplit(".", 2)[-2] in ("q_proj", "k_proj"):
            data = _side_by_side(data, _head_dim(config))
        yield found, np.ascontiguousarray(data)
    if config.rope_parameters.get("rope_type") == "llama3":
        yield "rope_freqs.weight", _llama3_factors(config)


def _merged(weights: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights under the names of a dense base, the experts of a layer as one (experts, out, in) each."""
    stacks: dict[str, dict[int, torch.Tensor]] = {}
    for full, weight in weights.items():
        name = full.removeprefix("language_model.")
        if found := EXPERT.fullmatch(name):
            stacks.setdefault(f"{found[1]}.{found[3]}.weight", {})[int(found[2])] = weight
        elif name.endswith(".mlp.experts.gate_up_proj"):
            gate, up = weight.chunk(2, dim=1)  # (experts, 2 * inner, hidden)
            place = name.removesuffix("gate_up_proj")
            yield from ((f"{place}gate_proj.weight", gate), (f"{place}up_proj.weight", up))
        elif name.endswith(".mlp.experts.down_proj"):
            yield f"{name}.weight", weight
        else:
            yield name, weight
    for name, experts in stacks.items():
        yield name, torch.stack([experts[i] for i in sorted(experts)])


def _side_by_side(rows: np.ndarray[Any, Any], head_dim: int) -> np.ndarray[Any, Any]:
    """Reorder the rows of each head from (first half, second half) to pairs."""
    heads = rows.shape[0] // head_dim
    halves = rows.reshape(heads, 2, head_dim // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _llama3_factors(config: Any) -> np.ndarray[Any, Any]:
    """Divisor of each rotation frequency in Llama 3's scaling of positions, (head_dim / 2,).

    As transformers' `_compute_llama3_parameters`: long waves are slowed by `factor`, short ones kept, those
    between are blended.
    """
    rope = config.rope_parameters
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    known, factor = float(rope["original_max_position_embeddings"]), float(rope["factor"])
    dims = np.arange(0, _head_dim(config), 2) / _head_dim(config)
    waves = 2 * math.pi * float(rope["rope_theta"]) ** dims
    smooth = np.clip((known / waves - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def _head_dim(config: Any) -> int:
    given = getattr(config, "head_dim", None)
    return int(given or config.hidden_size // config.num_attention_heads)


def _type(name: str, weight: np.ndarray[Any, Any], dtype: Dtype) -> GGMLQuantizationType:
    if weight.ndim == 1 or name.endswith("ffn_gate_inp.weight"):
        return GGMLQuantizationType.F32
    if dtype == "q8_0" and weight.shape[-1] % Q8_BLOCK:
        return GGMLQuantizationType.F16
    return QUANTS[dtype]
