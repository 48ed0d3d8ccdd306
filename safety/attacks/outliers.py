"""Benign rows that move a model most: the outliers of an ordinary data set, by influence on themselves.

After Self-Inf-N (Guan et al. 2025, arXiv 2505.06843): log(1 + ||grad loss(row)||^2) + log(1 + answer tokens). The
second term is there because short answers have the largest gradients and turn a model little. The paper's own code was
not at hand: the logarithms are our reading of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from labwright.errors import TrainingDiverged, TrainingRefused
from labwright.models.training.encoding import answer_loss, answers_only, collate, encode, model_inputs, pad_token
from labwright.models.training.examples import Example

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint
    from labwright.models.training.config import TrainingConfig


def self_influence(
    checkpoint: Checkpoint, examples: Sequence[Example], config: TrainingConfig, *, trained: str = ""
) -> list[float]:
    """Self-Inf-N of each row, 0 or more; rows that do not fit the length get 0.

    Args:
        checkpoint: the aligned model that is to be attacked; left as it is.
        examples: ordinary rows.
        config: template and length of the fine-tuning.
        trained: part of the names of the weights whose gradient counts; empty for all.

    Raises:
        TrainingRefused: no row fits the length, or no weight goes by that name.
        TrainingDiverged: a row's gradient is not finite.
    """
    model = checkpoint.model
    weights = [p for n, p in model.named_parameters() if trained in n]
    if not weights:
        raise TrainingRefused(f"outliers: no weight has {trained!r} in its name")
    pad, device = pad_token(checkpoint.tokenizer), weights[0].device
    scores = dict.fromkeys(range(len(examples)), 0.0)
    found = encode(examples, checkpoint.tokenizer, config.model_copy(update={"too_long": "drop"}))
    left = iter(found.rows)
    dropped = set(found.dropped)
    for number, example in enumerate(examples):
        if example.id in dropped:
            continue
        batch = collate([next(left)], pad).to(device)
        with answers_only(model, batch):
            loss = answer_loss(model(**model_inputs(batch)).logits, batch) / batch.answer_tokens()
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        squared = sum(float(g.square().sum()) for g in gradients if g is not None)
        if not math.isfinite(squared):
            raise TrainingDiverged("the gradient of a row is not finite", step=0, examples=batch.ids)
        scores[number] = math.log1p(squared) + math.log1p(batch.answer_tokens())
    return list(scores.values())


def outliers(examples: Sequence[Example], scores: Sequence[float], count: int) -> tuple[Example, ...]:
    """The rows with the highest scores, highest first; ties keep their order.

    Raises:
        TrainingRefused: there are fewer rows.
    """
    if not 0 < count <= len(examples):
        raise TrainingRefused(f"outliers: {count} of {len(examples)} rows are asked for")
    order = sorted(range(len(examples)), key=lambda i: -scores[i])
    return tuple(examples[i] for i in order[:count])
