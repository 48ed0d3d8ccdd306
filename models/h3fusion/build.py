"""A mixture from one base and its alignments: every expert is the base's feed-forward block as one of them left it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from labwright.errors import WrongUse
from labwright.models.checkpoints import Checkpoint
from labwright.models.h3fusion.faithful import TOP_K
from labwright.models.h3fusion.modeling import PROJECTIONS, H3FusionConfig, H3FusionForCausalLM, decoder_layers
from labwright.models.h3fusion.variants import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """How experts are made."""

    top_k: int = 2
    """Experts computed for a token."""
    shared: Literal["refuse", "average"] = "refuse"
    """What becomes of changes outside the feed-forward blocks, which no expert can hold: an error, or their mean is
    added to the base."""
    seed: int = 42
    """Of the router's start."""
    faithful: frozenset[str] = frozenset()
    """Deviations of the released code (faithful.py)."""


def build(base: Checkpoint, variants: Sequence[Variant], settings: BuildSettings) -> H3FusionForCausalLM:
    """Make the mixture; W_e = W_base + scale * B_e A_e, or the weights of a whole model.

    Args:
        base: taken over by the mixture: afterwards it is part of it.
        variants: one an expert, in the order of the experts' ids.
        settings: how.

    Returns:
        In evaluation mode, in the dtype of the base, the router in float32.

    Raises:
        WrongUse: an alignment changed more than the feed-forward blocks, top_k is not among the experts, or the base
            is no Llama-like decoder.
    """
    k = TOP_K if "fixed_top_k" in settings.faithful else settings.top_k
    if not 1 <= k <= len(variants):
        raise WrongUse(f"top_k {k} of {len(variants)} experts; give 1 to {len(variants)}")
    decoder_layers(base.model)
    names = {n for n, _ in base.model.named_parameters()}
    blocks = {n for n in names if _is_block(n)}
    changes = [_scaled(v, settings.faithful) for v in variants]
    _average_shared(base, variants, blocks, settings)
    config = H3FusionConfig(
        copy.deepcopy(base.model.config), len(variants), k, tuple(v.property for v in variants),
        dtype=base.model.config.dtype,
    )  # fmt: skip
    fused = H3FusionForCausalLM.from_dense(base.model, config, settings.seed)
    for layer, mixture in enumerate(fused.mixtures):
        for e, expert in enumerate(mixture.experts):
            taken = changes if "aliased_experts" in settings.faithful else [changes[e]]
            for part in PROJECTIONS:
                name = f"model.layers.{layer}.mlp.{part}"
                _add(getattr(expert, part).weight, [c[w] for c in taken if (w := f"{name}.weight") in c])
                if (bias := getattr(expert, part).bias) is not None:
                    _add(bias, [c[w] for c in taken if (w := f"{name}.bias") in c])
    fused.eval()  # type: ignore[no-untyped-call]
    return fused


def _is_block(name: str) -> bool:
    parts = name.split(".")
    return len(parts) >= 3 and parts[-3] == "mlp" and parts[-2] in PROJECTIONS


def _scaled(variant: Variant, faithful: frozenset[str]) -> Mapping[str, Tensor]:
    if "unscaled_merge" not in faithful or variant.scale == 1:
        return variant.deltas
    return {name: delta / variant.scale for name, delta in variant.deltas.items()}


def _average_shared(base: Checkpoint, variants: Sequence[Variant], blocks: set[str], settings: BuildSettings) -> None:
    """Bring what alignments changed outside the blocks into the base, where that is allowed."""
    shared = {v.property: sorted(set(v.deltas) - blocks) for v in variants}
    changed = sorted({name for names in shared.values() for name in names})
    if not changed:
        return
    if settings.shared == "refuse":
        who = ", ".join(name for name, names in shared.items() if names)
        raise WrongUse(
            f"{who}: changed {len(changed)} weights outside the feed-forward blocks, such as {changed[0]}, which no "
            "expert can hold; align gate_proj, up_proj and down_proj alone, or average them (--shared average)"
        )
    parameters = dict(base.model.named_parameters())
    for name in changed:
        _add(parameters[name], [v.deltas[name] / len(variants) for v in variants if name in v.deltas])


def _add(parameter: Tensor, deltas: Sequence[Tensor]) -> None:
    """Add in float32 and round once to the parameter's dtype."""
    with torch.no_grad():
        total = parameter.float()
        for delta in deltas:
            total = total + delta.to(parameter.device)
        parameter.copy_(total)
