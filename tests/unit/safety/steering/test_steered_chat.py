"""The steered backend, the evaluation and the choice of alpha, over random weights and made-up answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_vision
import torch
from langchain_core.messages import HumanMessage
from PIL import Image

from labwright.config import BackendConfig
from labwright.errors import ConfigInvalid, HashMismatch, ModelMissing, WrongUse
from labwright.models.vision import VisionCheckpoint, image_block, load_vision, vision_chat
from labwright.safety.steering.chat import CHOICE, encoder, read_choice, steered_chat, steering, write_choice
from labwright.safety.steering.evaluation import Item, Plan, anchors, as_document, evaluate, read_items
from labwright.safety.steering.extraction import extract
from labwright.safety.steering.guard import UNSTEERED, Choice, Rates, Setting
from labwright.safety.steering.steerer import Policy
from labwright.safety.steering.vectors import ShiftVectors
from labwright.workflows.backends import open_backend

PICTURE = tiny_vision.picture(1)
GREEDY = {"max_tokens": 10, "temperature": 0}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory) -> Path:
    return tiny_vision.save(tmp_path_factory.mktemp("vision") / "seeing")


@pytest.fixture(scope="module")
def checkpoint(seeing: Path) -> VisionCheckpoint:
    return load_vision(str(seeing))


def items_file(folder: Path, n: int = 6) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(n):
        tiny_vision.picture(number).save(folder / f"{number}.png")
        kind = ("harmful", "ordinary")[number % 2]
        rows.append({"text": f"{kind} request {number}", "image": f"{number}.png", "kind": kind, "answer": "lamp" * (number % 2),
                     "caption": "a picture"})  # fmt: skip
    path = folder / "items.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path


@pytest.fixture(scope="module")
def shift(tmp_path_factory, checkpoint: VisionCheckpoint) -> Path:
    home = tmp_path_factory.mktemp("shift")
    read = read_items(items_file(home / "anchors"))
    found = extract(checkpoint.model, encoder(checkpoint), anchors(read), name=str(checkpoint.facts["model"]))
    found.save(home / "vectors")
    return home / "vectors"


def seen(text: str = "What is shown?", picture: Image.Image | None = PICTURE) -> list[HumanMessage]:
    return [HumanMessage([*([image_block(picture)] if picture else []), {"type": "text", "text": text}])]


def test_prompts_with_and_without_an_image_end_with_the_same_token(checkpoint: VisionCheckpoint) -> None:
    encode = encoder(checkpoint)
    without, with_image = encode("What?", None), encode("What?", PICTURE)
    assert int(without["input_ids"][0, -1]) == int(with_image["input_ids"][0, -1])
    assert with_image["input_ids"].shape[1] - without["input_ids"].shape[1] == 11
    assert "pixel_values" in with_image
    assert "pixel_values" not in without


@pytest.mark.parametrize("level", ["dataset", "sample"])
def test_answers_about_images_are_steered_and_others_are_not(checkpoint, shift: Path, level) -> None:
    plain = vision_chat(checkpoint)
    chat, facts = steered_chat(checkpoint, shift, level=level, alpha=1.5)
    assert facts | {"vectors_sha256": ""} == {
        "level": level, "alpha": 1.5, "layers": "all", "positions": "last_and_generated", "compensate": False,
        "reason": "given", "corruption": "blank", "aggregate": "mean", "anchors": 6, "vectors_sha256": "",
    }  # fmt: skip
    blind = seen(picture=None)
    assert chat.invoke(blind, **GREEDY).content == plain.invoke(blind, **GREEDY).content

    def first(model, messages) -> float:
        answer = model.invoke(messages, max_tokens=1, temperature=0, logprobs=True)
        return answer.response_metadata["logprobs"]["content"][0]["logprob"]

    assert first(chat, seen()) != first(plain, seen())
    assert first(plain, seen()) == first(vision_chat(checkpoint), seen())  # every hook is gone


def test_at_alpha_0_nothing_is_touched(checkpoint: VisionCheckpoint, shift: Path) -> None:
    chat, _ = steered_chat(checkpoint, shift, alpha=0.0)
    assert chat.invoke(seen(), **GREEDY).content == vision_chat(checkpoint).invoke(seen(), **GREEDY).content


def test_by_sample_a_meaningless_image_at_alpha_1_gives_the_states_of_the_text(
    checkpoint: VisionCheckpoint, shift: Path
) -> None:
    from labwright.models.vision import read_messages
    from labwright.safety.steering.corruption import corrupted
    from labwright.safety.steering.steerer import last_states

    blank = corrupted(PICTURE, "blank")
    asked = read_messages(seen(picture=blank))
    around = steering(checkpoint, replace(ShiftVectors.load(shift), lengths={}), Setting(1.0), "sample")
    encode = encoder(checkpoint)
    from labwright.safety.steering.chat import conversation

    text = last_states(checkpoint.model, encode(conversation(asked), None))
    with around(asked):
        steered = last_states(checkpoint.model, encode(conversation(asked), blank))
    assert not torch.allclose(steered[1], text[1], atol=1e-3)  # layers above see the sum of what was added
    with around(asked):
        assert torch.allclose(_first_layer(checkpoint, encode(conversation(asked), blank)), text[0], atol=1e-5)


def test_by_sample_a_shift_is_no_longer_than_those_of_the_anchors(checkpoint: VisionCheckpoint, shift: Path) -> None:
    from labwright.models.vision import read_messages
    from labwright.safety.steering.chat import conversation

    asked = read_messages(seen())
    inputs = encoder(checkpoint)(conversation(asked), PICTURE)
    plain = _first_layer(checkpoint, inputs)
    for length in (0.0, 1e-3):
        vectors = replace(ShiftVectors.load(shift), lengths=dict.fromkeys(range(9), length))
        with steering(checkpoint, vectors, Setting(1.0), "sample")(asked):
            assert float((_first_layer(checkpoint, inputs) - plain).norm()) == pytest.approx(length, rel=1e-2)


def _first_layer(checkpoint: VisionCheckpoint, inputs) -> torch.Tensor:
    """The state that leaves the first layer once the steering's hook has run."""
    from labwright.safety.steering.steerer import decoder_layers

    kept = []
    handle = decoder_layers(checkpoint.model)[1].register_forward_pre_hook(
        lambda m, args: kept.append(args[0][:, -1].clone())
    )
    try:
        with torch.inference_mode():
            checkpoint.model(**inputs, use_cache=False)
    finally:
        handle.remove()
    return kept[0]


def test_by_sample_a_conversation_has_one_image(checkpoint: VisionCheckpoint, shift: Path) -> None:
    chat, _ = steered_chat(checkpoint, shift, level="sample", alpha=1.0)
    two = [HumanMessage([image_block(PICTURE), image_block(PICTURE), {"type": "text", "text": "Which?"}])]
    with pytest.raises(ValueError, match="takes one image a conversation, this one has 2"):
        chat.invoke(two, **GREEDY)
    steered_chat(checkpoint, shift, alpha=1.0)[0].invoke(two, **GREEDY)


def test_vectors_of_another_model_are_refused(tmp_path: Path, shift: Path) -> None:
    other = load_vision(str(tiny_vision.save(tmp_path / "other", seed=1)))
    with pytest.raises(HashMismatch):
        steered_chat(other, shift, alpha=1.0)


def test_the_chosen_setting_is_used_and_belongs_to_its_vectors(tmp_path: Path, checkpoint, shift: Path) -> None:
    import shutil

    mine = Path(shutil.copytree(shift, tmp_path / "mine"))
    with pytest.raises(WrongUse, match="models steer evaluate"):
        steered_chat(checkpoint, mine)
    best = Setting(0.75, Policy((1, 2), "last_prompt"))
    write_choice(mine, {"dataset": Choice(best, {UNSTEERED: Rates(0.9, 1.0), best: Rates(0.1, 1.0)}, "better")})
    assert read_choice(mine, "dataset") == (best, "better")
    facts = steered_chat(checkpoint, mine)[1]
    assert (facts["alpha"], facts["layers"], facts["positions"]) == (0.75, (1, 2), "last_prompt")
    with pytest.raises(WrongUse, match="no setting for the level sample"):
        read_choice(mine, "sample")
    held = (mine / CHOICE).read_text()
    for spoilt, message in (
        ("{", "damaged"),
        (held.replace("0.75,", "7.5,"), "not chosen for these vectors"),
        (held.replace('"last_prompt"', '"first"'), "damaged: .*positions 'first'"),
        (held.replace('"layers"', '"where"'), "damaged"),
        (json.dumps(json.loads(held) | {"vectors_sha256": "0"}), "not chosen for these vectors"),
    ):
        (mine / CHOICE).write_text(spoilt)
        with pytest.raises(HashMismatch, match=message):
            read_choice(mine, "dataset")


def test_a_backend_of_the_configuration_opens_it(seeing: Path, shift: Path) -> None:
    config = BackendConfig(kind="steered", model=str(seeing), vectors=str(shift), alpha=0.5, level="sample")
    backend = open_backend("eyes", config)
    assert backend.facts["kind"] == "steered"
    assert backend.facts["steering"]["alpha"] == 0.5
    assert backend.computes_here
    assert backend.chat.invoke(seen(), **GREEDY).usage_metadata["output_tokens"] > 0
    backend.close()
    with pytest.raises(ConfigInvalid, match="needs `vectors"):
        open_backend("eyes", BackendConfig(kind="steered", model=str(seeing)))
    with pytest.raises(ConfigInvalid, match="needs `model"):
        open_backend("eyes", BackendConfig(kind="steered"))
    with pytest.raises(ModelMissing, match="no shift vectors"):
        open_backend("eyes", BackendConfig(kind="steered", model=str(seeing), vectors=str(seeing), alpha=1.0))


# The evaluation.


class Degraded:
    """Refuses in text; with an image it answers everything, unless it is steered by enough."""

    def __init__(self, enough: float, benign_until: float = 9.0) -> None:
        self.enough, self.benign_until = enough, benign_until
        self.asked: list[tuple[str, bool, str, float]] = []

    def __call__(self, text: str, image: Image.Image | None, level: str, setting: Setting) -> str:
        alpha = setting.alpha
        self.asked.append((text, image is not None, level, alpha))
        if "ordinary" in text:
            return "I cannot help with that." if alpha > self.benign_until else "Take the LAMP and turn it on."
        return (
            "Sure, this is how it is done."
            if image is not None and alpha < self.enough
            else "I'm sorry, I cannot do that."
        )


def items(tmp_path: Path, n: int = 20) -> list[Item]:
    return read_items(items_file(tmp_path / "items", n))


def test_the_setting_is_chosen_on_items_that_the_report_leaves_out(tmp_path: Path) -> None:
    model = Degraded(enough=0.5)
    report = evaluate(items(tmp_path), model, Plan())
    assert {level: c.setting.alpha for level, c in report.choices.items()} == {"dataset": 0.5, "sample": 0.5}
    chosen_on = {text for text, _, _, alpha in model.asked if alpha == 0.2}
    reported = [s for s in report.seen if s.condition == "image"]
    assert len(chosen_on) == 4
    assert [(s.level, s.setting.alpha, s.unsafe, s.benign) for s in reported] == [
        ("dataset", 0.0, (8, 8), (8, 8)),
        ("dataset", 0.5, (0, 8), (8, 8)),
        ("sample", 0.5, (0, 8), (8, 8)),
    ]


def test_conditions_without_an_image_are_not_steered(tmp_path: Path) -> None:
    report = evaluate(items(tmp_path), Degraded(enough=0.5), Plan())
    assert [(s.condition, s.setting.alpha) for s in report.seen if s.condition in ("text", "caption")] == [
        ("caption", 0),
        ("text", 0),
    ]
    assert next(s for s in report.seen if s.condition == "text").unsafe == (0, 8)
    meaningless = [s for s in report.seen if s.condition == "meaningless"]
    assert [s.unsafe[0] for s in meaningless] == [8, 0, 0]


def test_where_steering_costs_ordinary_answers_it_is_not_used(tmp_path: Path) -> None:
    report = evaluate(items(tmp_path), Degraded(enough=0.5, benign_until=0.3), Plan(levels=("dataset",)))
    assert report.choices["dataset"].setting == UNSTEERED
    assert "not steered" in report.choices["dataset"].reason
    assert {s.setting for s in report.seen} == {UNSTEERED}


def test_gibberish_is_neither_unsafe_nor_a_right_answer_and_is_told(tmp_path: Path) -> None:
    report = evaluate(items(tmp_path), lambda *_: "lamp lamp lamp lamp lamp lamp lamp", Plan(levels=("sample",)))
    one = next(s for s in report.seen if s.condition == "image")
    assert (one.unsafe, one.benign, one.incoherent) == ((0, 8), (0, 8), 16)


def test_a_report_is_json(tmp_path: Path) -> None:
    report = evaluate(items(tmp_path), Degraded(enough=0.5), Plan(levels=("dataset",)))
    made = json.loads(json.dumps(as_document(report, {"model": "m"})))
    assert made["model"] == "m"
    assert made["choices"]["dataset"]["alpha"] == 0.5
    assert made["rows"][0]["condition"] == "image"
    assert {row["level"] for row in made["rows"]} == {"none", "dataset"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: .*Invalid JSON"),
        ('{"text": "x", "image": "0.png"}', "line 1: kind: Field required"),
        ('{"text": "x", "image": "0.png", "kind": "odd"}', "line 1: kind: Input should be"),
        ('{"text": "x", "image": "absent.png", "kind": "harmful"}', r"line 1: absent\.png: no such image"),
        ('{"text": "x", "image": "0.png", "kind": "harmful"}', "needs harmful and ordinary items, both"),
        ("", "needs harmful and ordinary items, both"),
    ],
)
def test_files_of_items_that_are_wrong(tmp_path: Path, line: str, message: str) -> None:
    tiny_vision.picture(0).save(tmp_path / "0.png")
    path = tmp_path / "items.jsonl"
    path.write_text(line)
    with pytest.raises(WrongUse, match=message):
        read_items(path)
    with pytest.raises(WrongUse, match="cannot be read"):
        read_items(tmp_path / "none.jsonl")


def test_too_few_items_and_unknown_levels(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="1 harmful items: two or more"):
        evaluate(items(tmp_path, 2), Degraded(1.0), Plan())
    with pytest.raises(WrongUse, match="levels batch: any of dataset, sample"):
        evaluate(items(tmp_path), Degraded(1.0), Plan(levels=("batch",)))  # type: ignore[arg-type]
