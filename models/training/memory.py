"""How much memory a training takes, estimated before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from labwright.errors import TrainingRefused
from labwright.models.memory import available_bytes
from labwright.models.training.config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by what they hold."""

    weights: int
    """The model as it is loaded: already taken when a training starts."""
    gradients: int
    optimiser: int
    """AdamW's two moments."""
    activations: int
    """What the backward pass of one micro-batch needs, logits included."""

    @property
    def more(self) -> int:
        """What is still to be taken."""
        return self.gradients + self.optimiser + self.activations


def estimate(
    model: nn.Module, parameters: Mapping[str, nn.Parameter], config: TrainingConfig, longest: int
) -> MemoryEstimate:
    """Memory of a training step.

    Activations follow Korthikanti et al. 2022 (arXiv 2205.05198), equation 1: s b h (34 + 5 a s / h) bytes a layer
    at 16 bits, doubled at 32; 19 of the 34 are the feed-forward part at a width of 4 h, scaled here to the model's own
    width and, with a mixture of experts, to their number (all of them: an upper bound). Logits are kept three times in
    float32, counted as if every token were an answer's. Memory of the libraries and fragmentation are not in it.

    Args:
        model: with its adapters.
        parameters: the trained ones.
        config: batch size, precision, gradient checkpointing.
        longest: tokens of the longest example.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    trained = sum(p.numel() * p.element_size() for p in parameters.values())
    return MemoryEstimate(weights, trained, 2 * trained, _activations(model, config, longest))


def _activations(model: nn.Module, config: TrainingConfig, longest: int) -> int:
    shape: Any = getattr(model, "config", None)
    hidden, layers = getattr(shape, "hidden_size", 0), getattr(shape, "num_hidden_layers", 0)
    heads, vocabulary = getattr(shape, "num_attention_heads", 1), getattr(shape, "vocab_size", 0)
    experts = max(getattr(shape, "num_local_experts", 1) or 1, getattr(shape, "num_experts", 1) or 1)
    width = getattr(shape, "intermediate_size", 4 * hidden) / max(1, 4 * hidden)
    sixteen = config.autocast == "bfloat16" or next(model.parameters()).element_size() == 2
    tokens = longest * config.batch_size
    per_layer = tokens * hidden * (15 + 19 * width * experts + 5 * heads * longest / max(1, hidden))
    per_layer *= 1 if sixteen else 2
    kept = per_layer * layers
    if config.gradient_checkpointing:
        kept = per_layer + tokens * hidden * layers * (2 if sixteen else 4)
    return int(kept + 3 * 4 * tokens * vocabulary)


def available(device: torch.device) -> int:
    """Bytes at hand on the device: the free ones of an accelerator, else what this process may still take."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else available_bytes()


def require_memory(need: MemoryEstimate, at_hand: int, config: TrainingConfig) -> None:
    """Refuse a training that does not fit.

    Raises:
        TrainingRefused: with the estimate by part, the memory at hand, and what to lower.
    """
    if need.more <= at_hand:
        return
    lower = ["batch_size (and raise accumulate)"] if config.batch_size > 1 else []
    lower += ["max_tokens"]
    lower += [] if config.gradient_checkpointing else ["activations, with gradient_checkpointing"]
    lower += ["the trained weights, with lora"] if config.lora is None else []
    parts = {"gradients": need.gradients, "optimiser": need.optimiser, "activations": need.activations}
    raise TrainingRefused(
        f"about {need.more / MIB:.0f} MiB more are needed ({', '.join(f'{k} {v / MIB:.0f}' for k, v in parts.items())}"
        f"; the weights take {need.weights / MIB:.0f} already), and {at_hand / MIB:.0f} MiB are at hand; "
        f"lower {', or '.join(lower)}; memory_check = false starts all the same"
    )
