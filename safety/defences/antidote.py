"""Antidote (Huang et al. 2024, arXiv 2408.09600): after fine-tuning, weights most active on harmful data become zero.

The score of a weight W_ij of a linear layer is |W_ij| * c_j, with c_j the activity of its input j on harmful pairs:
over samples X_s (tokens x inputs) the root mean square of ||X_s[:, j]|| (the released code) or its mean (the paper).
In each row the highest `share` is pruned (the released code), or in each layer, or over all layers (the paper's
ArgTopK).

With LoRA the adapter's two factors are pruned, each by its own inputs, and nothing else; otherwise q, k and v. Weights
are changed only when every mask is there, so one forward pass a sample is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from labwright.errors import TrainingRefused
from labwright.models.training.encoding import collate, model_inputs

if TYPE_CHECKING:
    from labwright.models.training.encoding import Encoded

FACTORS = ("lora_A", "lora_B")
PROJECTIONS = ("q_proj", "k_proj", "v_proj")


class AntidoteSettings(BaseModel):
    """Settings of Antidote."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(0.05, ge=0, le=1)
    """alpha, of the weights of a row, a layer or all layers that become zero; above 0 at least one of each."""
    aggregate: Literal["rms", "mean"] = "rms"
    """Of the samples' column norms."""
    scope: Literal["row", "layer", "global"] = "row"
    """Within what the highest scores are taken."""
    score: Literal["importance", "magnitude", "random"] = "importance"
    """magnitude is |W| and random a draw, neither looks at data: the ablations."""
    seed: int = Field(0, ge=0)
    """Of the random score."""


def antidote(
    model: nn.Module, harmful: Sequence[Encoded], settings: AntidoteSettings, *, batch_size: int = 8
) -> dict[str, Tensor]:
    """Prune a fine-tuned model in place.

    Args:
        model: a causal language model, or one with adapters that are not merged.
        harmful: encoded harmful pairs that the attack does not hold.
        settings: how.
        batch_size: samples of a forward pass; changes rounding only.

    Returns:
        The mask of each pruned layer, (out, in), true where a weight became zero. Applying the same masks again
        changes nothing; computing them again does, since zeros score lowest.

    Raises:
        TrainingRefused: there are no harmful pairs, no layer to prune, or weights or activations are not finite.
    """
    layers = prunable(model)
    if not harmful and settings.score == "importance":
        raise TrainingRefused("antidote needs harmful pairs (a prompt with an answer) and was given none")
    masks = masks_of(_scores(model, layers, harmful, settings, batch_size), settings.share, settings.scope)
    apply_masks(layers, masks)
    return masks


def prunable(model: nn.Module) -> dict[str, nn.Linear]:
    """The factors of the adapters where there are some, else the query, key and value projections.

    Raises:
        TrainingRefused: there are neither.
    """
    linear = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    factors = {n: m for n, m in linear.items() if any(f in n.split(".") for f in FACTORS)}
    found = factors or {n: m for n, m in linear.items() if n.rsplit(".", 1)[-1] in PROJECTIONS}
    if not found:
        raise TrainingRefused(f"antidote: the model has neither adapters nor layers named {', '.join(PROJECTIONS)}")
    return found


def activity(
    model: nn.Module,
    layers: Mapping[str, nn.Linear],
    samples: Sequence[Encoded],
    *,
    aggregate: str = "rms",
    batch_size: int = 8,
) -> dict[str, Tensor]:
    """How active the inputs of each layer are on the samples (c in the score); padding does not count.

    Args:
        model: put into evaluation mode for the passes.
        layers: by name.
        samples: one or more.
        aggregate: rms or mean, of the samples' column norms.
        batch_size: samples of a forward pass.

    Returns:
        (in,) float32, one a layer.
    """
    device = next(model.parameters()).device
    real = torch.zeros(0)
    sums: dict[str, Tensor] = {}

    def count(name: str, inputs: Tensor) -> None:
        norms = (inputs.float().square() * real.unsqueeze(-1)).sum(1)  # (b, in), squared, over a sample's tokens
        per_sample = norms if aggregate == "rms" else norms.sqrt()
        sums[name] = sums.get(name, 0) + per_sample.sum(0)

    was = model.training
    model.eval()
    try:
        with torch.no_grad(), _watched(layers, count):
            for start in range(0, len(samples), batch_size):
                batch = collate(samples[start : start + batch_size], 0).to(device)
                real = batch.attention_mask.float()
                model(**model_inputs(batch))
    finally:
        model.train(was)
    means = {name: total / len(samples) for name, total in sums.items()}
    return {name: mean.sqrt() if aggregate == "rms" else mean for name, mean in means.items()}


def masks_of(scores: Mapping[str, Tensor], share: float, scope: str = "row") -> dict[str, Tensor]:
    """True at the highest scores; of n entries, n - int(n * (1 - share)) are, as in the released code.

    Args:
        scores: (out, in), one a layer.
        share: alpha, in [0, 1].
        scope: row, layer or global.
    """
    if scope == "row":
        return {name: _highest(s, share) for name, s in scores.items()}
    if scope == "layer":
        return {name: _highest(s.flatten()[None], share).view_as(s) for name, s in scores.items()}
    flat = _highest(torch.cat([s.flatten() for s in scores.values()])[None], share)[0]
    parts = torch.split(flat, [s.numel() for s in scores.values()])
    return {name: part.view_as(s) for (name, s), part in zip(scores.items(), parts, strict=True)}


def apply_masks(layers: Mapping[str, nn.Linear], masks: Mapping[str, Tensor]) -> None:
    """Set the weights under the masks to zero, in place."""
    with torch.no_grad():
        for name, mask in masks.items():
            layers[name].weight.masked_fill_(mask, 0)


def _scores(
    model: nn.Module,
    layers: Mapping[str, nn.Linear],
    harmful: Sequence[Encoded],
    settings: AntidoteSettings,
    batch_size: int,
) -> dict[str, Tensor]:
    sizes = {name: layer.weight.detach().abs().float() for name, layer in layers.items()}
    if settings.score == "random":
        drawn = torch.Generator().manual_seed(settings.seed)
        scores = {n: torch.rand(s.shape, generator=drawn).to(s.device) for n, s in sizes.items()}
    elif settings.score == "magnitude":
        scores = sizes
    else:
        active = activity(model, layers, harmful, aggregate=settings.aggregate, batch_size=batch_size)
        scores = {name: size * active[name] for name, size in sizes.items()}
    for name, score in scores.items():
        if not bool(torch.isfinite(score).all()):
            raise TrainingRefused(f"antidote: weights or activations of {name} are not finite; nothing was pruned")
    return scores


def _highest(scores: Tensor, share: float) -> Tensor:
    """True at the highest entries of each row; (rows, n)."""
    kept = int(scores.shape[1] * (1 - share))
    order = scores.sort(dim=1, stable=True).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order[:, kept:], True)


@contextmanager
def _watched(layers: Mapping[str, nn.Linear], count: Any) -> Iterator[None]:
    """Hand each layer's input of each pass to `count`."""

    def watcher(name: str) -> Any:
        return lambda module, arguments: count(name, arguments[0])

    handles = [layer.register_forward_pre_hook(watcher(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
