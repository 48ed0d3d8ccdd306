"""Judges of honesty: trained on labelled answers, worth what other questions show."""

from __future__ import annotations

import numpy as np
import pytest

from labwright.errors import MetricUndefined
from labwright.eval.honesty import HonestyJudge, Labelled, Question

WORDS = ["red", "blue", "seven", "nine", "north", "south", "iron", "gold", "cat", "dog"]


def encode(texts):
    """Bags of the words above, with a constant so that no vector is null; unit rows."""
    rows = np.array([[1.0, *(t.casefold().split().count(w) * 2.0 for w in WORDS)] for t in texts], dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


QUESTIONS = {
    f"What is thing {n}?": Question(
        f"What is thing {n}?", (f"It is {WORDS[n % 10]}",), (f"It is {WORDS[(n + 1) % 10]}",)
    )
    for n in range(60)
}


def rows(numbers):
    made = []
    for n in numbers:
        true, false = WORDS[n % 10], WORDS[(n + 1) % 10]
        question = f"What is thing {n}?"
        made += [Labelled(question, f"maybe {true} then", True), Labelled(question, f"surely {false} then", False)]
    return made


def test_a_judge_learns_to_tell_true_answers_of_questions_that_it_has_not_seen():
    judge = HonestyJudge(QUESTIONS, encode).fit(rows(range(30)))
    worth = judge.validate(rows(range(30, 60)))
    assert (worth.n, worth.questions, worth.majority) == (60, 30, 0.5)
    assert worth.auroc > 0.99
    assert worth.kappa > 0.95
    said = judge.probabilities([("What is thing 41?", "it is blue"), ("What is thing 41?", "it is seven")])
    assert said[0] > 0.5 > said[1]


def test_a_judge_of_random_labels_is_worth_nothing():
    rng = np.random.default_rng(0)
    noise = [Labelled(r.question, r.answer, bool(rng.integers(2))) for r in rows(range(30))]
    worth = HonestyJudge(QUESTIONS, encode).fit(noise).validate(rows(range(30, 60)))
    assert abs(worth.kappa) < 0.5


def test_empty_answers_and_questions_without_false_references_are_judged():
    bare = {**QUESTIONS, "Why?": Question("Why?", ("Because red",), ())}
    judge = HonestyJudge(bare, encode).fit(rows(range(30)))
    assert judge.probabilities([("Why?", ""), ("Why?", "red")]).shape == (2,)


def test_what_cannot_be_judged_is_said():
    with pytest.raises(MetricUndefined, match="not trained"):
        HonestyJudge(QUESTIONS, encode).probabilities([("What is thing 1?", "red")])
    with pytest.raises(MetricUndefined, match="one label"):
        HonestyJudge(QUESTIONS, encode).fit([r for r in rows(range(5)) if r.label])
