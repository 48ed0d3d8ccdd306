"""A vision-language model that is steered wherever it answers about an image: what `kind = "steered"` opens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from labwright.errors import HashMismatch, WrongUse
from labwright.models.vision import Asked, VisionChat, VisionCheckpoint, image_block, rendered_seen, vision_chat
from labwright.safety.steering.extraction import Encode, SampleSteerer
from labwright.safety.steering.guard import Choice, Setting
from labwright.safety.steering.steerer import MOST_ALPHA, NamedLayers, Policy, Positions, Steerer
from labwright.safety.steering.vectors import FACTS, WEIGHTS, ShiftVectors

if TYPE_CHECKING:
    from PIL.Image import Image

Level = Literal["dataset", "sample"]
CHOICE = "choice.json"
"""Beside the vectors: the setting of each level that `labwright models steer evaluate` chose, and what it saw."""


def encoder(checkpoint: VisionCheckpoint) -> Encode:
    """What a model takes for a prompt, with an image in front of it or without.

    A prompt is a text, or a whole conversation as :func:`conversation` writes it.
    """
    processor: Any = checkpoint.processor

    def encode(text: str, image: Image | None) -> Mapping[str, Any]:
        messages = _messages(text)
        if image is None:
            asked = Asked(messages, ()).without_images()
            made = processor.tokenizer(rendered_seen(processor, asked), return_tensors="pt")
        else:
            prompt = rendered_seen(processor, _with_place(messages))
            made = processor(text=[prompt], images=[image], return_tensors="pt")
        kept = {name: values for name, values in made.items() if name != "token_type_ids"}
        return {name: values.to(checkpoint.model.device) for name, values in kept.items()}

    return encode


def conversation(asked: Asked) -> str:
    """A conversation as one text, which tells it from others."""
    return json.dumps({"messages": asked.messages}, ensure_ascii=False)


def _messages(text: str) -> tuple[dict[str, Any], ...]:
    if text.startswith('{"messages": '):
        return tuple(json.loads(text)["messages"])
    return ({"role": "user", "content": [{"type": "text", "text": text}]},)


def _with_place(messages: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """The place of an image in front of the first message, where no message has one."""
    if any(part["type"] == "image" for m in messages for part in m["content"]):
        return messages
    first, *rest = messages
    return ({**first, "content": [{"type": "image"}, *first["content"]]}, *rest)


def steering(
    checkpoint: VisionCheckpoint, vectors: ShiftVectors, setting: Setting, level: Level
) -> Callable[[Asked], AbstractContextManager[Any]]:
    """The context that a conversation is answered in: steered where it has an image, as it is without one.

    Args:
        checkpoint: of the model.
        vectors: of this very model; at the sample level their corruption and lengths are used, not their directions.
        setting: how strongly and where.
        level: by the data set's vectors, or by the shift of the very prompt, which costs two readings of it.

    Raises:
        WrongUse: alpha or layers out of range, or an unknown level.
        HashMismatch: the vectors do not fit the model.
    """
    if level not in ("dataset", "sample"):
        raise WrongUse(f"level {level!r}: dataset or sample")
    model: Any = checkpoint.model
    alpha, policy = setting.alpha, setting.policy
    Steerer(model, vectors.layers, alpha, policy)  # what is wrong with the vectors shows now, not in the first answer
    encode, corruption = encoder(checkpoint), vectors.corruption
    by_sample = SampleSteerer(model, encode, alpha, corruption, policy, vectors.lengths)  # type: ignore[arg-type]

    def around(asked: Asked) -> AbstractContextManager[Any]:
        if not asked.images or alpha == 0:
            return nullcontext()
        if level == "dataset":
            return Steerer(model, vectors.layers, alpha, policy)
        if len(asked.images) > 1:
            raise ValueError(f"steering by sample takes one image a conversation, this one has {len(asked.images)}")
        return by_sample.steering(conversation(asked), asked.images[0])

    return around


def steered_chat(
    checkpoint: VisionCheckpoint,
    folder: Path,
    *,
    level: Level = "dataset",
    alpha: float | None = None,
    context_tokens: int = 8192,
) -> tuple[VisionChat, dict[str, Any]]:
    """A steered chat model, and what a record says of the steering.

    Args:
        checkpoint: of :func:`labwright.models.vision.load_vision`.
        folder: of the vectors that `labwright models steer extract` took from it.
        level: dataset or sample.
        alpha: in all layers, at the last prompt token and every generated one; None takes the setting that
            `labwright models steer evaluate` chose.
        context_tokens: longest prompt and answer together.

    Raises:
        ModelMissing: there are no vectors.
        HashMismatch: they are damaged, or of another model.
        WrongUse: no alpha was chosen or given, or it is out of range.
    """
    vectors = ShiftVectors.load(folder, str(checkpoint.facts["model"]))
    chosen, reason = (Setting(alpha), "given") if alpha is not None else read_choice(folder, level)
    around = steering(checkpoint, vectors, chosen, level)
    facts = {
        "level": level,
        **chosen.described(),
        "reason": reason,
        "corruption": vectors.corruption,
        "aggregate": vectors.aggregate,
        "anchors": vectors.n_anchor,
        "vectors_sha256": vectors_hash(folder),
    }
    return vision_chat(checkpoint, context_tokens=context_tokens, around=around), facts


def asker(checkpoint: VisionCheckpoint, vectors: ShiftVectors, reply_tokens: int) -> Callable[..., str]:
    """Asks a model greedily: text, image or None, level and setting to an answer.

    Args:
        checkpoint: of the model.
        vectors: of this very model.
        reply_tokens: longest answer.
    """
    from langchain_core.messages import HumanMessage

    @cache
    def chat(level: Level, setting: Setting) -> VisionChat:
        return vision_chat(checkpoint, around=steering(checkpoint, vectors, setting, level))

    def ask(text: str, image: Image | None, level: Level, setting: Setting) -> str:
        content: list[Any] = [] if image is None else [image_block(image)]
        message = HumanMessage([*content, {"type": "text", "text": text}])
        return str(chat(level, setting).invoke([message], max_tokens=reply_tokens, temperature=0).text)

    return ask


def vectors_hash(folder: Path) -> str:
    """The sha256 of the vectors and of what they say of themselves."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes() + (folder / FACTS).read_bytes()).hexdigest()


def write_choice(folder: Path, choices: Mapping[Level, Choice]) -> None:
    """Keep the setting of each level beside the vectors that it belongs to."""
    levels = {level: choice.described() for level, choice in choices.items()}
    made = {"vectors_sha256": vectors_hash(folder), "levels": levels}
    (folder / CHOICE).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def read_choice(folder: Path, level: Level) -> tuple[Setting, str]:
    """The setting that was chosen for a level, and why.

    Raises:
        WrongUse: none was chosen.
        HashMismatch: it was chosen for other vectors, or the file was changed by hand.
    """
    path = folder / CHOICE
    if not path.is_file():
        raise WrongUse(f"{folder}: no setting was chosen; `labwright models steer evaluate` does, or give an alpha")
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        of, levels = held["vectors_sha256"], held["levels"]
        chosen = (_setting(levels[level]), str(levels[level]["reason"])) if level in levels else None
    except (ValueError, KeyError, TypeError) as error:
        raise HashMismatch(f"{path}: damaged: {error!r}; run `labwright models steer evaluate` again") from error
    if of != vectors_hash(folder) or (chosen and not 0 <= chosen[0].alpha <= MOST_ALPHA):
        raise HashMismatch(f"{path}: was not chosen for these vectors; run `labwright models steer evaluate` again")
    if chosen is None:
        raise WrongUse(f"{path}: no setting for the level {level}; `labwright models steer evaluate` chooses one")
    return chosen


def _setting(held: Mapping[str, Any]) -> Setting:
    """Of a file; a choice that names no layers or positions is refused as damaged, as a wrong one is."""
    layers, positions = held["layers"], held["positions"]
    where = str(layers) if isinstance(layers, str) else tuple(int(i) for i in layers)
    if isinstance(where, str) and where not in get_args(NamedLayers):
        raise ValueError(f"layers {where!r}")
    if positions not in get_args(Positions):
        raise ValueError(f"positions {positions!r}")
    policy = Policy(where, positions, bool(held["compensate"]))  # type: ignore[arg-type]
    return Setting(float(held["alpha"]), policy)
