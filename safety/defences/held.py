"""Examples that a defence holds beside the data of the training itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labwright.errors import TrainingRefused
from labwright.models.training.examples import Example, TrainingData, check

if TYPE_CHECKING:
    from labwright.models.training.encoding import Batch, Encoding
    from labwright.models.training.run import TrainingRun


class HeldExamples:
    """Alignment or harmful pairs of a defence, encoded when the training starts.

    Attributes:
        sha256: of the examples, for the training's identity.
        encoding: of the examples; there after `start`.
    """

    encoding: Encoding

    def __init__(self, examples: Sequence[Example], *, role: str, defence: str) -> None:
        """Hold examples.

        Raises:
            TrainingRefused: there is none, or one has no prompt or answer.
        """
        if not examples:
            raise TrainingRefused(f"{defence} needs {role} pairs (a prompt with an answer) and was given none")
        data = TrainingData(tuple(examples), source=f"{role} pairs of {defence}")
        check(data)
        self.examples = data.train
        self.sha256 = data.sha256()
        self._name = f"{defence}-{role}"

    def start(self, run: TrainingRun) -> None:
        """Encode with the training's tokenizer, template and length.

        Raises:
            TrainingRefused: every label is masked.
        """
        self.encoding = run.encode(self.examples)

    def draw(self, run: TrainingRun, step: int, size: int) -> Batch:
        """Batch number `step`, reshuffled for ever."""
        return run.draw(self.encoding, self._name, step, size)
