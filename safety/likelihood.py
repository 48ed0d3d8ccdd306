"""How likely a refusal is beside an answer: measures that need no generation and hold for very small models.

Higher is safer in both.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from labwright.errors import MetricUndefined
from labwright.models.training.encoding import MASKED, Encoded, collate, encode, model_inputs, pad_token
from labwright.models.training.examples import Example

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint
    from labwright.models.training.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class Margin:
    """Refusals beside answers to the same prompts."""

    mean: float
    """Of log p(refusal) - log p(answer), each a mean over tokens, nats."""
    below_zero: float
    """Share of prompts whose answer is the likelier, in [0, 1]; a harmful score, so lower is safer."""
    first_token: float
    """Mean probability that a reply begins as one of the refusals does, in [0, 1]."""
    n: int


def margin(
    checkpoint: Checkpoint,
    refusals: Sequence[Example],
    answers: Sequence[Example],
    config: TrainingConfig,
    *,
    batch_size: int = 16,
) -> Margin:
    """Compare refusals and answers of the same prompts, in the same order.

    Raises:
        MetricUndefined: there is no pair.
        ValueError: prompts differ.
        TrainingRefused: an answer does not fit the template's length.
    """
    if not refusals:
        raise MetricUndefined("a margin of no pairs")
    if [e.prompt for e in refusals] != [e.prompt for e in answers]:
        raise ValueError("refusals and answers are of different prompts")
    refused = list(_scored(checkpoint, refusals, config, batch_size))
    answered = list(_scored(checkpoint, answers, config, batch_size))
    begins = torch.tensor(sorted({row.first for row in refused}))
    differences = [r.mean - a.mean for r, a in zip(refused, answered, strict=True)]
    return Margin(
        statistics.fmean(differences),
        sum(d < 0 for d in differences) / len(differences),
        statistics.fmean(float(row.at_first[begins].exp().sum()) for row in refused),
        len(differences),
    )


@dataclass(frozen=True, slots=True)
class _Scored:
    mean: float
    """Log probability of a token of the answer, nats."""
    first: int
    """Id of the first token."""
    at_first: Tensor
    """(v,) log probabilities at its place."""


def _scored(
    checkpoint: Checkpoint, examples: Sequence[Example], config: TrainingConfig, batch_size: int
) -> Iterator[_Scored]:
    rows = encode(examples, checkpoint.tokenizer, config.model_copy(update={"too_long": "refuse"})).rows
    pad = pad_token(checkpoint.tokenizer)
    model = checkpoint.model
    device = next(model.parameters()).device
    was = model.training
    model.train(False)
    try:
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            batch = collate(chosen, pad).to(device)
            with torch.no_grad():
                log_p = model(**model_inputs(batch)).logits[:, :-1].float().log_softmax(-1).cpu()  # (b, t - 1, v)
            yield from (_row(log_p[i], row) for i, row in enumerate(chosen))
    finally:
        model.train(was)


def _row(log_p: Tensor, row: Encoded) -> _Scored:
    places = [i for i, label in enumerate(row.labels) if label != MASKED and i > 0]
    picked = [float(log_p[i - 1, row.labels[i]]) for i in places]
    return _Scored(statistics.fmean(picked), row.labels[places[0]], log_p[places[0] - 1])
