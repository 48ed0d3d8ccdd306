"""The scripted chat model: which rule answers, what happens without one, and scripts that cannot be read."""

from __future__ import annotations

import json
from enum import Enum
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, create_model

from labwright import agents
from labwright.agents.literature import steps_schema
from labwright.errors import ConfigInvalid
from labwright.models.ask import Prompt, Session, ask, choose, score
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat, load_script, smallest

PROMPT = Prompt("test", "abc", "You answer.", "Which genes\npredict relapse?")


class Inner(BaseModel):
    n: int


class Colour(Enum):
    RED = "red"


class Text(BaseModel):
    text: str


def session(tmp_path: Path, *rules: dict[str, Any]) -> Session:
    chat = ScriptedChat(rules=list(rules))
    return Session(role="search", backend="s", chat=chat, log=CallLog(tmp_path / "calls.sqlite"))


def write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "script.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_first_matching_rule_answers_and_sees_all_of_the_prompt(tmp_path: Path) -> None:
    s = session(
        tmp_path,
        {"match": "no such words", "reply": {"text": "never"}},
        {"match": "answer.*genes.*relapse", "reply": {"text": "first"}},
        {"match": ".", "reply": {"text": "second"}},
    )
    assert ask(s, PROMPT, Text).value.text == "first"
    assert s.chat.seen == ["You answer.\nWhich genes\npredict relapse?"]


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        (int, 0),
        (Annotated[int, Field(ge=3)], 3),
        (Annotated[int, Field(gt=3)], 4),
        (Annotated[float, Field(ge=0.5)], 0.5),
        (Annotated[str, Field(max_length=5)], "A scr"),
        (Annotated[str, Field(min_length=60)], "A scripted text of sufficient length." + "." * 23),
        (bool, False),
        (None, None),
        (int | None, 0),
        (Literal["b", "a"], "b"),
        (Literal["only"], "only"),
        (Colour, "red"),
        (list[int], []),
        (Annotated[list[Inner], Field(min_length=2)], [{"n": 0}, {"n": 0}]),
        (dict[str, int], {}),
        (Inner, {"n": 0}),
    ],
)
def test_without_a_rule_a_schema_gets_its_smallest_valid_instance(tmp_path: Path, kind: Any, least: Any) -> None:
    schema = create_model("Asked", field=(kind, ...))
    assert smallest(schema.model_json_schema(), schema.model_json_schema().get("$defs", {})) == {"field": least}
    assert ask(session(tmp_path), PROMPT, schema).decided_by == "model"


def _agents_schemas() -> list[type[BaseModel]]:
    modules = [import_module(f"labwright.agents.{m.name}") for m in iter_modules(agents.__path__)]
    named = [v for m in modules for v in vars(m).values() if isinstance(v, type) and v.__module__ == m.__name__]
    found = [*(s for s in named if issubclass(s, BaseModel) and s.model_fields), steps_schema(3)]
    return [s for s in found if '"pattern"' not in json.dumps(s.model_json_schema())]


@pytest.mark.parametrize("schema", _agents_schemas(), ids=lambda s: s.__name__)
def test_the_schemas_of_the_agents_are_answered_validly(tmp_path: Path, schema: type[BaseModel]) -> None:
    """Those with a regular expression are not: a script must give their replies."""
    assert ask(session(tmp_path), PROMPT, schema).decided_by == "model"


def test_without_a_rule_a_closed_question_gets_even_odds(tmp_path: Path) -> None:
    s = session(tmp_path)
    odds = choose(s, PROMPT, ("yes", "no"), fallback={"yes": 1.0})
    assert odds.value == pytest.approx({"yes": 0.5, "no": 0.5})
    assert odds.decided_by == "model"
    assert score(s, PROMPT, fallback=1.0).value == pytest.approx(3.0)


def test_an_impossible_label_gets_no_mass_and_the_likeliest_is_the_text(tmp_path: Path) -> None:
    s = session(tmp_path, {"match": ".", "probabilities": {"no": 0.0, "yes": 1.0}})
    assert choose(s, PROMPT, ("yes", "no"), fallback={}).value["no"] < 1e-8
    assert s.chat.invoke("x", logprobs=True).text == "yes"


def test_words_are_counted_as_tokens(tmp_path: Path) -> None:
    s = session(tmp_path, {"match": ".", "reply": '{"text": "four words are here"}'})
    ask(s, PROMPT, Text)
    assert (s.log.totals().prompt_tokens, s.log.totals().generated_tokens) == (6, 5)


def test_a_script_is_loaded_and_its_log_counts_requests_of_every_process(tmp_path: Path) -> None:
    log = tmp_path / "seen.jsonl"
    path = write(tmp_path, json.dumps({"rules": [{"match": "a", "reply": "b"}], "log_path": str(log)}))
    for text in ("a \u00fc\n1", "a 2"):
        assert load_script(path).invoke(text).text == "b"
    assert [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] == ["a \u00fc\n1", "a 2"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        b"\xff\xfe",
        '{"rules": 3}',
        '{"rules": ["x"]}',
        '{"delay_s": "soon"}',
        '{"rulez": []}',
        '{"rules": [{"reply": "no match"}]}',
        '{"rules": [{"match": "("}]}',
        '{"rules": [{"match": 3}]}',
    ],
)
def test_what_is_no_script_is_refused_in_one_line_that_names_the_file(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(ConfigInvalid, match=r"script\.json: not a script of model replies: .+") as refused:
        load_script(write(tmp_path, content))
    assert "\n" not in str(refused.value)


def test_a_missing_script_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"gone\.json"):
        load_script(tmp_path / "gone.json")
