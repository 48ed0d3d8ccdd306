"""The tower, and the model assembled of it: shapes, padding, what stays the same, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models
import tiny_vision
import torch
from langchain_core.messages import HumanMessage
from PIL import Image

from labwright.errors import HashMismatch, WrongUse
from labwright.models.checkpoints import load_checkpoint
from labwright.models.eyes import Convolution, EyesConfig, EyesModel, _renamed, assemble, with_images
from labwright.models.local import local_chat
from labwright.models.vision import image_block, load_vision, rendered_seen, vision_chat


@pytest.fixture(scope="module")
def eyes() -> EyesModel:
    torch.manual_seed(0)
    return EyesModel(EyesConfig()).eval()


@pytest.fixture(scope="module")
def language(tmp_path_factory) -> Path:
    return tiny_models.save(tmp_path_factory.mktemp("language") / "base", tie_word_embeddings=True)


@pytest.fixture(scope="module")
def assembled(tmp_path_factory, eyes: EyesModel, language: Path) -> Path:
    return assemble(load_checkpoint(str(language)), eyes, tmp_path_factory.mktemp("assembled") / "seeing")


def test_the_tower_has_the_published_shape(eyes: EyesModel) -> None:
    assert sum(p.numel() for p in eyes.parameters()) == 3_371_008  # 4,652,008 without the classifier's 1,281,000
    with torch.inference_mode():
        out = eyes(pixel_values=torch.zeros(2, 3, 224, 224))
        small = eyes(pixel_values=torch.zeros(1, 3, 64, 64))
    assert out.last_hidden_state.shape == (2, 49, 1280)
    assert out.hidden_states[-1] is out.last_hidden_state
    assert small.last_hidden_state.shape == (1, 4, 1280)
    assert float(out.last_hidden_state.max()) <= 6


def test_padding_is_at_the_end_where_it_is_odd() -> None:
    layer = Convolution(1, 1, 3, 2)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        made = layer(torch.arange(16.0).view(1, 1, 4, 4))
    assert made[0, 0].tolist() == [[45, 39], [66, 50]]


def test_the_tower_stays_as_it_is_while_a_model_is_trained(eyes: EyesModel) -> None:
    assert not eyes.train().training
    before = eyes.stem[1].running_mean.clone()
    eyes(pixel_values=torch.randn(2, 3, 64, 64))
    assert torch.equal(before, eyes.stem[1].running_mean)


def test_published_names_become_ours_and_the_classifier_is_left_out() -> None:
    held = {"_conv_stem.weight": 1, "_bn1.bias": 2, "_blocks.3._depthwise_conv.weight": 3, "_blocks.3._bn2.running_var": 4,
            "_fc.weight": 5}  # fmt: skip
    assert _renamed(held) == {  # type: ignore[arg-type]
        "stem.0.weight": 1, "head.1.bias": 2, "blocks.3.look.0.weight": 3, "blocks.3.narrow.1.running_var": 4,
    }  # fmt: skip
    for name in ("_blocks.0._se_reduce.weight", "other.weight"):
        with pytest.raises(HashMismatch, match="no weight of EfficientNet-Lite0"):
            _renamed({name: torch.zeros(1)})


def test_an_assembled_model_answers_texts_as_its_language_model_does(assembled: Path, language: Path) -> None:
    seeing = vision_chat(load_vision(str(assembled)))
    plain = local_chat(load_checkpoint(str(language)))
    options = {"max_tokens": 12, "temperature": 0, "repetition_penalty": 1.0}
    assert seeing.invoke("Which genes?", **options).content == plain.invoke("Which genes?", **options).content


def test_an_image_takes_49_places_and_changes_the_answer(assembled: Path) -> None:
    chat = vision_chat(load_vision(str(assembled)))
    text = {"type": "text", "text": "What is shown?"}
    pictures = [Image.new("RGB", (80, 60), colour) for colour in ("white", "black")]
    options = {"max_tokens": 1, "temperature": 0, "logprobs": True}
    said = [chat.invoke([HumanMessage([image_block(p), text])], **options) for p in pictures]
    blind = chat.invoke([HumanMessage([text])], **options)
    assert said[0].usage_metadata["input_tokens"] - blind.usage_metadata["input_tokens"] == 50  # and a line break
    first = [a.response_metadata["logprobs"]["content"][0]["logprob"] for a in (*said, blind)]
    assert len(set(first)) == 3


def test_a_template_of_texts_takes_parts(assembled: Path) -> None:
    processor = load_vision(str(assembled)).processor
    parts = [{"type": "image"}, {"type": "text", "text": "What?"}]
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "You see."}]},
        {"role": "user", "content": parts},
    ]
    assert rendered_seen(processor, messages) == (
        "<|im_start|>system\nYou see.<|im_end|>\n<|im_start|>user\n<image>\nWhat?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert "{% for" in with_images(tiny_models.CHATML)


def test_a_model_is_not_written_over(eyes: EyesModel, language: Path, assembled: Path) -> None:
    with pytest.raises(WrongUse, match="holds a model already"):
        assemble(load_checkpoint(str(language)), eyes, assembled)


def test_the_random_llava_of_the_tests_is_read_too(tmp_path: Path) -> None:
    assert load_vision(str(tiny_vision.save(tmp_path / "v"))).facts["architecture"] == "LlavaForConditionalGeneration"
