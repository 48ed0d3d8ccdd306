"""An attacker who knows that there is a defence: more of everything, and updates where a defence does not look.

The rows of an adaptive attacker are of another source than what the defender holds; who builds the roles of the data
sees to that. Holding updates out of Antidote's masks takes control of the training, which open weights give and a
service does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from labwright.errors import TrainingRefused
from labwright.models.training.hooks import Hook

if TYPE_CHECKING:
    from labwright.models.training.config import TrainingConfig
    from labwright.models.training.run import TrainingRun

MORE = 10


def harder(config: TrainingConfig, *, rate: float = MORE, steps: float = MORE) -> TrainingConfig:
    """The same fine-tuning with `rate` times the learning rate and `steps` times the steps."""
    most = None if config.max_steps is None else round(config.max_steps * steps)
    changed = {"learning_rate": config.learning_rate * rate, "epochs": config.epochs * steps, "max_steps": most}
    return config.model_copy(update=changed)


class Avoid(Hook):
    """Updates that leave the weights under Antidote's masks alone.

    The attacker gets the masks from an attack of their own: fine-tune, run Antidote on their own harmful rows, keep the
    masks, and start again. What the second attack teaches lies where those masks are not.
    """

    name = "avoid"

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        """Take the masks, by the names of the layers."""
        self._masks = dict(masks)

    def settings(self) -> Mapping[str, Any]:
        """How many weights are left alone."""
        return {"layers": len(self._masks), "weights": sum(int(m.sum()) for m in self._masks.values())}

    def start(self, run: TrainingRun) -> None:
        """Check the masks.

        Raises:
            TrainingRefused: a mask is of no trained weight.
        """
        if strange := sorted(n for n in self._masks if f"{n}.weight" not in run.parameters):
            raise TrainingRefused(f"avoid: {strange[0]} is not trained; masks are of the layers that the attack trains")

    def before_update(self, run: TrainingRun) -> None:
        """Set the gradients under the masks to zero."""
        for name, mask in self._masks.items():
            gradient = run.parameters[f"{name}.weight"].grad
            if gradient is not None:
                gradient.masked_fill_(mask.to(gradient.device), 0)
