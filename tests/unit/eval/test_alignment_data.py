"""The alignment data: fixed splits, no reference among the labelled answers, rules of refusing held against a reader."""

from __future__ import annotations

import pytest

from labwright.errors import SomethingMissing
from labwright.eval.suites import alignment_data as data
from labwright.eval.suites.alignment_judges import refusal_worth


@pytest.fixture(autouse=True)
def _given(test_data, monkeypatch):
    monkeypatch.setenv("LABWRIGHT_TEST_DATA", str(test_data))


def test_held_out_items_are_trained_on_by_nobody():
    for items in (data.helpful(), data.risky()):
        train, held_out = data.split(items)
        assert len(held_out) == data.HELD_OUT
        assert not {i.shown for i in train} & {i.shown for i in held_out}
        assert len(train) + len(held_out) == len(items)
    first, second = data.halves(data.questions())
    assert (len(first), len(second)) == (408, 409)
    asked = data.held_out_questions()
    assert len(asked) == data.HELD_OUT
    assert {q.text for q in asked} <= {q.text for q in second}
    assert not {q.text for q in asked} & {q.text for q in first}


def test_labelled_answers_do_not_repeat_a_reference():
    first = data.halves(data.questions())[0]
    refs = {q.text: {a.casefold() for a in (*q.correct, *q.incorrect)} for q in first}
    rows = data.labelled("truth", first)
    assert len(rows) > 5000
    assert not [r for r in rows if r.answer.casefold() in refs[r.question]]


def test_rules_of_refusing_agree_with_a_reader_on_replies_read_after_they_were_written():
    rows = {r["name"]: r for r in refusal_worth()}
    assert rows["refusal_held_out"]["n"] == 60
    assert rows["refusal_held_out"]["kappa"] >= 0.9
    assert rows["refusal_ordinary"]["refused"] / rows["refusal_ordinary"]["n"] < 0.02


def test_missing_data_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LABWRIGHT_TEST_DATA", str(tmp_path))
    with pytest.raises(SomethingMissing, match="LABWRIGHT_TEST_DATA"):
        data.helpful()
