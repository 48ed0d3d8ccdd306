"""RepNoise (Rosati et al. 2024, arXiv 2405.14577): hidden states of harmful answers are made noise.

f + beta * mean_l MMD(h_l, N(0, I)) - a * log(1 + mean_l CE_l), with h_l the hidden states of layer l at the harmful
answers' tokens, and CE_l the cross entropy of those answers read off layer l by the model's own norm and head. The
released code takes the positions where a harmful and a safe sequence of one prompt differ; those are the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from labwright.errors import TrainingRefused
from labwright.models.training.encoding import MASKED
from labwright.models.training.examples import Example
from labwright.models.training.hooks import Hook
from labwright.safety.defences.held import HeldExamples

if TYPE_CHECKING:
    from transformers.utils.generic import ModelOutput

    from labwright.models.training.encoding import Batch
    from labwright.models.training.run import TrainingRun

KERNELS, FACTOR = 5, 2.0
"""Gaussian kernels of the MMD, and the ratio of one bandwidth to the next."""
NORMS = ("norm", "ln_f", "final_layer_norm")
"""Last parts of the names of the norm before the head in the model families of transformers."""


class RepNoise(Hook):
    """Two terms of a harmful batch in each pass."""

    name = "repnoise"

    def __init__(
        self, harmful: Sequence[Example], *, ascent: float = 0.1, noise: float = 0.001, harmful_batch: int = 10
    ) -> None:
        """Take the harmful pairs; `ascent` is a and `noise` beta.

        Raises:
            TrainingRefused: there are none, or a weight is negative.
        """
        if min(ascent, noise) < 0:
            raise TrainingRefused(f"repnoise: ascent {ascent:g} and noise {noise:g} must be 0 or more")
        self._harmful = HeldExamples(harmful, role="harmful", defence="repnoise")
        self._ascent, self._noise, self._size = ascent, noise, harmful_batch
        self._norm: nn.Module = nn.Identity()

    def settings(self) -> Mapping[str, Any]:
        """Weights, batch and the hash of the harmful pairs."""
        values = {"ascent": self._ascent, "noise": self._noise, "harmful_batch": self._size}
        return {**values, "harmful_sha256": self._harmful.sha256}

    def start(self, run: TrainingRun) -> None:
        """Encode the pairs and find the norm before the head.

        Raises:
            TrainingRefused: the model has no such norm.
        """
        self._harmful.start(run)
        found = [m for n, m in run.model.named_modules() if n.rsplit(".", 1)[-1] in NORMS]
        if not found:
            raise TrainingRefused(f"repnoise: no module of the model is named {', '.join(NORMS)}")
        self._norm = found[-1]

    def loss_terms(self, run: TrainingRun, batch: Batch, outputs: ModelOutput) -> Mapping[str, Tensor]:
        """The noise term and the ascent term of the module's formula."""
        harmful = self._harmful.draw(run, run.step, self._size)
        # The last hidden state of transformers is normed already; it is the one whose head the loss reads.
        states = run.forward(harmful, output_hidden_states=True).hidden_states[1:]
        labels = harmful.labels[:, 1:]
        answered = labels != MASKED
        noise, entropies = [], []
        for number, state in enumerate(states, 1):
            at_answers = state[:, :-1][answered].float()  # (answer tokens, d)
            noise.append(mmd(at_answers, torch.randn_like(at_answers)))
            normed = at_answers if number == len(states) else self._norm(at_answers.to(state.dtype))
            logits = run.model.get_output_embeddings()(normed.to(state.dtype)).float()  # type: ignore[operator]
            entropies.append(torch.nn.functional.cross_entropy(logits, labels[answered]))
        return {
            "repnoise_noise": self._noise * torch.stack(noise).mean(),
            "repnoise_ascent": -self._ascent * torch.log1p(torch.stack(entropies).mean()),
        }


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """Squared maximum mean discrepancy with five Gaussian kernels, biased form; a scalar, 0 for equal samples.

    Args:
        x: (n, d).
        y: (n, d). The bandwidths are the mean squared distance of all pairs of the two samples, times 1/4 to 4.
    """
    n = len(x)
    both = torch.cat([x, y])
    norms, total = both.square().sum(-1), len(both)
    # Not the square of `cdist`: its root has no gradient where two rows are equal.
    squared = (norms[:, None] + norms[None, :] - 2 * both @ both.T).clamp_min(0)
    bandwidth = squared.detach().sum() / (total * (total - 1)) / FACTOR ** (KERNELS // 2)
    kernel = torch.stack([torch.exp(-squared / (bandwidth * FACTOR**k)) for k in range(KERNELS)]).sum(0)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - kernel[:n, n:].mean() - kernel[n:, :n].mean()
