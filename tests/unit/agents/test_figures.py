"""Reading figures by closed questions, with a model that looks at the middle of the picture."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from PIL import Image
from pydantic import Field as Field_

from labwright.agents.figures import ASKED, Field, figure_prompt, read_figure
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.prompt_file import Material

LEGEND = Material("Figure 2. Survival by treatment.", "abcd")
KIND = Field("kind", ("box plot", "scatter plot", "histogram"))


class Looks(BaseChatModel):
    """Answers the letter of the option that is right for a bright picture, or for a dark one."""

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
        letter = next(line[0] for line in text.splitlines() if line.endswith(f". {wanted}"))
        token = letter if self.sure else "perhaps"
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
    for seed in range(4):
        at = session(tmp_path, Looks(), seed)
        bright, dark = (read_figure(at, png(c), LEGEND, [KIND])[0] for c in ("white", "black"))
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


def test_a_model_that_names_no_letter_decides_nothing(tmp_path: Path) -> None:
    read = read_figure(session(tmp_path, Looks(sure=False)), png("white"), LEGEND, [KIND])[0]
    assert read.decided_by == "fallback"
    assert read.probability == 1 / 3


def test_every_field_has_a_question_and_its_options_behind_letters() -> None:
    for name, question in ASKED.items():
        text = figure_prompt(LEGEND, Field(name, ("one", "two"))).user
        assert question in text
        assert "A. one\nB. two\n" in text
