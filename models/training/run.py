"""A training under way: its model, its parameters, and how the gradients of a step come about.

The loss of a step is the summed cross entropy of all its answer tokens over their number, whatever micro-batches and
processes they are spread over; a mean of means would weigh short answers more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from labwright.errors import TrainingDiverged, TrainingRefused
from labwright.models.training.config import TrainingConfig
from labwright.models.training.encoding import (
    Batch,
    Encoded,
    Encoding,
    answer_loss,
    answers_only,
    collate,
    encode,
    model_inputs,
    pad_token,
)
from labwright.models.training.examples import Example
from labwright.models.training.hooks import Hook
from labwright.models.training.order import Endless

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class StepLoss:
    """What the passes of a step came to, over all processes."""

    loss: float
    """Mean over answer tokens, nats, plus the terms."""
    terms: dict[str, float] = field(default_factory=dict)
    """The hooks' terms, each a mean over the step's examples."""


class TrainingRun:
    """What hooks see of a training.

    Attributes:
        model: the model itself, with its adapters, not wrapped for several processes.
        parameters: the trained parameters by name.
        step: updates that were made so far.
        steps: updates in all.
        last: loss and terms of the step under way.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        config: TrainingConfig,
        accelerator: Accelerator,
        hooks: Sequence[Hook] = (),
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.accelerator = accelerator
        self.hooks = tuple(hooks)
        self.model = model.to(accelerator.device)
        self.parameters: dict[str, nn.Parameter] = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.step = 0
        self.steps = 0
        self.last = StepLoss(math.nan)
        self._pad = pad_token(tokenizer)
        several = accelerator.num_processes > 1
        self._called: Any = accelerator.prepare_model(self.model) if several else self.model
        self._arguments = {k: v for hook in self.hooks for k, v in hook.forward_arguments().items()}

    def encode(self, examples: Iterable[Example]) -> Encoding:
        """Another data set, encoded as the training's own is."""
        return encode(examples, self.tokenizer, self.config)

    def batch(self, rows: Sequence[Encoded], *, filler: bool = False) -> Batch:
        """Rows as a batch on the training's device; a filler has every label masked."""
        return collate(rows, self._pad, filler=filler).to(self.accelerator.device)

    def draw(self, encoding: Encoding, name: str, step: int, size: int) -> Batch:
        """Batch number `step` of another data set, reshuffled for ever in an order that `name` and the seed decide.

        Each process draws rows of its own.
        """
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        chosen = Endless(len(encoding.rows), size * world, self.config.seed, name).rows(step)
        return self.batch([encoding.rows[i] for i in chosen[rank * size : (rank + 1) * size]])

    def precision(self) -> AbstractContextManager[Any]:
        """The precision of the training's forward passes."""
        wanted = self.config.autocast == "bfloat16"
        return torch.autocast(self.accelerator.device.type, dtype=torch.bfloat16) if wanted else nullcontext()

    def forward(self, batch: Batch, **more: Any) -> Any:
        """Outputs of the model on a batch, at the training's precision."""
        with self.precision():
            return self._called(**self._inputs(batch), **{**self._arguments, **more})

    def _inputs(self, batch: Batch) -> dict[str, Any]:
        found = model_inputs(batch)
        for hook in self.hooks:
            found |= hook.inputs(self, batch)
        return found

    def accumulate(self, batches: Sequence[Batch], *, scale: float = 1.0, terms: bool = True) -> StepLoss:
        """Add `scale` times the gradient of a step's loss to `.grad`; with `terms` the hooks' terms are part of it.

        Raises:
            TrainingDiverged: the loss of a micro-batch is not finite; its examples are named.
        """
        world = self.accelerator.num_processes
        answers = self.total(sum(b.answer_tokens() for b in batches))
        examples = self.total(sum(b.real for b in batches))
        losses: dict[str, float] = {}
        for number, batch in enumerate(batches, 1):
            apart = world > 1 and number < len(batches)
            with self.accelerator.no_sync(self._called) if apart else nullcontext():
                with answers_only(self.model, batch):
                    outputs = self.forward(batch)
                parts = {"": answer_loss(outputs.logits, batch) / answers}
                for hook in self.hooks if terms else ():
                    found = hook.loss_terms(self, batch, outputs)
                    parts |= {name: term * (batch.real / examples) for name, term in found.items()}
                total = torch.stack([part.float().to(parts[""].device) for part in parts.values()]).sum()
                self._finite(total, batch)
                # Gradients are averaged over processes, but the loss is a sum of their parts.
                (total * (scale * world)).backward()
            for name, part in parts.items():
                losses[name] = losses.get(name, 0.0) + float(part.detach())
        summed = {name: self.total(value) for name, value in losses.items()}
        return StepLoss(sum(summed.values()), {n: v for n, v in summed.items() if n})

    def _finite(self, loss: Tensor, batch: Batch) -> None:
        if not bool(torch.isfinite(loss)):
            examples = batch.ids
            raise TrainingDiverged(f"the loss is {float(loss.detach())}", step=self.step + 1, examples=examples)

    def total(self, value: float) -> float:
        """Sum of a number over all processes."""
        if self.accelerator.num_processes == 1:
            return float(value)
        tensor = torch.tensor(float(value), dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(tensor, reduction="sum"))

    def step_gradients(self, batches: Sequence[Batch]) -> StepLoss:
        """The gradients of a step in `.grad`, by the hook that computes them or by the loop."""
        self.zero_gradients()
        for hook in self.hooks:
            loss = hook.gradients(self, batches)
            if loss is not None:
                self.last = StepLoss(loss, self.last.terms)
                break
        else:
            self.last = self.accumulate(batches)
        for hook in self.hooks:
            hook.before_update(self)
        return self.last

    def zero_gradients(self) -> None:
        """Forget the gradients of all trained parameters."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def take_gradients(self) -> dict[str, Tensor]:
        """The gradients by name, moved out of `.grad`; a parameter without one gives zeros."""
        taken = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in self.parameters.items()}
        self.zero_gradients()
        return taken

    @contextmanager
    def weights_restored(self) -> Iterator[None]:
        """Whatever happens to the trained weights inside, they are the same bits afterwards."""
        kept = {n: p.detach().clone() for n, p in self.parameters.items()}
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(kept[name])

    @contextmanager
    def same_randomness(self) -> Iterator[None]:
        """Put torch's random state back afterwards, so that the next pass draws the same dropout."""
        device = self.accelerator.device
        cpu = torch.get_rng_state()
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        try:
            yield
        finally:
            torch.set_rng_state(cpu)
            if cuda is not None:
                torch.cuda.set_rng_state(cuda, device)

    def heldout_loss(self, encoding: Encoding) -> float:
        """Mean loss of the answer tokens of held-out examples, nats, without dropout and without hooks' terms."""
        size, world, rank = self.config.batch_size, self.accelerator.num_processes, self.accelerator.process_index
        chunks = [encoding.rows[i : i + size] for i in range(0, len(encoding.rows), size)]
        loss, tokens = 0.0, 0
        was = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                for chunk in chunks[rank::world]:
                    batch = self.batch(chunk)
                    with answers_only(self.model, batch):
                        outputs = self.model(**self._inputs(batch))
                    loss += float(answer_loss(outputs.logits, batch))
                    tokens += batch.answer_tokens()
        finally:
            self.model.train(was)
        return self.total(loss) / self.total(tokens)


def one_hook_only(hooks: Sequence[Hook], method: str) -> None:
    """Refuse two hooks that both override a method that one alone may.

    Raises:
        TrainingRefused: so it is; or two hooks share a name.
    """
    taking = [h.name for h in hooks if getattr(type(h), method) is not getattr(Hook, method)]
    if len(taking) > 1:
        raise TrainingRefused(f"{' and '.join(taking)} both take {method}; use one of them")
    names = [h.name for h in hooks]
    if len(set(names)) < len(names):
        raise TrainingRefused(f"two hooks are named alike: {', '.join(sorted(names))}")
