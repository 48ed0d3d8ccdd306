"""Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796, equation 3) that holds an alignment.

The loss gets lambda/2 * sum_i F_i (theta_i - theta0_i)^2, with theta0 the aligned weights and F_i the mean square of
the gradient of single alignment pairs (the diagonal of the empirical Fisher information). The released code of the
defences leaves the 1/2 out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from labwright.errors import TrainingRefused
from labwright.models.training.examples import Example
from labwright.models.training.hooks import Hook
from labwright.safety.defences.held import HeldExamples

if TYPE_CHECKING:
    from transformers.utils.generic import ModelOutput

    from labwright.models.training.encoding import Batch
    from labwright.models.training.run import TrainingRun


class Ewc(Hook):
    """Measures the Fisher information once, then adds the penalty."""

    name = "ewc"

    def __init__(self, alignment: Sequence[Example], *, weight: float = 1000.0, pairs: int = 200) -> None:
        """Take the alignment pairs; `weight` is lambda, and F is measured on the first `pairs` of them.

        Raises:
            TrainingRefused: there are none, or the weight is negative.
        """
        if weight < 0 or pairs < 1:
            raise TrainingRefused(f"ewc: weight {weight:g} on {pairs} pairs; 0 or more, on 1 or more")
        self._alignment = HeldExamples(alignment[:pairs], role="alignment", defence="ewc")
        self._weight = weight
        self._fisher: dict[str, Tensor] = {}
        self._start: dict[str, Tensor] = {}

    def settings(self) -> Mapping[str, Any]:
        """Weight and the hash of the pairs."""
        return {"weight": self._weight, "alignment_sha256": self._alignment.sha256}

    def start(self, run: TrainingRun) -> None:
        """Measure F at the aligned weights; a resumed training measures it again, on the same weights."""
        self._alignment.start(run)
        self._start = {n: p.detach().clone() for n, p in run.parameters.items()}
        self._fisher = {n: torch.zeros_like(p) for n, p in run.parameters.items()}
        rows = self._alignment.encoding.rows
        for row in rows:
            run.zero_gradients()
            run.accumulate([run.batch([row])], terms=False)
            for name, gradient in run.take_gradients().items():
                self._fisher[name] += gradient.square() / len(rows)

    def loss_terms(self, run: TrainingRun, batch: Batch, outputs: ModelOutput) -> Mapping[str, Tensor]:
        """The penalty."""
        return {"ewc": consolidation(run.parameters, self._start, self._fisher, self._weight)}


def consolidation(
    parameters: Mapping[str, Tensor], start: Mapping[str, Tensor], fisher: Mapping[str, Tensor], weight: float
) -> Tensor:
    """weight/2 * sum_i F_i (theta_i - theta0_i)^2; a scalar."""
    terms = [(fisher[n] * (p - start[n]).square()).float().sum() for n, p in parameters.items()]
    return weight / 2 * torch.stack(terms).sum()
