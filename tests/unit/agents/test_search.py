from __future__ import annotations

import pytest
from fakes import GUARD

from labwright.agents.search import choose_by, find_papers, fused, keep_papers, score_papers
from labwright.domain import Objective, Paper, Retraction
from labwright.models.ask import Prompt, Session
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat

OBJECTIVE = Objective(text="Which genes predict relapse?")


def paper(name: str, helpfulness: float | None = None, **more) -> Paper:
    return Paper(id=name, title=f"Title {name}", abstract="text", source="s", helpfulness=helpfulness, **more)


def test_t7_keep_rule_keeps_the_last_three_in_order():
    papers = [paper(str(i), h) for i, h in enumerate([1, 2, 3, 4, 4, 5])]
    kept = [p.helpfulness for p in keep_papers(papers, 4, 10) if p.reason.startswith("kept")]
    assert kept == [5, 4, 4]


def test_every_candidate_has_a_reason_and_none_disappears():
    papers = [
        paper("a", 5),
        paper("b", 4.5),
        paper("c", 1),
        paper("d", None),
        paper("e", 5, retraction=Retraction(status="retracted", source="PubMed")),
    ]
    marked = {p.id: p.reason for p in keep_papers(papers, 4, 1)}
    assert set(marked) == set("abcde")
    assert marked["a"].startswith("kept")
    assert "more helpful" in marked["b"]
    assert "below 4" in marked["c"]
    assert "could not be scored" in marked["d"]
    assert marked["e"] == "dropped: retracted (PubMed)"


def test_papers_found_by_several_queries_come_first():
    hits = {"x": [paper("a"), paper("b")], "y": [paper("b"), paper("c")]}
    assert [p.id for p in find_papers(["x", "y"], lambda q, n: hits[q], 2)] == ["b", "a"]


def session(tmp_path, rules):
    return Session(role="search", backend="t", chat=ScriptedChat(rules=rules), log=CallLog(tmp_path / "c.sqlite"))


def test_helpfulness_is_two_thirds_cosine_and_one_third_model(tmp_path):
    s = session(
        tmp_path, [{"match": "Title a", "probabilities": {"1": 1.0}}, {"match": "Title b", "probabilities": {"5": 1.0}}]
    )
    scored = score_papers(s, OBJECTIVE, [paper("a"), paper("b")], {"a": 0.6, "b": 0.6}, GUARD)
    assert [(p.id, p.helpfulness) for p in scored] == [
        ("b", pytest.approx(5.0)),
        ("a", pytest.approx(11 / 3, abs=1e-3)),
    ]


def test_a_choice_that_code_overrules_is_logged_as_codes(tmp_path):
    rules = [
        {"match": "is it near", "probabilities": {"yes": 0.5, "no": 0.5}},
        {"match": "is it far", "probabilities": {"yes": 0.6, "no": 0.4}},
    ]
    s = session(tmp_path, rules)
    candidates = {"near": ("near", 0.9), "far": ("far", 0.1)}
    ranked = choose_by(s, candidates, lambda c: Prompt("q", "h", "s", f"is it {c}"), 2)
    assert [c.id for c in ranked] == ["near", "far"]
    assert s.log.shares().code == 1


def test_without_a_model_similarity_decides():
    ranked = choose_by(None, {"a": ("a", 0.2), "b": ("b", 0.8)}, lambda c: None, 5)
    assert [(c.id, c.probability) for c in ranked] == [("b", None), ("a", None)]


def test_fused_of_equal_values_is_zero():
    assert fused({"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 0.5}) == {"a": 0.0, "b": 0.0}


def test_a_retraction_found_for_one_query_holds_for_all():
    retracted = Retraction(status="retracted", source="PubMed")
    answers = {"q1": [paper("a", 5, retraction=retracted)], "q2": [paper("a", 5), paper("b", 5)]}
    found = find_papers(list(answers), lambda query, limit: answers[query], 5)
    assert {p.id: p.retraction.status for p in found} == {"a": "retracted", "b": "unknown"}
