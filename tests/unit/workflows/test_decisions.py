"""Decisions about a protocol: on the disk, by whom, of which version; the wrong ones are refused."""

from __future__ import annotations

import json

import pytest
from run_folders import done_run, store  # noqa: F401  (fixtures)

from labwright.domain import Protocol, RunRecord
from labwright.errors import WrongUse
from labwright.store import RunStore
from labwright.workflows import decisions
from labwright.workflows.comments import add_comment, comments, settle_comment
from labwright.workflows.edits import versions
from labwright.workflows.interventions import interventions


@pytest.fixture
def waiting(done_run) -> RunStore:  # noqa: F811
    record = {**done_run.record().model_dump(), "status": "waiting_for_review"}
    done_run.save_record(RunRecord.model_validate(record))
    (done_run.folder / decisions.REVIEW).touch()
    # As designed, without the faults of the synthetic protocol: what a person edits must hold together.
    path = done_run.folder / "protocol.json"
    protocol = json.loads(path.read_text())
    protocol["parts"] = protocol["parts"][:1]
    protocol["parts"][0]["refs"] = protocol["parts"][0]["steps"][0]["refs"] = []
    protocol["parts"][0]["steps"][0]["kind"] = "wet"
    path.write_text(json.dumps(protocol))
    return done_run


def protocol_of(store: RunStore) -> Protocol:  # noqa: F811
    return store.read(store.folder / "protocol.json", Protocol)


def titled(protocol: Protocol, title: str) -> Protocol:
    part = protocol.parts[0].model_copy(update={"title": title})
    return protocol.model_copy(update={"parts": (part, *protocol.parts[1:])})


def test_an_approved_run_is_queued_and_stops_no_more(waiting):
    decisions.approve(waiting, by="ada")
    assert waiting.record().status == "queued"
    assert not (waiting.folder / decisions.REVIEW).exists()
    with pytest.raises(WrongUse, match="does not wait for a review; it is queued"):
        decisions.approve(waiting)


def test_a_sent_back_run_keeps_its_version_and_hands_the_reasons_on(waiting):
    decisions.send_back(waiting, "  compare by grade  ", by="ada")
    assert decisions.is_sent_back(waiting)
    assert decisions.reasons(waiting) == "compare by grade"
    assert (waiting.folder / decisions.REVIEW).exists()
    assert [act.model_dump(exclude={"at"}) for act in interventions(waiting)] == [
        {"kind": "send_back", "detail": "compare by grade", "steps": (), "by": "ada", "version": 1}
    ]
    assert (waiting.folder / "protocol.v1.json").is_file()


@pytest.mark.parametrize("reason", ["", "   ", "x" * 4001])
def test_a_decision_against_needs_a_reason(waiting, reason):
    for decide in (decisions.send_back, decisions.reject):
        with pytest.raises(WrongUse, match="give the reasons"):
            decide(waiting, reason)
    assert waiting.record().status == "waiting_for_review"
    assert interventions(waiting) == ()


def test_nobody_designs_again_where_no_model_designed(waiting):
    waiting.save_record(waiting.record().model_copy(update={"workflow": "rules_only"}))
    with pytest.raises(WrongUse, match="rules_only"):
        decisions.send_back(waiting, "again")


def test_edits_make_versions_and_the_older_of_two_edits_is_refused(waiting):
    first = protocol_of(waiting)
    decisions.save_edit(waiting, titled(first, "Curves"), by="ada")
    assert protocol_of(waiting).version == 2
    with pytest.raises(WrongUse, match="is of version 1, and the protocol is at version 2 now"):
        decisions.save_edit(waiting, titled(first, "Other words"), by="grace")
    with pytest.raises(WrongUse, match="changes nothing"):
        decisions.save_edit(waiting, protocol_of(waiting))
    assert {n: p.parts[0].title for n, p in versions(waiting).items()} == {1: first.parts[0].title, 2: "Curves"}
    assert waiting.record().status == "waiting_for_review"
    decisions.approve(waiting, by="grace")
    assert [(a.kind, a.by, a.version) for a in interventions(waiting)] == [("edit", "ada", 2), ("approve", "grace", 2)]


def test_comments_stand_at_their_place_and_are_settled_once(waiting):
    part, step = protocol_of(waiting).parts[0].id, protocol_of(waiting).parts[0].steps[0].id
    on_step = add_comment(waiting, " why this test? ", part=part, step=step, by="ada")
    add_comment(waiting, "fine", by="grace")
    settle_comment(waiting, on_step.id, by="grace")
    told = [(c.text, c.part, c.step, c.by, c.settled_by) for c in comments(waiting)]
    assert told == [("why this test?", part, step, "ada", "grace"), ("fine", "", "", "grace", "")]
    with pytest.raises(WrongUse, match="no open comment"):
        settle_comment(waiting, on_step.id)
    for place in ({"part": "Part 9"}, {"step": step}, {"part": part, "step": "9.9"}):
        with pytest.raises(WrongUse, match="the protocol has no"):
            add_comment(waiting, "lost", **place)
    for text in ("", " \n", "x" * 4001):
        with pytest.raises(WrongUse, match="a comment has"):
            add_comment(waiting, text)
    assert len(comments(waiting)) == 2
