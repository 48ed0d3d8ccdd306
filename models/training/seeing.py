"""Training a vision-language model: the loop of a language model, with the images of its examples.

The tower stays as it is; the connector is trained whole and the language model by adapters, unless the settings say
otherwise.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from labwright.models.checkpoints import Checkpoint
from labwright.models.training.config import LoraSettings, TrainingConfig
from labwright.models.training.examples import Example, TrainingData
from labwright.models.training.hooks import Hook
from labwright.models.training.loop import train
from labwright.models.training.results import Progress, TrainingResult, silent
from labwright.models.training.session import CHECKPOINTS
from labwright.models.vision import VisionCheckpoint, rendered_seen

if TYPE_CHECKING:
    from PIL.Image import Image

    from labwright.models.training.encoding import Batch
    from labwright.models.training.run import TrainingRun

CONNECTOR = "multi_modal_projector"
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SEEING = LoraSettings(r=16, alpha=16, dropout=0.05, targets=TARGETS, also_train=(CONNECTOR,))
OPEN = Callable[[str], "Image"]
"""From the id of an example to its picture."""


@dataclass(frozen=True, slots=True)
class SeenExample:
    """A question about a picture, and what shall be said."""

    id: str
    """Unlike in a training; names the picture, up to a colon."""
    system: str
    question: str
    answer: str


class Seeing(Hook):
    """Gives each example of a batch its picture."""

    name = "seeing"

    def __init__(self, processor: Any, picture: OPEN, sha256: str) -> None:
        self._looks, self._picture, self._sha256 = processor.image_processor, picture, sha256

    def settings(self) -> Mapping[str, Any]:
        """The pictures by their hash."""
        return {"images": self._sha256}

    def inputs(self, run: TrainingRun, batch: Batch) -> Mapping[str, Any]:
        """Pixels of the batch's pictures, one a row."""
        made = self._looks([self._picture(i) for i in batch.ids], return_tensors="pt")["pixel_values"]
        return {"pixel_values": torch.as_tensor(made).to(run.accelerator.device)}


def prompt_of(processor: Any, example: SeenExample) -> str:
    """The prompt of an example as the model reads it: every place of the picture is a token."""
    system = [{"role": "system", "content": [{"type": "text", "text": example.system}]}] if example.system else []
    asked = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": example.question}]}
    once = rendered_seen(processor, [*system, asked])
    places = processor.image_token * _places(processor)
    return once.replace(str(processor.image_token), places)


def _places(processor: Any) -> int:
    """Tokens that a picture takes."""
    from PIL import Image

    blank = Image.new("RGB", (64, 64))
    made = processor(text=[str(processor.image_token)], images=[blank], return_tensors="pt")
    return int((made["input_ids"] == processor.tokenizer.convert_tokens_to_ids(processor.image_token)).sum())


def train_seeing(  # noqa: PLR0913  (what a training is made of)
    checkpoint: VisionCheckpoint,
    examples: Sequence[SeenExample],
    picture: OPEN,
    folder: Path,
    *,
    images_sha256: str,
    config: TrainingConfig | None = None,
    heldout: Sequence[SeenExample] = (),
    report: Callable[[Progress], None] = silent,
    resume: bool = False,
) -> TrainingResult:
    """Train a model on questions about pictures, and leave a folder that `load_vision` reads.

    Args:
        checkpoint: of `load_vision`; its model is changed.
        examples: to learn.
        picture: opens the picture of an example.
        folder: of the result; holds checkpoints from the start.
        images_sha256: of all pictures, for the training's identity.
        config: settings; by default adapters on the language model, the connector whole, one epoch.
        heldout: measured on and never trained on.
        report: shows progress.
        resume: go on from the newest checkpoint in `folder`.

    Raises:
        As :func:`labwright.models.training.loop.train`.
    """
    processor: Any = checkpoint.processor
    settings = config or TrainingConfig(lora=SEEING, epochs=1, learning_rate=3e-4, batch_size=16, max_tokens=400)
    settings = settings.model_copy(update={"template": "none", "stop_marker": "", "append_eos": True, "save": "merged"})
    text = Checkpoint(checkpoint.model, processor.tokenizer, checkpoint.path, dict(checkpoint.facts))

    def plain(items: Sequence[SeenExample]) -> tuple[Example, ...]:
        return tuple(Example(prompt_of(processor, e), e.answer, id=e.id, about=e.id.split(":")[0]) for e in items)

    data = TrainingData(plain(examples), plain(heldout), source="questions about pictures")
    result = train(text, data, settings, folder, (Seeing(processor, picture, images_sha256),), report, resume=resume)
    processor.save_pretrained(folder)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return result
