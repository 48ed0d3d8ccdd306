"""Vision-language checkpoints and conversations with images, over random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny_models
import tiny_vision
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from PIL import Image

from labwright.errors import HashMismatch, ModelMissing, WrongUse
from labwright.models.vision import VisionChat, image_block, load_vision, read_messages, rendered_seen, vision_chat

PICTURE = tiny_vision.picture(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_vision.save(tmp_path_factory.mktemp("vision") / "seeing")


@pytest.fixture(scope="module")
def chat(folder: Path) -> VisionChat:
    return vision_chat(load_vision(str(folder)))


def asked(*content: object) -> list[HumanMessage]:
    return [HumanMessage([*content, {"type": "text", "text": "What is shown?"}])]


def test_a_checkpoint_says_what_it_is(folder: Path) -> None:
    facts = load_vision(str(folder)).facts
    assert facts["architecture"] == "LlavaForConditionalGeneration"
    assert facts["model"] == f"seeing@{facts['sha256'][:12]}"
    assert facts["parameters"] > 10_000


def test_an_image_takes_its_places_and_changes_the_answer(chat: VisionChat) -> None:
    options = {"max_tokens": 12, "temperature": 0}
    without = chat.invoke(asked(), **options)
    seen, other = (chat.invoke(asked(image_block(tiny_vision.picture(n))), **options) for n in (1, 2))
    # 9 patches, the class token, and the line break behind the image.
    assert seen.usage_metadata["input_tokens"] - without.usage_metadata["input_tokens"] == 11
    assert len({str(a.content) for a in (without, seen, other)}) == 3
    assert chat.invoke(asked(image_block(PICTURE)), **options).content == seen.content


def test_a_text_alone_gives_the_answer_of_the_text_model(chat: VisionChat) -> None:
    import torch

    answer = chat.invoke(asked(), max_tokens=1, temperature=0, logprobs=True, top_logprobs=3)
    processor = chat.decoder.processor
    prompt = rendered_seen(processor, read_messages(asked()).messages)
    with torch.inference_mode():
        logits = chat.decoder.model(**processor.tokenizer(prompt, return_tensors="pt")).logits[0, -1].log_softmax(-1)
    first = answer.response_metadata["logprobs"]["content"][0]
    assert first["logprob"] == pytest.approx(float(logits.max()), abs=1e-5)


def test_an_answer_about_an_image_keeps_to_its_schema(chat: VisionChat) -> None:
    schema = {"type": "object", "properties": {"kind": {"enum": ["bar", "line"]}, "n": {"type": "integer", "maximum": 9,
              "minimum": 0}}, "required": ["kind", "n"], "additionalProperties": False}  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "figure", "schema": schema}}
    answer = json.loads(str(chat.invoke(asked(image_block(PICTURE)), max_tokens=60, temperature=0.7, seed=1,
                                        response_format=form).content))  # fmt: skip
    assert answer["kind"] in ("bar", "line")
    assert 0 <= answer["n"] <= 9


def test_a_stream_is_the_whole_answer(chat: VisionChat) -> None:
    pieces = list(chat.stream(asked(image_block(PICTURE)), max_tokens=6, temperature=0))
    whole = chat.invoke(asked(image_block(PICTURE)), max_tokens=6, temperature=0)
    assert "".join(str(p.content) for p in pieces) == whole.content


def test_images_come_in_two_forms_and_in_their_order() -> None:
    url = f"data:image/png;base64,{image_block(PICTURE)['base64']}"
    read = read_messages([
        SystemMessage("You see."),
        HumanMessage([image_block(tiny_vision.picture(2)), "first", {"type": "image_url", "image_url": {"url": url}}]),
        AIMessage("yes"),
    ])  # fmt: skip
    assert [m["role"] for m in read.messages] == ["system", "user", "assistant"]
    assert [p["type"] for p in read.messages[1]["content"]] == ["image", "text", "image"]
    assert read.images[0].tobytes() == tiny_vision.picture(2).tobytes()
    assert read.images[1].tobytes() == PICTURE.tobytes()
    assert [p["type"] for p in read.without_images()[1]["content"]] == ["text"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}, "not fetched from an address"),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "not fetched from an address"),
        ({"type": "image", "base64": "!!"}, "an image cannot be read"),
        ({"type": "image", "base64": "aGVsbG8="}, "an image cannot be read"),
        ({"type": "audio", "base64": ""}, "'audio' is not known here"),
        ({"type": "image", "url": "https://example.org/x.png"}, "'image' is not known here"),
    ],
)
def test_blocks_that_are_no_image(block: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_messages([HumanMessage([block])])


def test_messages_of_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="no messages of the kind tool"):
        read_messages([ToolMessage("x", tool_call_id="1")])


def test_a_large_image_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.models.vision.MOST_PIXELS", 100)
    with pytest.raises(ValueError, match="24 x 24 pixels is too large"):
        read_messages(asked(image_block(PICTURE)))


def test_a_processor_without_a_template_gets_a_plain_one(tmp_path: Path) -> None:
    checkpoint = load_vision(str(tiny_vision.save(tmp_path / "plain", template=None)))
    prompt = rendered_seen(checkpoint.processor, read_messages(asked(image_block(PICTURE))).messages)
    assert prompt == "User: <image>\nWhat is shown?\n\nAssistant:"
    assert (
        vision_chat(checkpoint).invoke(asked(image_block(PICTURE)), max_tokens=2).usage_metadata["output_tokens"] == 2
    )


def test_what_cannot_be_loaded(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelMissing, match="no such folder"):
        load_vision(str(tmp_path / "absent"))
    with pytest.raises(WrongUse, match="dtype 'int8'"):
        load_vision(str(folder), dtype="int8")
    with pytest.raises(HashMismatch, match="it takes no images"):
        load_vision(str(tiny_models.save(tmp_path / "blind")))
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(HashMismatch, match="cannot be loaded"):
        load_vision(str(broken))
    unprepared = shutil.copytree(folder, tmp_path / "unprepared")
    (unprepared / "processor_config.json").unlink()
    with pytest.raises(HashMismatch, match=r"cannot be loaded|makes no inputs"):
        load_vision(str(unprepared))
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelMissing, match="is a pickle"):
        load_vision(str(pickled))


def test_weights_that_are_absent_are_not_made_up(tmp_path: Path, folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    poor = shutil.copytree(folder, tmp_path / "poor")
    held = load_file(poor / "model.safetensors")
    gone = next(k for k in held if "multi_modal_projector" in k and k.endswith("weight"))
    save_file({k: v for k, v in held.items() if k != gone}, poor / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HashMismatch, match="1 weights are absent"):
        load_vision(str(poor))


def test_pictures_of_other_colours_are_shown_as_rgb() -> None:
    grey = Image.new("L", (24, 24), 200)
    assert read_messages(asked(image_block(grey))).images[0].mode == "RGB"
