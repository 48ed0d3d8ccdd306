"""The call log: calls found again, sums, budgets, decisions, seconds and notes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from labwright.domain import Call
from labwright.errors import BudgetExhausted
from labwright.models.ask import Prompt, Session, choose
from labwright.models.calls import Budget, CallLog, Totals
from labwright.models.scripted import ScriptedChat


def call(**fields: Any) -> Call:
    given = {"role": "r", "prompt": "p", "prompt_hash": "h", "backend": "b", "kind": "ask", "decided_by": "model"}
    return Call.model_validate({**given, **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


def test_a_finished_call_is_found_after_reopening_with_all_it_held(path: Path) -> None:
    made = call(prompt_tokens=7, seconds=0.25, usd=0.125, repairs=1)
    reply = {"text": "\u00fc\u2028\0 \"'", "top": [["yes", -0.5], [" no", -1e-9]]}
    log = CallLog(path)
    assert log.find("k") is None
    log.add("k", made, reply)
    log.close()
    assert CallLog(path).find("k") == (made, reply)
    assert CallLog(path).find("K") is None


def test_a_resumed_run_repeats_no_finished_call(path: Path) -> None:
    def ask(log: CallLog, question: str, seen: list[str], backend: str = "b") -> dict[str, float]:
        chat = ScriptedChat(rules=[{"match": ".", "probabilities": {"yes": 0.75, "no": 0.25}}])
        session = Session(role="search", backend=backend, chat=chat, log=log)
        odds = choose(session, Prompt("p", "h", "s", question), ("yes", "no"), fallback={})
        seen += chat.seen
        return odds.value

    first: list[str] = []
    log = CallLog(path)
    answer = ask(log, "one?", first)
    log.close()
    again: list[str] = []
    log = CallLog(path, Budget(tokens=1))  # used up: a known call is free, a new one is not made
    assert ask(log, "one?", again) == answer == pytest.approx({"yes": 0.75, "no": 0.25})
    for question, backend in (("two?", "b"), ("one?", "other")):
        with pytest.raises(BudgetExhausted):
            ask(log, question, again, backend)
    assert (len(first), again) == (1, [])


def test_calls_come_oldest_first_and_a_call_made_anew_replaces_its_record(path: Path) -> None:
    log = CallLog(path)
    for key, role in (("b", "1"), ("c", "2"), ("a", "3"), ("b", "4")):
        log.add(key, call(role=role), {})
        time.sleep(0.002)
    assert [c.role for c in log.calls()] == ["2", "3", "4"]


def test_totals_are_sums_and_nothing_is_zero(path: Path) -> None:
    log = CallLog(path)
    assert log.totals() == Totals(0, 0, 0, 0, 0, 0)
    for i in range(3):
        log.add(str(i), call(prompt_tokens=10, evaluated_tokens=4, generated_tokens=2, usd=0.5, seconds=1.5), {})
    assert log.totals() == Totals(3, 30, 12, 6, 1.5, 4.5)


@pytest.mark.parametrize(
    ("budget", "kind", "limit", "used"),
    [
        (Budget(tokens=9), "tokens", 9, 9),
        (Budget(tokens=5), "tokens", 5, 9),
        (Budget(usd=0.25), "usd", 0.25, 0.5),
        (Budget(tokens=9, usd=0.1, seconds=0.0), "tokens", 9, 9),
        (Budget(tokens=10, usd=0.5, seconds=100), "usd", 0.5, 0.5),
    ],
)
def test_a_used_up_budget_says_which_and_how_far(
    path: Path, budget: Budget, kind: str, limit: float, used: float
) -> None:
    """Tokens are those evaluated and generated, not those read from the prefix cache."""
    log = CallLog(path, budget)
    log.add("k", call(prompt_tokens=100, evaluated_tokens=6, generated_tokens=3, usd=0.5), {})
    with pytest.raises(BudgetExhausted) as stopped:
        log.check_budget()
    assert (stopped.value.kind, stopped.value.limit, stopped.value.used) == (kind, limit, used)
    assert f"{limit:g} {kind} is used up ({used:g})" in str(stopped.value)
    assert stopped.value.exit_code == 3


def test_what_is_left_of_a_budget_stops_nothing(path: Path) -> None:
    log = CallLog(path, Budget(tokens=10, usd=0.51, seconds=60))
    log.add("k", call(evaluated_tokens=6, generated_tokens=3, usd=0.5), {})
    log.check_budget()
    CallLog(path).check_budget()


def test_seconds_are_those_of_this_invocation(path: Path) -> None:
    log = CallLog(path, Budget(seconds=0.05))
    time.sleep(0.06)
    with pytest.raises(BudgetExhausted) as stopped:
        log.check_budget()
    assert (stopped.value.kind, stopped.value.limit) == ("seconds", 0.05)
    assert 0.06 <= stopped.value.used < 30
    CallLog(path, Budget(seconds=30)).check_budget()


def test_the_last_word_on_a_value_counts_and_shares_follow(path: Path) -> None:
    log = CallLog(path)
    assert log.shares().model_share is None
    log.decide("a", "model", 5)
    log.decide("b", "model")
    log.decide("c", "fallback", 2)
    log.decide("a", "code", 3)
    log.decide("d", "person")
    log.close()
    shares = CallLog(path).shares()
    assert (shares.model, shares.fallback, shares.code, shares.person) == (1, 2, 3, 1)
    assert shares.model_share == pytest.approx(1 / 6)


def test_seconds_are_kept_by_stage_and_by_kind_also_when_a_block_fails(path: Path) -> None:
    log = CallLog(path)
    log.spend("search", "", 1.5)
    log.spend("search", "", 0.25)
    log.spend("", "model", 2.0)
    with pytest.raises(ZeroDivisionError), log.spending("", "sandbox"):
        1 / (time.sleep(0.02) or 0)
    log.close()
    log = CallLog(path)
    assert log.spent("stage") == {"search": 1.75}
    assert log.spent("kind") == {"model": 2.0, "sandbox": pytest.approx(0.02, abs=1.0)}
    assert log.spent("kind")["sandbox"] >= 0.02


def test_notes_keep_their_order_and_are_said_once(path: Path) -> None:
    log = CallLog(path)
    for text in ("z", "a", "z", "it's; drop table notes --"):
        log.note(text)
    log.close()
    assert CallLog(path).notes() == ("z", "a", "it's; drop table notes --")


def test_shares_by_role_count_what_each_role_was_asked_for(path: Path) -> None:
    log = CallLog(path)
    log.add("a", call(role="design"), {"text": "", "top": []})
    log.add("b", call(role="design"), {"text": "", "top": []})
    log.add("c", call(role="reviewer"), {"text": "", "top": []})
    log.decide("a", "model", 3)
    log.decide("b", "fallback", 2)
    log.decide("c", "fallback")
    log.decide("no call stands behind this one", "person", 9)
    found = log.shares_by_role()
    assert {role: (s.model, s.fallback, s.person) for role, s in found.items()} == {
        "design": (3, 2, 0),
        "reviewer": (0, 1, 0),
    }
    assert found["design"].model_share == 0.6
