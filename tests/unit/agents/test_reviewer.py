"""Test vectors T2 of the reviewer's loop, with the argmax rule, and the code checks."""

from __future__ import annotations

import pytest
from fakes import GUARD

from labwright.agents.reviewer import Stage, refine
from labwright.domain import Objective
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat

OBJECTIVE = Objective(text="Which genes predict relapse?")


def run(tmp_path, scores, *, accept=4.5, rewrites=2, faults=lambda c: {}):
    """Candidates are "c0", "c1", ...; the model's p(yes) gives them the scores wanted."""
    rules = [
        {"match": f"candidate c{i}\n", "probabilities": {"yes": (s - 1) / 4, "no": 1 - (s - 1) / 4}}
        for i, s in enumerate(scores)
    ]
    session = Session(role="reviewer", backend="t", chat=ScriptedChat(rules=rules), log=CallLog(tmp_path / "c.sqlite"))
    stage = Stage("Plan", {"logic": "Is it logical?"}, lambda c: GUARD.material(f"candidate {c}\n"), faults, accept)
    advice: list[str] = []

    def draft(text: str) -> str:
        advice.append(text)
        return f"c{len(advice) - 1}"

    best, reviews = refine(session, OBJECTIVE, stage, draft, rewrites=rewrites)
    return best, reviews, advice


def test_accepted_at_once(tmp_path):
    best, reviews, advice = run(tmp_path, [4.6])
    assert (best, len(reviews), advice) == ("c0", 1, [""])


def test_accepted_after_one_rewrite(tmp_path):
    best, reviews, _ = run(tmp_path, [4.0, 5.0])
    assert (best, [r.accepted for r in reviews]) == ("c1", [False, True])


def test_the_last_rewrite_is_reviewed_and_the_best_kept(tmp_path):
    best, reviews, _ = run(tmp_path, [4.4, 4.0, 3.9])
    assert best == "c0"
    assert [r.overall for r in reviews] == pytest.approx([4.4, 4.0, 3.9], abs=1e-3)
    assert [r.chosen for r in reviews] == [True, False, False]


def test_a_rewrite_is_told_what_was_wrong(tmp_path):
    _, _, advice = run(tmp_path, [1.5, 5.0])
    assert "Is it logical?" in advice[1]


def test_what_code_finds_wrong_is_not_accepted_whatever_the_model_says(tmp_path):
    best, reviews, _ = run(tmp_path, [5.0, 5.0], faults=lambda c: {"logic": "two parts are equal"} if c == "c0" else {})
    assert best == "c1"
    assert reviews[0].scores == {"logic": 1.0}
    assert "two parts are equal" in reviews[0].critique
