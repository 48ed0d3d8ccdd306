"""Lisa (Huang et al. 2024, arXiv 2405.18641): turns of alignment and user data, each held near the other's end.

K1 steps on alignment data and K2 on the user's take turns, and each adds rho/2 * ||theta - theta_other||^2, with
theta_other the weights at the end of the other's last turn. As in the released code the term starts after the first
tenth of the steps, and the user's batch of a step that goes to the alignment is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from labwright.errors import TrainingRefused
from labwright.models.training.examples import Example
from labwright.models.training.hooks import Hook, HookState
from labwright.safety.defences.held import HeldExamples

if TYPE_CHECKING:
    from transformers.utils.generic import ModelOutput

    from labwright.models.training.encoding import Batch
    from labwright.models.training.run import TrainingRun

ALIGNMENT, USER = "alignment", "user"


class Lisa(Hook):
    """Chooses whose batch a step sees, and holds the weights near the other's."""

    name = "lisa"

    def __init__(
        self,
        alignment: Sequence[Example],
        *,
        rho: float = 1.0,
        alignment_steps: int = 100,
        user_steps: int = 900,
        free_share: float = 0.1,
    ) -> None:
        """Take the alignment pairs and the lengths of the turns.

        Args:
            alignment: pairs that the provider holds.
            rho: weight of the proximal term.
            alignment_steps: K1, optimiser steps.
            user_steps: K2.
            free_share: of all steps, from the first, that go without the term.

        Raises:
            TrainingRefused: there are no pairs, or a turn has no step.
        """
        if min(alignment_steps, user_steps) < 1 or rho < 0:
            raise TrainingRefused(f"lisa: turns of {alignment_steps} and {user_steps} steps, rho {rho:g}: see docs")
        self._alignment = HeldExamples(alignment, role="alignment", defence="lisa")
        self._rho, self._free = rho, free_share
        self._steps = {ALIGNMENT: alignment_steps, USER: user_steps}
        self._ends: dict[str, dict[str, Tensor]] = {}

    def settings(self) -> Mapping[str, Any]:
        """Rho, turns and the hash of the alignment pairs."""
        turns = {"alignment_steps": self._steps[ALIGNMENT], "user_steps": self._steps[USER]}
        return {"rho": self._rho, "free_share": self._free, **turns, "alignment_sha256": self._alignment.sha256}

    def start(self, run: TrainingRun) -> None:
        """Encode the pairs; both turns end, so far, where the training starts."""
        self._alignment.start(run)
        self._ends = {turn: _copy(run) for turn in (ALIGNMENT, USER)}

    def turn(self, step: int) -> str:
        """Whose step it is, counted from 0; the alignment begins."""
        return ALIGNMENT if step % sum(self._steps.values()) < self._steps[ALIGNMENT] else USER

    def choose_batch(self, run: TrainingRun, step: int) -> Sequence[Batch] | None:
        """Alignment pairs in the alignment's turn."""
        if self.turn(step) == USER:
            return None
        return [
            self._alignment.draw(run, step * run.config.accumulate + i, run.config.batch_size)
            for i in range(run.config.accumulate)
        ]

    def loss_terms(self, run: TrainingRun, batch: Batch, outputs: ModelOutput) -> Mapping[str, Tensor]:
        """The proximal term."""
        if run.step < self._free * run.steps:
            return {}
        other = self._ends[USER if self.turn(run.step) == ALIGNMENT else ALIGNMENT]
        return {"lisa": proximal(run.parameters, other, self._rho)}

    def after_step(self, run: TrainingRun) -> None:
        """Keep the weights at the end of a turn."""
        turn = self.turn(run.step - 1)
        if self.turn(run.step) != turn:
            self._ends[turn] = _copy(run)

    def state(self) -> HookState:
        """Where both turns ended."""
        return HookState({}, {f"{turn}/{name}": t for turn, end in self._ends.items() for name, t in end.items()})

    def load_state(self, state: HookState) -> None:
        """Go on from there."""
        for key, tensor in state.tensors.items():
            turn, name = key.split("/", 1)
            self._ends[turn][name].copy_(tensor)


def proximal(parameters: Mapping[str, Tensor], anchor: Mapping[str, Tensor], rho: float) -> Tensor:
    """rho/2 * ||theta - anchor||^2 over all parameters; a scalar."""
    return rho / 2 * torch.stack([(p - anchor[n]).float().square().sum() for n, p in parameters.items()]).sum()


def _copy(run: TrainingRun) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in run.parameters.items()}
