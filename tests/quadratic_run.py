"""A training run whose losses are quadratics of two weights, so that every step of a method can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from torch import nn

from labwright.errors import TrainingDiverged
from labwright.models.training.config import TrainingConfig
from labwright.models.training.run import StepLoss, TrainingRun

ALIGNMENT, HARMFUL = "alignment", "harmful"
H = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
B = torch.tensor([-1.0, 0.5], dtype=torch.float64)


def f(w):
    return 0.5 * ((w[0] - 1) ** 2 + 2 * (w[1] + 1) ** 2)


def h(w):
    return 0.5 * w @ H @ w + B @ w


class QuadraticRun(TrainingRun):
    """f on batches named alignment, h on those named harmful; everything else is the real run."""

    def __init__(self, losses: dict[str, Callable[[torch.Tensor], torch.Tensor]] | None = None):
        model = nn.Module()
        model.w = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
        model.frozen = nn.Parameter(torch.full((3,), 100.0, dtype=torch.float64), requires_grad=False)
        tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=0)
        super().__init__(model, tokenizer, TrainingConfig(device="cpu"), Accelerator(cpu=True))
        self.losses = {ALIGNMENT: f, HARMFUL: h, **(losses or {})}
        self.seen: list[tuple[str, list[float]]] = []

    @property
    def w(self):
        return self.model.w

    def encode(self, examples):
        return SimpleNamespace(rows=tuple(examples))

    def draw(self, encoding, name, step, size):
        return SimpleNamespace(kind=HARMFUL, ids=("harmful:1",), number=step)

    def accumulate(self, batches, *, scale=1.0, terms=True):
        (batch,) = batches
        self.seen.append((batch.kind, self.w.detach().tolist()))
        loss = self.losses[batch.kind](self.w)
        if not torch.isfinite(loss):
            raise TrainingDiverged("the loss is nan", step=self.step + 1, examples=batch.ids)
        (scale * loss).backward()
        return StepLoss(loss.item())


def alignment_batch():
    return [SimpleNamespace(kind=ALIGNMENT, ids=("alignment:1",))]
