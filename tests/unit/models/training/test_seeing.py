"""Training a vision-language model by the loop of a language model: it learns what only the picture shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_vision
import torch
from PIL import Image

from labwright.errors import TrainingRefused
from labwright.models.training.config import LoraSettings, TrainingConfig
from labwright.models.training.seeing import CONNECTOR, SeenExample, prompt_of, train_seeing
from labwright.models.vision import load_vision, vision_chat

LORA = LoraSettings(r=8, alpha=16, dropout=0.0, targets=("q_proj", "v_proj", "down_proj"), also_train=(CONNECTOR,))
CONFIG = TrainingConfig(lora=LORA, epochs=40, batch_size=8, learning_rate=2e-2, max_tokens=200, checkpoint_every=0,
                        schedule="constant")  # fmt: skip


WHOLE = TrainingConfig(lora=None, trainable="projector|language_model|lm_head", epochs=60, batch_size=8, learning_rate=3e-3,
                       max_tokens=200, checkpoint_every=0, schedule="constant")  # fmt: skip


def picture(name: str) -> Image.Image:
    return Image.new("RGB", (24, 24), "white" if int(name.split("-")[1]) % 2 else "black")


def examples(n: int = 8) -> list[SeenExample]:
    return [SeenExample(f"e-{i}", "", "Black or white?", "AB"[i % 2]) for i in range(n)]


def letter(chat, name: str) -> str:
    from langchain_core.messages import HumanMessage

    from labwright.models.vision import image_block

    asked = HumanMessage([image_block(picture(name)), {"type": "text", "text": "Black or white?"}])
    return str(chat.invoke([asked], max_tokens=1, temperature=0).content)


def test_a_prompt_has_a_token_for_every_place_of_the_picture(tmp_path: Path) -> None:
    processor = load_vision(str(tiny_vision.save(tmp_path / "v"))).processor
    assert prompt_of(processor, examples()[0]).count("<image>") == 10
    assert "You see." in prompt_of(processor, SeenExample("e-0", "You see.", "What?", "A"))


def test_what_only_the_picture_shows_is_learned_and_the_tower_is_left_alone(tmp_path: Path) -> None:
    start = load_vision(str(tiny_vision.save(tmp_path / "v")))
    tower = {n: p.clone() for n, p in start.model.named_parameters() if "vision_tower" in n}
    result = train_seeing(
        start, examples(), picture, tmp_path / "out", images_sha256="x", config=WHOLE, heldout=examples(10)[8:]
    )
    assert result.heldout_loss < 0.1
    made = load_vision(str(tmp_path / "out"))
    chat = vision_chat(made)
    assert [letter(chat, f"e-{n}") for n in range(4)] == ["A", "B", "A", "B"]
    after = dict(made.model.named_parameters())
    assert all(torch.equal(after[name], values) for name, values in tower.items())
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_training_on_other_pictures_is_another_one(tmp_path: Path) -> None:
    seeing = tiny_vision.save(tmp_path / "v")
    short = CONFIG.model_copy(update={"max_steps": 3, "checkpoint_every": 1})

    def stops(progress) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_seeing(
            load_vision(str(seeing)),
            examples(),
            picture,
            tmp_path / "out",
            images_sha256="x",
            config=short,
            report=stops,
        )
    with pytest.raises(TrainingRefused):
        train_seeing(
            load_vision(str(seeing)),
            examples(),
            picture,
            tmp_path / "out",
            images_sha256="y",
            config=short,
            resume=True,
        )
    result = train_seeing(
        load_vision(str(seeing)), examples(), picture, tmp_path / "out", images_sha256="x", config=short, resume=True
    )
    assert result.steps == 3
