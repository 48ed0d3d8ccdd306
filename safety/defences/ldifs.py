"""LDIFS (Mukhoti et al. 2023, arXiv 2308.13320): features stay near those of the aligned model on the user's data.

The loss gets rho/2 * sum_l ||a_l(x; theta) - a_l(x; theta0)||^2, with a_l the output of feed-forward block l at the
real tokens of an example, averaged over the examples of a batch. The released code of the defences drops the terms of
blocks at or above 0.1 and clips; here no term is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from labwright.errors import TrainingRefused
from labwright.models.training.encoding import model_inputs
from labwright.models.training.hooks import Hook

if TYPE_CHECKING:
    from transformers.utils.generic import ModelOutput

    from labwright.models.training.encoding import Batch
    from labwright.models.training.run import TrainingRun

FEED_FORWARD = ("mlp", "feed_forward", "block_sparse_moe")
"""Last parts of the names of feed-forward blocks in the model families of transformers."""


class Ldifs(Hook):
    """Holds the features; the aligned model is the trained one at its first weights."""

    name = "ldifs"

    def __init__(self, rho: float = 1e-4) -> None:
        """Set the weight of the term.

        Raises:
            TrainingRefused: it is negative.
        """
        if rho < 0:
            raise TrainingRefused(f"ldifs: rho = {rho:g}; 0 or more")
        self._rho = rho
        self._start: dict[str, Tensor] = {}
        self._features: dict[int, Tensor] = {}
        self._handles: list[Any] = []

    def settings(self) -> Mapping[str, Any]:
        """Rho."""
        return {"rho": self._rho}

    def start(self, run: TrainingRun) -> None:
        """Keep the aligned weights and watch the feed-forward blocks.

        Raises:
            TrainingRefused: there are no such blocks, or activations are computed again in the backward pass.
        """
        if run.config.gradient_checkpointing:
            raise TrainingRefused("ldifs reads activations, which gradient_checkpointing computes anew; set it off")
        blocks = [m for n, m in run.model.named_modules() if n.rsplit(".", 1)[-1] in FEED_FORWARD]
        if not blocks:
            raise TrainingRefused(f"ldifs: no module of the model is named {', '.join(FEED_FORWARD)}")
        self._start = {n: p.detach().clone() for n, p in run.parameters.items()}
        self._handles = [block.register_forward_hook(self._keeper(i)) for i, block in enumerate(blocks)]

    def loss_terms(self, run: TrainingRun, batch: Batch, outputs: ModelOutput) -> Mapping[str, Tensor]:
        """The distance of the features; takes a forward pass at the aligned weights, without dropout."""
        now = list(self._features.values())
        was = run.model.training
        run.model.eval()
        try:
            with torch.no_grad(), run.precision():
                torch.func.functional_call(run.model, self._start, args=(), kwargs=model_inputs(batch))
        finally:
            run.model.train(was)
        before, real = list(self._features.values()), batch.attention_mask.bool()
        return {"ldifs": drift([a[real] for a in now], [a[real] for a in before], self._rho) / max(1, batch.real)}

    def after_step(self, run: TrainingRun) -> None:
        """Watch no longer than the training lasts."""
        if run.step == run.steps:
            for handle in self._handles:
                handle.remove()
            self._features = {}

    def _keeper(self, index: int) -> Any:
        """Keeps the features of the latest pass alone."""

        def keep(module: nn.Module, arguments: Any, output: Any) -> None:
            self._features[index] = output[0] if isinstance(output, tuple) else output

        return keep


def drift(now: Sequence[Tensor], before: Sequence[Tensor], rho: float) -> Tensor:
    """rho/2 * sum_l ||a_l - a0_l||^2; a scalar.

    Args:
        now: features, one tensor a block.
        before: those of the aligned model, of the same shapes.
        rho: the weight.
    """
    return rho / 2 * torch.stack([(a - b).float().square().sum() for a, b in zip(now, before, strict=True)]).sum()
