"""Reading figures by closed questions, with a model that looks at the middle of the picture."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from PIL import Image
from pydantic import Field as Field_

from labwright.agents.figures import ASKED, Field, figure_prompt, outside_fields, read_figure
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.prompt_file import Material

LEGEND = Material("Figure 2. Survival by treatment.", "abcd")
KIND = Field("kind", ("box plot", "scatter plot", "histogram"))
ALIKE = Field("kind", ("box plot", "scatter plot", "histogram", "bow plot"))


class Looks(BaseChatModel):
    """Answers the option that is right for a bright picture, or for a dark one, as it is asked to."""

    seen: list[Any] = Field_(default_factory=list)
    sure: bool = True

    @property
    def _llm_type(self) -> str:
        return "looks"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        content = messages[-1].content
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        images = [b for b in blocks if b["type"] == "image"]
        text = blocks[-1]["text"]
        self.seen.append((len(images), text))
        wanted = "scatter plot"
        if images:
            picture = Image.open(io.BytesIO(base64.b64decode(images[0]["base64"])))
            wanted = "box plot" if picture.getpixel((0, 0))[0] > 128 else "histogram"
        line = next(line for line in text.splitlines() if line.endswith(f" {wanted}"))
        token = "perhaps" if not self.sure else wanted[:3] if line.startswith("- ") else line[0]
        top = [
            {
                "token": token,
                "logprob": math.log(0.9),
                "bytes": None,
                "top_logprobs": [{"token": token, "logprob": math.log(0.9), "bytes": None}],
            }
        ]
        made = AIMessage(token, response_metadata={"logprobs": {"content": top}})
        return ChatResult(generations=[ChatGeneration(message=made)])


def png(colour: str) -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(kept, "PNG")
    return kept.getvalue()


def session(tmp_path: Path, chat: Looks, seed: int = 0) -> Session:
    return Session(role="figures", backend="looks", chat=chat, log=CallLog(tmp_path / f"calls{seed}.sqlite"), seed=seed)


def test_a_field_is_read_from_the_picture_whatever_the_order_of_the_options(tmp_path: Path) -> None:
    for seed, field in enumerate((KIND, KIND, ALIKE, ALIKE)):
        at = session(tmp_path, Looks(), seed)
        bright, dark = (read_figure(at, png(c), LEGEND, [field])[0] for c in ("white", "black"))
        assert (bright.value, dark.value) == ("box plot", "histogram")
        assert bright.decided_by == "model"
        assert bright.probability > 0.99


def test_pictures_are_told_apart_in_the_log_and_asked_about_once(tmp_path: Path) -> None:
    chat = Looks(seen=[])
    at = session(tmp_path, chat)
    for colour in ("white", "black", "white"):
        read_figure(at, png(colour), LEGEND, [KIND])
    assert [images for images, _ in chat.seen] == [1, 1]


def test_without_a_picture_the_legend_alone_is_read(tmp_path: Path) -> None:
    chat = Looks(seen=[])
    assert read_figure(session(tmp_path, chat), None, LEGEND, [KIND])[0].value == "scatter plot"
    assert chat.seen[0][0] == 0
    assert "Figure 2. Survival by treatment." in chat.seen[0][1]


def test_a_model_that_names_no_option_decides_nothing(tmp_path: Path) -> None:
    read = read_figure(session(tmp_path, Looks(sure=False)), png("white"), LEGEND, [KIND])[0]
    assert read.decided_by == "fallback"
    assert read.probability == 1 / 3


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (("one", "two"), "- one\n- two\nAnswer with one of these."),
        (("2", "3", "more than 3"), "- 2\n- 3\n- more than 3\nAnswer with one of these."),
        (("GAPDH expression", "GATA3 expression"), "A. GAPDH expression\nB. GATA3 expression\nAnswer with one letter."),
        (("120", "96"), "A. 120\nB. 96\nAnswer with one letter."),
    ],
)
def test_every_field_has_a_question_and_options_that_their_beginning_or_a_letter_tells_apart(
    options: tuple[str, ...], asked: str
) -> None:
    for name, question in ASKED.items():
        text = figure_prompt(LEGEND, Field(name, options)).user
        assert question in text
        assert asked in text


def test_the_usual_questions_are_answered_in_words() -> None:
    for field in outside_fields("No numbers."):
        assert field.labels == field.options, field.name
