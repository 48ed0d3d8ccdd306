"""The points at which a method takes part in a training without a loop of its own.

| what a method does | hook point | for example |
|---|---|---|
| gives the model more than tokens | `inputs` | the images of a vision-language model |
| adds a term to the loss, of outputs, hidden states or weights | `loss_terms` | H3Fusion's gate, LDIFS, EWC, Lisa |
| computes the gradients of a step itself, at weights it moved | `gradients` | Booster, Vaccine, RepNoise |
| says which examples a step sees | `choose_batch` | Lisa's two states |
| looks at or changes gradients before clipping | `before_update` | projections |
| acts after a step | `after_step` | Lisa's switch, statistics |
| keeps something over an interrupt | `state`, `load_state` | Lisa's last weights |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers.utils.generic import ModelOutput

    from labwright.models.training.encoding import Batch
    from labwright.models.training.run import TrainingRun


@dataclass(frozen=True, slots=True)
class HookState:
    """What a hook keeps in a checkpoint."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Hook:
    """A method's part in a training; every method here does nothing, and a hook overrides what it needs.

    A hook must give the same for the same training and step: no clock, no random numbers but torch's.
    """

    name: str = "hook"
    """Names the hook's settings and state; unlike in one training."""

    def settings(self) -> Mapping[str, Any]:
        """JSON values that decide what the hook does; part of the training's identity and of its record."""
        return {}

    def prepare(self, model: nn.Module) -> None:
        """Before the optimiser is made, after adapters were added; may change which parameters are trained."""

    def start(self, run: TrainingRun) -> None:
        """Before the first step, or before the first one after an interrupt (then `load_state` follows)."""

    def forward_arguments(self) -> Mapping[str, Any]:
        """Arguments for each forward pass, such as `output_hidden_states=True`."""
        return {}

    def inputs(self, run: TrainingRun, batch: Batch) -> Mapping[str, Any]:
        """What a forward pass on the data's own batches takes besides tokens, such as images."""
        return {}

    def choose_batch(self, run: TrainingRun, step: int) -> Sequence[Batch] | None:
        """The micro-batches of this process for a step counted from 0; None leaves it to the data's own order.

        Under several processes each has to give the same number of micro-batches. One hook alone may choose.
        """
        return None

    def loss_terms(self, run: TrainingRun, batch: Batch, outputs: ModelOutput) -> Mapping[str, Tensor]:
        """Scalars that are added to the loss of a micro-batch, by the names under which they are recorded.

        A term is the mean over the batch's examples (or does not depend on them); micro-batches of a step are
        weighed by their numbers of examples. `outputs.logits` are (n, v), those of the batch's n answer tokens.
        """
        return {}

    def gradients(self, run: TrainingRun, batches: Sequence[Batch]) -> float | None:
        """Leave the gradients of a step in `.grad` and return its loss; None leaves it to the loop.

        Called with gradients at zero. `run.accumulate`, `run.take_gradients`, `run.weights_restored` and
        `run.same_randomness` are made for it. One hook alone may compute.
        """
        return None

    def before_update(self, run: TrainingRun) -> None:
        """With the step's gradients complete, before they are clipped."""

    def after_step(self, run: TrainingRun) -> None:
        """After an update; `run.step` counts the updates that were made."""

    def metrics(self) -> Mapping[str, float]:
        """Figures for the step's line in metrics.jsonl."""
        return {}

    def state(self) -> HookState:
        """What a checkpoint has to keep for this hook."""
        return HookState()

    def load_state(self, state: HookState) -> None:
        """Go on from what `state` returned."""
