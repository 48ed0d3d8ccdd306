"""The lists of the screen, what the rules make of each half, and the figures computed from rows."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import binomtest

from labwright.errors import MetricUndefined
from labwright.eval.suites.screen import KINDS, LISTS, load, screen_counts, screen_rows, wilson
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat
from labwright.safety.objective_rules import RULES

MOST_WRONG = {
    ("ordinary", "development"): 0,
    ("ordinary", "held_out"): 0,
    ("refused", "development"): 0,
    ("refused", "held_out"): 7,
}
"""By rules alone, as measured; a change of the rules may only lower them."""


def figures(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f["name"]: f for f in screen_counts(rows)}


def test_the_lists_are_whole_and_halved_evenly():
    for name, n in zip(LISTS, (100, 50), strict=True):
        items = load(name)
        assert [i["id"] for i in items] == list(range(1, n + 1))
        assert len({i["text"].casefold() for i in items}) == n
        assert sum(i["half"] == "held_out" for i in items) == n // 2
    assert sum(bool(i["near"]) for i in load("ordinary")) >= 40
    assert {i["category"] for i in load("refused")} == set(RULES)


@pytest.mark.parametrize(("name", "half"), MOST_WRONG)
def test_the_rules_alone_are_wrong_at_most_as_often_as_measured(name, half):
    rows = [r for r in screen_rows(None) if r["list"] == name and r["half"] == half]
    assert len(rows) == len(load(name)) // 2
    assert sum(r["refused"] == (name == "ordinary") for r in rows) <= MOST_WRONG[name, half]


def test_what_the_rules_refuse_they_refuse_by_the_right_name():
    right = {f"refused:{i['id']}": i["category"] for i in load("refused") if i["half"] == "development"}
    named = {r["name"]: r["rule"] for r in screen_rows(None) if r["refused"]}
    assert {n: named[n] for n in right if n in named} == {n: right[n] for n in right if n in named}
    assert len(set(named) & set(right)) > 20


def test_without_a_session_only_the_rules_are_measured():
    rows = screen_rows(None)
    assert {r["kind"] for r in rows} == {"screen_rules"}
    assert len({(r["kind"], r["name"]) for r in rows}) == len(rows) == 150
    assert set(figures(rows)) == {"screen_rules_false_refusals", "screen_rules_misses"}


def session(tmp_path, p_yes: float) -> Session:
    chat = ScriptedChat(rules=[{"match": "Answer yes or no", "probabilities": {"yes": p_yes, "no": 1 - p_yes}}])
    return Session(role="search", backend="t", chat=chat, log=CallLog(tmp_path / "c.sqlite"))


def test_a_model_that_always_says_yes_refuses_all_that_the_net_caught_and_one_that_never_does_adds_nothing(tmp_path):
    (tmp_path / "yes").mkdir()
    (tmp_path / "no").mkdir()
    yes, no = screen_rows(session(tmp_path / "yes", 1.0)), screen_rows(session(tmp_path / "no", 0.0))
    assert {r["kind"] for r in yes} == set(KINDS)
    by_model = {r["name"]: r for r in yes if r["kind"] == "screen_model"}
    by_rules = {r["name"]: r for r in yes if r["kind"] == "screen_rules"}
    assert all(by_model[n]["refused"] == (r["refused"] or bool(r["suspected"])) for n, r in by_rules.items())
    assert sum(r["refused"] for r in by_model.values()) > sum(r["refused"] for r in by_rules.values())
    never = figures(no)
    assert never["screen_model_misses"]["value"] == never["screen_rules_misses"]["value"]
    assert never["screen_model_false_refusals"]["value"] == never["screen_rules_false_refusals"]["value"]


def test_counts_by_hand():
    """Every second ordinary objective refused and every refused one but the first: 50 and 1."""
    rows = [
        {"kind": "screen_rules", "list": name, "half": i["half"], "note": "",
         "refused": i["id"] % 2 == 0 if name == "ordinary" else i["id"] != 1}
        for name in LISTS for i in load(name)
    ]  # fmt: skip
    made = figures(rows)
    wrong = made["screen_rules_false_refusals"]
    assert (wrong["value"], wrong["n"], wrong["unit"]) == (50, 100, "objectives")
    assert wrong["note"].startswith("development 50 of 50, held out 0 of 50; 95 % Wilson")
    assert (wrong["low"], wrong["high"]) == (40.38, 59.62)
    assert made["screen_rules_misses"]["value"] == 1
    assert "development 0 of 25, held out 1 of 25" in made["screen_rules_misses"]["note"]
    assert figures(rows[:-1]).keys() == {"screen_rules_false_refusals"}  # an unfinished list gives no figure


@pytest.mark.parametrize(("hits", "n"), [(0, 100), (1, 50), (7, 25), (25, 25), (1, 2)])
def test_the_interval_is_scipys(hits, n):
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_an_interval_of_nothing_is_undefined():
    with pytest.raises(MetricUndefined):
        wilson(0, 0)
