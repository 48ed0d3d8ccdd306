"""The remote backend against an OpenAI-compatible server on this machine, asked through `ask`, `choose`, `score`."""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from unit.models.model_servers import FakeChat, serving_chat

from labwright.config import BackendConfig
from labwright.errors import AnswerInvalid, ConfigInvalid, KeyMissing, ModelMissing
from labwright.models.ask import Prices, Prompt, Session, ask, choose, score
from labwright.models.calls import CallLog
from labwright.models.remote import TIMEOUT_S, remote_chat

KEY = "sk-toy-0123456789abcdef"
PROMPT = Prompt("toy", "hash", "You answer.", "Which one?")
AT_ONCE = {"retry-after-ms": "1"}
GOOD = '{"name": "a", "n": 3}'
CACHED = {"prompt_tokens_details": {"cached_tokens": 60}}
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, **CACHED}
YES = {"token": "Yes", "logprob": -0.1}
ODDS = {"yes": 0.5, "no": 0.5}


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    n: int


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeChat]:
    monkeypatch.setenv("TOY_KEY", KEY)
    with serving_chat() as chat:
        yield chat


@pytest.fixture
def session(server: FakeChat, tmp_path: Path) -> Session:
    config = BackendConfig(kind="remote", model="toy-1", base_url=server.base_url, api_key_env="TOY_KEY")
    log = CallLog(tmp_path / "calls.sqlite")
    prices, chat = Prices(2.0, 10.0), remote_chat("toy", config)
    return Session(role="search", backend="toy:toy-1", chat=chat, log=log, seed=7, prices=prices)


def given(**odds: float) -> dict[str, Any]:
    top = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in odds.items()]
    return {"logprobs": {"content": [{**top[0], "top_logprobs": top}]}}


def test_a_schema_goes_to_the_server_and_its_answer_comes_back(server: FakeChat, session: Session) -> None:
    server.says(GOOD, usage=USAGE)
    value = ask(session, PROMPT, Answer, max_tokens=64)
    assert (value.value, value.decided_by) == (Answer(name="a", n=3), "model")
    sent = server.asked[0]
    assert [m["content"] for m in sent["messages"]] == ["You answer.", "Which one?"]
    assert (sent["model"], sent["seed"], sent["max_completion_tokens"]) == ("toy-1", 7, 64)
    assert sent["response_format"]["json_schema"]["schema"] == Answer.model_json_schema()
    assert server.authorisation == [f"Bearer {KEY}"]


def test_usage_is_counted_with_the_cache_left_out_and_priced(server: FakeChat, session: Session) -> None:
    server.says(GOOD, usage=USAGE)
    ask(session, PROMPT, Answer)
    totals = session.log.totals()
    assert (totals.prompt_tokens, totals.evaluated_tokens, totals.generated_tokens) == (100, 40, 20)
    assert totals.usd == pytest.approx((100 * 2.0 + 20 * 10.0) / 1e6)


def test_a_server_that_ignores_the_schema_is_parsed_strictly_and_asked_again(
    server: FakeChat, session: Session
) -> None:
    server.says("Sure! It is a.").says('{"name": "a", "n": 3, "more": 1}').says(f"```json\n{GOOD}\n```")
    assert ask(session, PROMPT, Answer).value.n == 3
    assert "Invalid JSON" in server.asked[1]["messages"][-1]["content"]
    assert "more: Extra inputs" in server.asked[2]["messages"][-1]["content"]
    assert session.log.totals().calls == 3


@pytest.mark.parametrize("text", [None, "", GOOD[:-4]])
def test_an_answer_that_stays_empty_or_cut_off_is_invalid(server: FakeChat, session: Session, text: str | None) -> None:
    server.says(text, finish_reason="length" if text else "stop", usage=USAGE)
    with pytest.raises(AnswerInvalid, match="no valid answer in 3 tries"):
        ask(session, PROMPT, Answer)
    assert session.log.totals().generated_tokens == 60


def test_closed_questions_are_read_from_log_probabilities(server: FakeChat, session: Session) -> None:
    server.says("Yes", **given(**{"Yes": 0.6, " no": 0.2, "Maybe": 0.2})).says("4", **given(**{"4": 0.5, "2": 0.5}))
    assert choose(session, PROMPT, ("yes", "no"), fallback=ODDS).value == pytest.approx({"yes": 0.75, "no": 0.25})
    assert score(session, PROMPT, fallback=1.0).value == pytest.approx(3.0)
    assert [(s["logprobs"], s["top_logprobs"], s["max_completion_tokens"]) for s in server.asked] == [(True, 20, 1)] * 2


@pytest.mark.parametrize(
    "logprobs",
    [None, {"content": None}, {"content": []}, {"content": [YES]}, {"content": [{**YES, "top_logprobs": []}]}],
)
def test_without_log_probabilities_the_word_itself_counts(server: FakeChat, session: Session, logprobs: Any) -> None:
    server.says("Yes", logprobs=logprobs)
    assert choose(session, PROMPT, ("yes", "no"), fallback=ODDS).value == {"yes": 1.0, "no": 0.0}


@pytest.mark.parametrize("text", ["Maybe", "Yes, surely.", ""])
def test_a_word_that_is_no_label_is_a_fallback(server: FakeChat, session: Session, text: str) -> None:
    server.says(text)
    assert choose(session, PROMPT, ("yes", "no"), fallback=ODDS).decided_by == "fallback"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: FakeChat, session: Session, status: int) -> None:
    server.answer({"error": {"message": "busy"}}, status, headers=AT_ONCE).says(GOOD)
    assert ask(session, PROMPT, Answer).value.n == 3
    assert (len(server.asked), session.log.totals().calls) == (2, 1)


@pytest.mark.parametrize(
    ("status", "body", "asked", "message"),
    [
        (500, {"error": {"message": "broken"}}, 3, r"does not answer \(.*broken.*labwright doctor"),
        (502, "<html>\n bad gateway\n</html>", 3, r"does not answer \(.*502"),
        (429, {"error": {"message": "quota"}}, 3, "refuses the call: .*quota"),
        (400, {"error": {"message": "context is too long"}}, 2, "refuses the call: .*context is too long"),
        (200, "{not json", 1, "gives no usable answer"),
        (200, [1], 1, "gives no usable answer"),
        (200, {"choices": None}, 1, "gives no usable answer"),
        (200, {"choices": []}, 1, "gives no usable answer"),
        (200, {"error": {"message": "overloaded"}}, 1, "gives no usable answer"),
    ],
)
@pytest.mark.parametrize("closed", [False, True])
def test_what_is_no_answer_is_one_line_and_not_logged(server, session, status, body, asked, message, closed) -> None:
    server.answer(body, status, headers=AT_ONCE)
    with pytest.raises(ModelMissing, match=rf"^toy:toy-1 {message}") as missing:
        choose(session, PROMPT, ("yes", "no"), fallback=ODDS) if closed else ask(session, PROMPT, Answer)
    assert "\n" not in str(missing.value)
    assert len(server.asked) == asked
    assert (session.log.totals().calls, missing.value.exit_code) == (0, 4)


def test_a_server_without_grammars_is_told_the_schema_in_words(server: FakeChat, session: Session) -> None:
    server.answer({"error": {"message": "response_format is not supported"}}, 400).says(GOOD)
    assert ask(session, PROMPT, Answer).decided_by == "model"
    assert "response_format" not in server.asked[1]
    assert '"properties"' in server.asked[1]["messages"][-1]["content"]


def test_a_server_without_probabilities_is_asked_for_the_word(server: FakeChat, session: Session) -> None:
    server.answer({"error": {"message": "logprobs is not supported"}}, 400).says("Yes")
    assert choose(session, PROMPT, ("yes", "no"), fallback=ODDS).value["yes"] == 1.0
    assert "logprobs" not in server.asked[1]


def test_a_filtered_answer_is_no_answer(server: FakeChat, session: Session) -> None:
    server.says("{", finish_reason="content_filter")
    with pytest.raises(ModelMissing, match=r"gives no usable answer .*content filter"):
        ask(session, PROMPT, Answer)


def test_a_server_that_is_down_or_too_slow_does_not_answer(server: FakeChat, session: Session) -> None:
    slow = Session(role="search", backend="slow", chat=session.chat.bind(timeout=0.05), log=session.log)
    server.says(GOOD).replies[0].delay_s = 1.0
    with pytest.raises(ModelMissing, match=r"slow does not answer \(Request timed out"):
        ask(slow, PROMPT, Answer)
    assert session.chat.request_timeout == TIMEOUT_S
    config = BackendConfig(kind="remote", model="m", base_url="http://127.0.0.1:1/v1")
    down = Session(role="search", backend="down", chat=remote_chat("down", config), log=session.log)
    with pytest.raises(ModelMissing, match=r"down does not answer \(Connection error"):
        ask(down, PROMPT, Answer)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_said_and_never_shown(server, session, status, caplog, tmp_path) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer({"error": {"message": f"Incorrect API key\nprovided: {KEY}."}}, status)
    with pytest.raises(
        KeyMissing, match=r"toy:toy-1 refuses the key: .*provided: \[key\]\.; set the key's variable"
    ) as e:
        ask(session, PROMPT, Answer)
    assert len(server.asked) == 1
    session.log.close()
    shown = [str(e.value), repr(e.value), repr(session.chat), repr(session), caplog.text]
    shown += [p.read_bytes().decode("latin-1") for p in tmp_path.iterdir()]
    assert not [text for text in shown if KEY in text]
    assert not [line for line in traceback.format_exception(e.value, chain=False) if KEY in line]


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_missing_key_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("TOY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("TOY_KEY", value)
    with pytest.raises(KeyMissing, match=r"^\[backends\.toy\]: set TOY_KEY to the server's API key$"):
        remote_chat("toy", BackendConfig(kind="remote", model="m", api_key_env="TOY_KEY"))
    with pytest.raises(ConfigInvalid, match=r"^\[backends\.toy\]: a remote backend needs `model = \.\.\.`$"):
        remote_chat("toy", BackendConfig(kind="remote", api_key_env="TOY_KEY"))


def test_a_key_may_end_in_a_newline_and_no_key_is_sent_as_none(server: FakeChat, monkeypatch) -> None:
    server.says("x")
    monkeypatch.setenv("TOY_KEY", f"{KEY}\n")
    for variable in ("TOY_KEY", ""):
        config = BackendConfig(kind="remote", model="m", base_url=server.base_url, api_key_env=variable)
        remote_chat("toy", config).invoke("hello")
    assert server.authorisation == [f"Bearer {KEY}", "Bearer none"]
