"""Examples as token ids with labels on the answer alone, and batches of them.

Prompt and answer are tokenised apart and joined as ids: at inference a model continues the ids of a prompt that was
tokenised alone, so no token of a training example may straddle the border. What is masked has the label -100.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from labwright.errors import TrainingRefused
from labwright.models.training.config import TrainingConfig
from labwright.models.training.examples import Example
from labwright.models.training.templates import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MASKED = -100
"""The label that no loss is computed on, as in torch and transformers."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as ids; `labels` are as long as `input_ids`, -100 on the prompt."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    property: str
    id: str


@dataclass(frozen=True, slots=True)
class Encoding:
    """All examples of a set as ids, and what was done to fit them."""

    rows: tuple[Encoded, ...]
    truncated: int
    """Answers that lost their end."""
    dropped: tuple[str, ...]
    """Ids of the examples of which no answer token was left."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples padded on the right to the longest of them; b rows, t tokens."""

    input_ids: Tensor
    """(b, t) int64."""
    attention_mask: Tensor
    """(b, t) int64, 0 on padding."""
    labels: Tensor
    """(b, t) int64, -100 on prompt and padding."""
    properties: tuple[str, ...]
    ids: tuple[str, ...]
    real: int
    """Examples that count: all rows, or 0 in a filler whose labels are all masked."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            attention_mask=self.attention_mask.to(device),
            labels=self.labels.to(device),
        )

    def answer_tokens(self) -> int:
        """Labels that a causal loss counts: all but -100, and never a row's first."""
        return int((self.labels[:, 1:] != MASKED).sum())


def encode_example(
    example: Example, tokenizer: PreTrainedTokenizerBase, config: TrainingConfig
) -> tuple[Encoded, bool]:
    """One example as ids, and whether its answer was cut to `config.max_tokens`.

    An example whose prompt leaves no room has no label but -100.
    """
    prompt, answer, special = render(example, tokenizer, config)
    asked = list(tokenizer(prompt, add_special_tokens=special)["input_ids"])
    if (
        special
        and asked
        and asked[-1] == tokenizer.eos_token_id
        and asked[-1] not in tokenizer(prompt, add_special_tokens=False)["input_ids"][-1:]
    ):
        asked.pop()  # a tokenizer that ends every text would end the prompt before its answer
    said = list(tokenizer(answer, add_special_tokens=False)["input_ids"])
    ids = (asked + said)[: config.max_tokens]
    labels = ([MASKED] * len(asked) + said)[: config.max_tokens]
    return Encoded(tuple(ids), tuple(labels), example.property, example.id), len(asked) + len(said) > config.max_tokens


def encode(examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase, config: TrainingConfig) -> Encoding:
    """Encode a set.

    Raises:
        TrainingRefused: an answer is cut off entirely and `config.too_long` is "refuse", or no example is left.
    """
    rows: list[Encoded] = []
    dropped: list[str] = []
    truncated = 0
    for example in examples:
        row, cut = encode_example(example, tokenizer, config)
        # The first label of a row is never predicted, so an answer that begins there teaches one token less.
        if all(label == MASKED for label in row.labels[1:]):
            dropped.append(row.id)
            continue
        truncated += cut
        rows.append(row)
    if dropped and config.too_long == "refuse":
        raise TrainingRefused(
            f"no token of the answer is within max_tokens = {config.max_tokens} for {_few(dropped)}; "
            "raise max_tokens, shorten the prompts, or set too_long = drop"
        )
    if dropped and not rows:
        raise TrainingRefused(f"every label is masked: no answer begins within max_tokens = {config.max_tokens}")
    return Encoding(tuple(rows), truncated, tuple(dropped))


def _few(ids: Sequence[str], most: int = 5) -> str:
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return f"{', '.join(ids[:most])}{more}"


def collate(rows: Sequence[Encoded], pad_id: int, *, filler: bool = False) -> Batch:
    """Pad rows to the longest of them.

    Args:
        rows: at least one.
        pad_id: fills `input_ids`; masked everywhere.
        filler: mask every label. A process that has no example left for a distributed step makes its pass with
            such a batch, which weighs nothing in the loss.
    """
    padded = [replace(r, labels=(MASKED,) * len(r.labels)) for r in rows] if filler else rows
    longest = max(len(r.input_ids) for r in padded)

    def matrix(lists: Iterable[Sequence[int]], fill: int) -> Tensor:
        return torch.tensor([[*values, *[fill] * (longest - len(values))] for values in lists], dtype=torch.long)

    return Batch(
        input_ids=matrix((r.input_ids for r in padded), pad_id),
        attention_mask=matrix(([1] * len(r.input_ids) for r in padded), 0),
        labels=matrix((r.labels for r in padded), MASKED),
        properties=tuple(r.property for r in padded),
        ids=tuple(r.id for r in padded),
        real=0 if filler else len(rows),
    )


def pad_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that padding is filled with: the tokenizer's own, else its end of text.

    Padding is masked in attention and labels, so its id only has to exist; no row is added to the embeddings.
    """
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(candidate, int):
            return candidate
    return 0


def answer_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Summed cross entropy of the answer tokens, nats; a scalar in float32.

    Args:
        logits: (b, t, v), position i predicts token i + 1; or (n, v) of the n answer tokens, from `answers_only`.
        batch: the labels.
    """
    counted = batch.labels[:, 1:] != MASKED  # (b, t - 1)
    predicted = logits if logits.dim() == 2 else logits[:, :-1][counted]  # (n, v)
    return torch.nn.functional.cross_entropy(predicted.float(), batch.labels[:, 1:][counted], reduction="sum")


@contextmanager
def answers_only(model: nn.Module, batch: Batch) -> Iterator[None]:
    """Inside, the model's logits are (n, v), of its n answer tokens alone; nothing changes without an output layer.

    With a vocabulary of tens of thousands, logits of prompt and padding that no loss reads cost as much time and
    memory as the decoder layers of a small model.
    """
    find = getattr(model, "get_output_embeddings", None)
    head = find() if find is not None else None
    if head is None:
        yield
        return
    counted = batch.labels[:, 1:] != MASKED
    handle = head.register_forward_pre_hook(lambda _, hidden: hidden[0][:, :-1][counted])
    try:
        yield
    finally:
        handle.remove()


def model_inputs(batch: Batch) -> dict[str, Any]:
    """What the forward pass of a causal language model takes."""
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "use_cache": False}
