"""Booster (Huang et al. 2025, arXiv 2409.01586): an alignment that leaves an attacker little to gain.

min_w f(w) + lambda * (h(w) - h(w - alpha * g / ||g||)), with f the loss on alignment data, h that on harmful data and g
its gradient. The bracket is what one normalised step of an attacker would buy. The gradient that is used,

    grad f(w) + lambda * (g - g'),    g' = grad h at w - alpha * g / ||g||,

leaves out a term of order alpha^2 (the derivative of the step itself), as the paper does.

Departures from the released code: the weights are copied back after the second pass (subtracting and adding a step
is not exact in bfloat16), nothing is added to the norm but a floor, and both harmful passes draw the same dropout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from labwright.errors import TrainingDiverged
from labwright.models.training.examples import Example
from labwright.models.training.hooks import Hook
from labwright.safety.defences.held import HeldExamples

if TYPE_CHECKING:
    from labwright.models.training.encoding import Batch
    from labwright.models.training.run import StepLoss, TrainingRun

LEAST_NORM = 1e-30
"""Below this a gradient has no direction, and no step is made."""


class BoosterSettings(BaseModel):
    """Settings of Booster; the defaults are the paper's for models of 7 to 9 billion weights, not for small ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(5.0, ge=0)
    """lambda."""
    step: float = Field(0.1, ge=0)
    """alpha, the length of the attacker's step in the space of the trained weights."""
    harmful_batch: int = Field(10, ge=1)
    """Harmful pairs of a step, each process."""
    look_ahead: bool = True
    """Subtract g'; without it the model is trained on the harmful answers, which is the paper's ablation."""


class Booster(Hook):
    """Three passes a step: harmful, harmful after the attacker's step on the same batch, alignment."""

    name = "booster"

    def __init__(self, harmful: Sequence[Example], settings: BoosterSettings | None = None) -> None:
        """Take the harmful pairs that the defender holds.

        Raises:
            TrainingRefused: there are none.
        """
        self._harmful = HeldExamples(harmful, role="harmful", defence="booster")
        self._settings = settings or BoosterSettings()
        self._figures: dict[str, float] = {}

    def settings(self) -> Mapping[str, Any]:
        """Settings and the hash of the harmful pairs."""
        return {**self._settings.model_dump(mode="json"), "harmful_sha256": self._harmful.sha256}

    def start(self, run: TrainingRun) -> None:
        """Encode the harmful pairs."""
        self._harmful.start(run)

    def metrics(self) -> Mapping[str, float]:
        """h(w), its drop by the attacker's step, and ||g||, of the last step."""
        return self._figures

    def gradients(self, run: TrainingRun, batches: Sequence[Batch]) -> float:
        """Leave grad f + lambda * (g - g') in `.grad`; the weights are the same bits afterwards."""
        batch = self._harmful.draw(run, run.step, self._settings.harmful_batch)
        # Each pass starts from the same random state, the third as plain training would.
        with run.same_randomness():
            harmful = run.accumulate([batch], terms=False)
            g = run.take_gradients()
        norm = global_norm(g)
        if not math.isfinite(norm):
            raise TrainingDiverged(f"the harmful gradient's norm is {norm}", step=run.step + 1, examples=batch.ids)
        ahead, beyond = self._after_step(run, batch, g, norm)
        aligned = run.last = run.accumulate(batches)  # the loop records the terms of other hooks from there
        self._figures = {
            "booster_harmful_loss": harmful.loss,
            "booster_drop": harmful.loss - ahead.loss,
            "booster_harmful_norm": norm,
        }
        add_to_gradients(run, {n: self._settings.weight * (g[n] - beyond[n]) for n in g})
        return aligned.loss

    def _after_step(
        self, run: TrainingRun, batch: Batch, g: Mapping[str, Tensor], norm: float
    ) -> tuple[StepLoss, Mapping[str, Tensor]]:
        """Loss and gradient of the same batch after the attacker's step; without look-ahead, a gradient of zeros."""
        with run.same_randomness(), run.weights_restored():
            with torch.no_grad():
                for name, parameter in run.parameters.items():
                    parameter.sub_((self._settings.step / max(norm, LEAST_NORM)) * g[name])
            loss = run.accumulate([batch], terms=False)
            beyond = run.take_gradients()
        return loss, beyond if self._settings.look_ahead else {n: torch.zeros_like(t) for n, t in beyond.items()}


def global_norm(gradients: Mapping[str, Tensor]) -> float:
    """The Euclidean norm of all tensors together, computed in float32 or finer."""
    norms = [torch.linalg.vector_norm(t, dtype=torch.promote_types(t.dtype, torch.float32)) for t in gradients.values()]
    return float(torch.linalg.vector_norm(torch.stack(norms)))


def add_to_gradients(run: TrainingRun, terms: Mapping[str, Tensor]) -> None:
    """Add a tensor to each trained parameter's `.grad`, which may be absent."""
    for name, parameter in run.parameters.items():
        parameter.grad = terms[name] if parameter.grad is None else parameter.grad + terms[name]
