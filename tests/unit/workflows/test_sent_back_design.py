"""A person's reasons stand before the model's eyes when the protocol is designed again, beside the reviewer's advice."""

from __future__ import annotations

from fake_run import materials

from labwright.agents.reviewer import Stage
from labwright.agents.untrusted import Guard
from labwright.domain import Intervention
from labwright.models.prompt_file import Material
from labwright.workflows.interventions import record_intervention
from labwright.workflows.nodes import reviewed

REFUSING = [{"match": "Answer yes or no", "probabilities": {"yes": 0.1, "no": 0.9}}]


def stage(guard: Guard) -> Stage[str]:
    return Stage("Plan", {"logic": "Is it in order?"}, lambda text: material(guard, text), lambda text: {}, 4.0)


def material(guard: Guard, text: str) -> Material:
    return guard.written(text)


def drafts(m, *, reviewer: bool) -> list[str]:
    seen: list[str] = []

    def draft(advice: str) -> str:
        seen.append(advice)
        return "a plan"

    if not reviewer:
        m.sessions["reviewer"] = None
    reviewed(m, stage(m.guard), draft)
    return seen


def test_without_a_person_only_the_reviewer_advises(tmp_path):
    first, again = drafts(materials(tmp_path, only=REFUSING), reviewer=True)
    assert first == ""
    assert "logic" in again


def test_a_persons_reasons_come_first_and_stay_beside_the_reviewers(tmp_path):
    m = materials(tmp_path, only=REFUSING)
    for reason in ("compare by grade", "fewer parts"):
        record_intervention(m.store, Intervention(kind="send_back", at="", detail=reason))
    record_intervention(m.store, Intervention(kind="edit", at="", detail="no reason"))
    first, again = drafts(m, reviewer=True)
    assert first == "compare by grade; fewer parts"
    assert again.startswith("compare by grade; fewer parts; ")
    assert "logic" in again
    assert drafts(m, reviewer=False) == ["compare by grade; fewer parts"]
