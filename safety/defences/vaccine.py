"""Vaccine (Huang et al. 2024, arXiv 2402.01109): an alignment that holds under small shifts of the hidden states.

min_w max over shifts of norm rho of f(w; hidden states + shift). Two passes a step: the first gives the gradients
G_1..G_L of the loss with respect to the attention blocks' outputs, the second adds e_l = rho * G_l / ||(G_1, .., G_L)||
to them. One norm goes over all blocks, rows and tokens of a micro-batch, as in the released code.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from labwright.errors import TrainingDiverged, TrainingRefused
from labwright.models.training.hooks import Hook

if TYPE_CHECKING:
    from labwright.models.training.encoding import Batch
    from labwright.models.training.run import TrainingRun

ATTENTION = ("self_attn", "attention", "attn")
"""Last parts of the names of attention blocks in the model families of transformers."""


class Vaccine(Hook):
    """Two passes a step, the second with perturbed attention outputs."""

    name = "vaccine"

    def __init__(self, rho: float = 2.0) -> None:
        """Set the norm of the shift, which is one for all blocks together.

        Raises:
            TrainingRefused: rho is negative.
        """
        if rho < 0:
            raise TrainingRefused(f"vaccine: rho = {rho:g}; it is a norm, 0 or more")
        self._rho = rho
        self._blocks: list[nn.Module] = []

    def settings(self) -> Mapping[str, Any]:
        """Rho."""
        return {"rho": self._rho}

    def start(self, run: TrainingRun) -> None:
        """Find the attention blocks.

        Raises:
            TrainingRefused: there are none, or activations are computed again in the backward pass.
        """
        if run.config.gradient_checkpointing:
            raise TrainingRefused("vaccine shifts activations, which gradient_checkpointing computes anew; set it off")
        self._blocks = [m for n, m in run.model.named_modules() if n.rsplit(".", 1)[-1] in ATTENTION]
        if not self._blocks:
            raise TrainingRefused(f"vaccine: no module of the model is named {', '.join(ATTENTION)}")

    def gradients(self, run: TrainingRun, batches: Sequence[Batch]) -> float:
        """Leave the gradient of the second pass in `.grad`."""
        found = _Outputs(self._blocks)
        with run.same_randomness(), found:
            run.accumulate(batches, terms=False)
        run.zero_gradients()
        shifts = [perturbation(pass_, self._rho) for pass_ in found.passes()]
        if any(not bool(torch.isfinite(e).all()) for pass_ in shifts for e in pass_):
            ids = tuple(i for b in batches for i in b.ids)
            raise TrainingDiverged("a gradient of the hidden states is not finite", step=run.step + 1, examples=ids)
        with _Shifted(self._blocks, shifts):
            run.last = run.accumulate(batches)  # the loop records the terms of other hooks from there
        return run.last.loss


def perturbation(gradients: Sequence[Tensor], rho: float) -> list[Tensor]:
    """e_l = rho * G_l / ||(G_1, .., G_L)||; zeros where every gradient is zero.

    Args:
        gradients: of the loss with respect to each block's output, any shapes.
        rho: the norm of all shifts together.
    """
    norm = math.sqrt(sum(float(g.float().square().sum()) for g in gradients))
    return [g * (rho / norm) if norm else torch.zeros_like(g) for g in gradients]


class _Hooked(ABC):
    """Forward hooks that are there within the block only."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        self._modules = blocks
        self._handles: list[Any] = []

    def __enter__(self) -> None:
        self._handles = [m.register_forward_hook(self._hook(i)) for i, m in enumerate(self._modules)]

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    @abstractmethod
    def _hook(self, index: int) -> Any:
        """The hook of one block."""


class _Outputs(_Hooked):
    """The gradients with respect to the blocks' outputs, pass by pass."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__(blocks)
        self._found: list[list[Tensor]] = [[] for _ in blocks]

    def passes(self) -> list[list[Tensor]]:
        """One list of gradients a forward pass, in the order of the blocks."""
        return [list(of_pass) for of_pass in zip(*self._found, strict=True)]

    def _hook(self, index: int) -> Any:
        def remember(module: nn.Module, arguments: Any, output: Any) -> None:
            hidden = _hidden(output)
            if not hidden.requires_grad:  # below the first trained layer
                hidden.requires_grad_()
            place = len(self._found[index])
            self._found[index].append(hidden.new_zeros(()))  # no shift, should the loss not depend on it

            def keep(gradient: Tensor) -> None:
                self._found[index][place] = gradient.detach()

            hidden.register_hook(keep)  # type: ignore[no-untyped-call]

        return remember


class _Shifted(_Hooked):
    """The blocks' outputs with a shift added, pass by pass."""

    def __init__(self, blocks: Sequence[nn.Module], shifts: Sequence[Sequence[Tensor]]) -> None:
        super().__init__(blocks)
        self._shifts = [iter([of_pass[i] for of_pass in shifts]) for i in range(len(blocks))]

    def _hook(self, index: int) -> Any:
        def shift(module: nn.Module, arguments: Any, output: Any) -> Any:
            moved = _hidden(output) + next(self._shifts[index])
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        return shift


def _hidden(output: Any) -> Tensor:
    found: Tensor = output[0] if isinstance(output, tuple) else output
    return found
