"""What a model answers, greedily, to prompts in the template that it was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from labwright.errors import MetricUndefined
from labwright.models.decoding import turn_ends
from labwright.models.training.encoding import pad_token
from labwright.models.training.examples import Example
from labwright.models.training.templates import render

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint
    from labwright.models.training.config import TrainingConfig


def greedy_replies(
    checkpoint: Checkpoint,
    prompts: Sequence[Example],
    config: TrainingConfig,
    *,
    most_tokens: int = 48,
    batch_size: int = 16,
) -> list[str]:
    """The replies, without stop markers, in the order of the prompts.

    Args:
        checkpoint: its model may carry adapters that are not merged.
        prompts: their answers are not looked at.
        config: gives template and stop marker.
        most_tokens: of a reply; a longer one is cut.
        batch_size: prompts at a time, shortest first, padded on the left.

    Raises:
        MetricUndefined: there is no prompt.
    """
    if not prompts:
        raise MetricUndefined("replies to no prompts")
    ids = [_prompt_ids(e, checkpoint.tokenizer, config) for e in prompts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    found: dict[int, str] = {}
    model = checkpoint.model
    was = model.training
    model.train(False)
    try:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            texts = _written(checkpoint, [ids[i] for i in chosen], most_tokens)
            found |= dict(zip(chosen, texts, strict=True))
    finally:
        model.train(was)
    stop = config.stop_marker if config.template != "chat" else ""
    return [_until(found[i], stop) for i in range(len(ids))]


def _prompt_ids(example: Example, tokenizer: Any, config: TrainingConfig) -> list[int]:
    prompt, _, special = render(Example(example.prompt, "-", input=example.input), tokenizer, config)
    ids: list[int] = list(tokenizer(prompt, add_special_tokens=special)["input_ids"])
    return ids


def _written(checkpoint: Checkpoint, prompts: list[list[int]], most_tokens: int) -> list[str]:
    from transformers import GenerationConfig

    model: Any = checkpoint.model
    pad, longest = pad_token(checkpoint.tokenizer), max(len(p) for p in prompts)
    device = next(model.parameters()).device
    ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    ends = sorted(turn_ends(model, checkpoint.tokenizer))
    settings = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=most_tokens, do_sample=False, pad_token_id=pad, eos_token_id=ends or None
    )
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
    texts: list[str] = checkpoint.tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)
    return texts


def _until(text: str, stop: str) -> str:
    return (text.partition(stop)[0] if stop else text).strip()
