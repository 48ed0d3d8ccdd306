"""Where a router sends the tokens of each property."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from labwright.models.h3fusion.losses import gate_shares
from labwright.models.h3fusion.modeling import H3FusionForCausalLM

BATCH = 8


def router_shares(
    model: H3FusionForCausalLM, prompts: Mapping[str, Sequence[Sequence[int]]], pad_id: int
) -> dict[str, list[list[float]]]:
    """Mean router weight by property, layer and expert: over a prompt's tokens, then over prompts, before the top-k.

    Args:
        model: in evaluation mode.
        prompts: property to token ids of its prompts, none empty.
        pad_id: fills shorter prompts; padding does not count.

    Returns:
        Property to L rows of K numbers that sum to 1.

    Raises:
        ValueError: a property has no prompt.
    """
    found = {}
    for name, rows in prompts.items():
        if not rows:
            raise ValueError(f"router shares of no prompt of {name}")
        by_prompt = torch.cat([_shares(model, rows[i : i + BATCH], pad_id) for i in range(0, len(rows), BATCH)], dim=1)
        found[name] = [[round(float(v), 6) for v in layer] for layer in by_prompt.mean(dim=1)]
    return found


def _shares(model: H3FusionForCausalLM, rows: Sequence[Sequence[int]], pad_id: int) -> torch.Tensor:
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=model.device)
    with torch.inference_mode():
        out = model(input_ids=ids, attention_mask=mask, output_router_logits=True, use_cache=False)
    return gate_shares(out.router_logits, mask).cpu()  # (L, b, K)
