"""Evidence for a claim: nearest sentences, never of a retracted paper; stance and reranking from probabilities."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.tools.index_fakes import document, encode

from labwright.domain import Paper, Quote, Retraction
from labwright.models.ask import Prompt, Session
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat
from labwright.tools.evidence import is_verbatim
from labwright.tools.evidence_claims import evidence_sentences, stance
from labwright.tools.index_rerank import model_reranker

DOCUMENTS = {
    "a": "Aspirin lowered fever in mice within an hour.\nThe weather in spring was mild and wet.",
    "b": "Aspirin did not lower fever in mice at any dose.",
}


def paper(name: str, status: str = "none") -> Paper:
    retraction = Retraction.model_validate({"status": status})
    return Paper(id=name, title=name, abstract="", source="x", retraction=retraction)


def session(tmp_path: Path, rules: list[dict]) -> Session:
    log = CallLog(tmp_path / "calls.sqlite")
    return Session(role="reviewer", backend="scripted:test", chat=ScriptedChat(rules=rules), log=log)


def question(first: str, second: str) -> Prompt:
    return Prompt("test", "abc", "You answer.", f"{first} | {second}")


def test_the_sentences_that_speak_of_a_claim_come_first_as_spans() -> None:
    given = [(paper(name), text) for name, text in DOCUMENTS.items()]
    found = evidence_sentences("aspirin lowered fever in mice", given, encode, limit=2)
    assert [quote.paper for quote, _ in found] == ["a", "b"]
    assert all(is_verbatim(quote, DOCUMENTS[quote.paper]) for quote, _ in found)
    assert evidence_sentences("aspirin", [], encode) == []


@pytest.mark.parametrize(("status", "kept"), [("retracted", False), ("concern", True), ("unknown", True)])
def test_a_retracted_paper_is_never_evidence(status: str, kept: bool) -> None:
    found = evidence_sentences("aspirin lowered fever", [(paper("a", status), DOCUMENTS["a"])], encode)
    assert bool(found) is kept


@pytest.mark.parametrize("label", ["support", "contradict", "neither"])
def test_the_stance_is_the_likeliest_answer_and_the_models(tmp_path: Path, label: str) -> None:
    quote = Quote(paper="b", start=0, end=len(DOCUMENTS["b"]), text=DOCUMENTS["b"])
    found = stance(
        session(tmp_path, [{"match": "fever", "probabilities": {label.title(): 0.6, "Maybe": 0.4}}]),
        question,
        "Aspirin lowers fever.",
        quote,
    )
    assert (found.label, found.decided_by, found.quote) == (label, "model", quote)
    assert sum(found.probabilities.values()) == pytest.approx(1.0)


def test_without_a_usable_answer_the_stance_is_neither_and_says_so(tmp_path: Path) -> None:
    quote = Quote(paper="b", start=0, end=len(DOCUMENTS["b"]), text=DOCUMENTS["b"])
    found = stance(
        session(tmp_path, [{"match": "fever", "probabilities": {"42": 1.0}}]), question, "Aspirin lowers fever.", quote
    )
    assert (found.label, found.decided_by) == ("neither", "fallback")


def test_the_reranker_puts_what_the_model_affirms_first_and_keeps_the_order_without_answers(tmp_path: Path) -> None:
    documents = [document(n) for n in range(4)]
    rules = [
        {"match": "marker2", "probabilities": {"yes": 0.9, "no": 0.1}},
        {"match": "marker", "probabilities": {"no": 0.8, "yes": 0.2}},
    ]
    (tmp_path / "silent").mkdir()
    scores = model_reranker(session(tmp_path, rules), question)("mice", documents)
    assert max(range(4), key=lambda n: scores[n]) == 2
    silent = model_reranker(
        session(tmp_path / "silent", [{"match": "marker", "probabilities": {"42": 1.0}}]), question
    )("mice", documents)
    assert list(silent) == sorted(silent, reverse=True)
