"""A penalty on the norm of the harmful gradient, by double backpropagation: what Booster is to first order.

g - g' = alpha * H u + O(alpha^2), with H the Hessian of h and u = g / ||g||, and H u is the gradient of ||g||. So
Booster is a penalty lambda * alpha * ||grad h(w)||. This second implementation shares none of Booster's passes, and
tests hold one against the other. It keeps the graph of a backward pass: for small models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from labwright.models.training.encoding import answer_loss, answers_only
from labwright.models.training.examples import Example
from labwright.models.training.hooks import Hook
from labwright.safety.defences.booster import add_to_gradients
from labwright.safety.defences.held import HeldExamples

if TYPE_CHECKING:
    from labwright.models.training.encoding import Batch
    from labwright.models.training.run import TrainingRun


class GradientNorm(Hook):
    """Adds weight * ||grad h(w)|| to the loss."""

    name = "gradient_norm"

    def __init__(self, harmful: Sequence[Example], *, weight: float, harmful_batch: int = 10) -> None:
        """Take the harmful pairs; `weight` is Booster's lambda * alpha.

        Raises:
            TrainingRefused: there are none.
        """
        # The same name in the order of draws as Booster's, so that both see the same batches.
        self._harmful = HeldExamples(harmful, role="harmful", defence="booster")
        self._weight, self._size = weight, harmful_batch
        self._norm = 0.0

    def settings(self) -> Mapping[str, Any]:
        """Weight, batch and the hash of the harmful pairs."""
        return {"weight": self._weight, "harmful_batch": self._size, "harmful_sha256": self._harmful.sha256}

    def start(self, run: TrainingRun) -> None:
        """Encode the harmful pairs."""
        self._harmful.start(run)

    def metrics(self) -> Mapping[str, float]:
        """||g|| of the last step."""
        return {"harmful_norm": self._norm}

    def gradients(self, run: TrainingRun, batches: Sequence[Batch]) -> float:
        """Leave grad f + weight * grad ||grad h|| in `.grad`."""
        batch = self._harmful.draw(run, run.step, self._size)
        parameters = list(run.parameters.values())
        # The fused attention kernels have no second derivative.
        with run.same_randomness(), sdpa_kernel(SDPBackend.MATH), answers_only(run.model, batch):
            loss = answer_loss(run.forward(batch).logits, batch) / batch.answer_tokens()
            first = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
            norm = torch.stack([g.square().sum() for g in first if g is not None]).sum().sqrt()
            second = torch.autograd.grad(norm, parameters, allow_unused=True)
        self._norm = float(norm.detach())
        terms = {
            name: torch.zeros_like(p) if s is None else self._weight * s
            for (name, p), s in zip(run.parameters.items(), second, strict=True)
        }
        aligned = run.last = run.accumulate(batches)
        add_to_gradients(run, terms)
        return aligned.loss
