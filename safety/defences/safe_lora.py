"""Safe LoRA (Hsu et al. 2024, arXiv 2405.16833): what fine-tuning changed is projected on what alignment changed.

With V = W_aligned - W_base of a weight and P = V V^T / ||V||_F, a change dW is replaced by P dW where the cosine
of the two is at most a threshold. P is the paper's form; it is no projector in the strict sense (P P is not P).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labwright.errors import TrainingRefused


@dataclass(frozen=True, slots=True)
class Projection:
    """One changed weight."""

    cosine: float
    """Between P dW and dW, in [0, 1]: P is positive semi-definite."""
    projected: bool


def project(change: Tensor, alignment: Tensor) -> tuple[Tensor, float]:
    """P dW, and the cosine between it and dW.

    Args:
        change: dW, (out, in).
        alignment: V, (out, in); not all zeros.

    Returns:
        (out, in), and a number in [0, 1].
    """
    # V (V^T dW): the (out, out) matrix is never made.
    projected = alignment @ (alignment.T @ change) / torch.linalg.matrix_norm(alignment)
    cosine = torch.nn.functional.cosine_similarity(projected.flatten(), change.flatten(), dim=0)
    return projected, float(cosine)


def safe_lora(
    tuned: nn.Module, aligned: Mapping[str, Tensor], base: Mapping[str, Tensor], *, threshold: float = 0.5
) -> dict[str, Projection]:
    """Project the changes of a fine-tuned model in place.

    Args:
        tuned: the fine-tuned model, adapters merged.
        aligned: name of a weight to its value before fine-tuning.
        base: likewise before alignment.
        threshold: changes whose cosine is at most this are replaced.

    Returns:
        What became of each weight matrix that both alignment and fine-tuning changed. Others are left as they are:
        where alignment changed nothing, there is no direction to project on.

    Raises:
        TrainingRefused: the models have other weights, or no weight was changed by both.
    """
    found: dict[str, Projection] = {}
    for name, weight in tuned.named_parameters():
        if name not in aligned or name not in base or aligned[name].shape != weight.shape:
            raise TrainingRefused(f"safe_lora: {name} is absent or of another shape in the aligned model or its base")
        if weight.ndim != 2:
            continue
        change = (weight.detach() - aligned[name]).float()
        direction = (aligned[name] - base[name]).float()
        if not bool(change.any()) or not bool(direction.any()):
            continue
        projected, cosine = project(change, direction)
        found[name] = Projection(cosine, cosine <= threshold)
        if found[name].projected:
            with torch.no_grad():
                weight.copy_(aligned[name] + projected.to(weight.dtype))
    if not found:
        raise TrainingRefused("safe_lora: no weight was changed both by the alignment and by the fine-tuning")
    return found
