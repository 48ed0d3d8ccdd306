from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field

from labwright.domain import Call
from labwright.errors import AnswerInvalid, BudgetExhausted
from labwright.models.ask import Prompt, Session, ask, choose, label_mass, score
from labwright.models.calls import Budget, CallLog
from labwright.models.scripted import ScriptedChat


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    n: Annotated[int, Field(ge=1, le=5)]


def session(tmp_path: Path, rules: list[dict], budget: Budget | None = None) -> tuple[Session, ScriptedChat, CallLog]:
    chat = ScriptedChat(rules=rules)
    log = CallLog(tmp_path / "calls.sqlite", budget)
    return Session(role="search", backend="scripted:test", chat=chat, log=log), chat, log


PROMPT = Prompt("test", "abc", "You answer.", "What is it?")


def test_a_valid_answer_is_the_models(tmp_path):
    s, chat, log = session(tmp_path, [{"match": "What", "reply": {"name": "a", "n": 3}}])
    value = ask(s, PROMPT, Answer)
    assert (value.value.n, value.decided_by) == (3, "model")
    assert log.shares().model == 2  # two fields


def test_a_repeated_call_is_read_from_the_log(tmp_path):
    s, chat, log = session(tmp_path, [{"match": "What", "reply": {"name": "a", "n": 3}}])
    assert ask(s, PROMPT, Answer) == ask(s, PROMPT, Answer)
    assert len(chat.seen) == 1
    assert log.totals().calls == 1


def test_an_invalid_answer_is_sent_back_with_the_error_twice_then_the_fallback_stands(tmp_path):
    s, chat, log = session(tmp_path, [{"match": "What", "reply": {"name": "a", "n": 9}}])
    value = ask(s, PROMPT, Answer, fallback=lambda: Answer(name="rule", n=1))
    assert value.decided_by == "fallback"
    assert len(chat.seen) == 3
    assert "less than or equal to 5" in chat.seen[1]
    assert log.shares().fallback == 2
    assert log.shares().model == 0


def test_without_a_fallback_an_invalid_answer_is_an_error(tmp_path):
    s, _, _ = session(tmp_path, [{"match": "What", "reply": "no json"}])
    with pytest.raises(AnswerInvalid):
        ask(s, PROMPT, Answer)


def test_choose_reads_token_probabilities(tmp_path):
    s, _, _ = session(tmp_path, [{"match": "What", "probabilities": {"Yes": 0.6, " no": 0.2, "Perhaps": 0.2}}])
    odds = choose(s, PROMPT, ("yes", "no"), fallback={"yes": 0.5, "no": 0.5})
    assert odds.value["yes"] == pytest.approx(0.75)
    assert odds.decided_by == "model"


def test_choose_falls_back_when_the_labels_have_no_mass(tmp_path):
    s, _, log = session(tmp_path, [{"match": "What", "probabilities": {"Perhaps": 1.0}}])
    odds = choose(s, PROMPT, ("yes", "no"), fallback={"yes": 0.5, "no": 0.5})
    assert odds.decided_by == "fallback"
    assert log.shares().fallback == 1


def test_score_is_the_expected_value_of_the_digits(tmp_path):
    s, _, _ = session(tmp_path, [{"match": "What", "probabilities": {"2": 0.5, "4": 0.5}}])
    assert score(s, PROMPT, fallback=1.0).value == pytest.approx(3.0)


@pytest.mark.parametrize("fallback", [1.0, 2.5, 4.4, 5.0])
def test_score_falls_back_to_the_given_value(tmp_path, fallback):
    s, _, _ = session(tmp_path, [{"match": "What", "probabilities": {"x": 1.0}}])
    assert score(s, PROMPT, fallback=fallback).value == pytest.approx(fallback)


def test_a_token_that_begins_two_labels_counts_for_neither():
    mass = label_mass([["m", math.log(0.5)], ["me", math.log(0.25)]], ["medium", "many"])
    assert mass == {"medium": pytest.approx(0.25), "many": 0.0}


def test_a_used_up_budget_stops_the_next_call_but_not_a_known_one(tmp_path):
    rules = [{"match": "What", "reply": {"name": "a", "n": 3}}]
    s, _, _ = session(tmp_path, rules, Budget(tokens=3))
    ask(s, PROMPT, Answer)
    assert ask(s, PROMPT, Answer).value.n == 3
    with pytest.raises(BudgetExhausted) as stopped:
        ask(s, Prompt("test", "abc", "You answer.", "What else?"), Answer)
    assert stopped.value.exit_code == 3


def test_totals_are_sums_not_cumulated(tmp_path):
    _, _, log = session(tmp_path, [])
    for i in range(3):
        call = Call(
            role="r",
            prompt="p",
            prompt_hash="h",
            backend="b",
            kind="ask",
            decided_by="model",
            prompt_tokens=10,
            evaluated_tokens=4,
            generated_tokens=2,
            seconds=1.0,
        )
        log.add(str(i), call, {"text": ""})
    totals = log.totals()
    assert (totals.prompt_tokens, totals.evaluated_tokens, totals.generated_tokens) == (30, 12, 6)
