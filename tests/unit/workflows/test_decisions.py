"""Decisions about a protocol: on the disk, by whom, of which version; the wrong ones are refused."""

from __future__ import annotations

import pytest
from run_folders import done_run, store, waiting_run  # noqa: F401  (fixtures)

from labwright.domain import Protocol
from labwright.errors import WrongUse
from labwright.store import RunStore
from labwright.workflows import decisions
from labwright.workflows.comments import add_comment, comments, settle_comment
from labwright.workflows.edits import versions
from labwright.workflows.interventions import interventions


def protocol_of(store: RunStore) -> Protocol:  # noqa: F811
    return store.read(store.folder / "protocol.json", Protocol)


def titled(protocol: Protocol, title: str) -> Protocol:
    part = protocol.parts[0].model_copy(update={"title": title})
    return protocol.model_copy(update={"parts": (part, *protocol.parts[1:])})


def test_an_approved_run_is_queued_and_stops_no_more(waiting_run):  # noqa: F811
    decisions.approve(waiting_run, by="ada")
    assert waiting_run.record().status == "queued"
    assert not (waiting_run.folder / decisions.REVIEW).exists()
    with pytest.raises(WrongUse, match="does not wait for a review; it is queued"):
        decisions.approve(waiting_run)


def test_a_sent_back_run_keeps_its_version_and_hands_the_reasons_on(waiting_run):  # noqa: F811
    decisions.send_back(waiting_run, "  compare by grade  ", by="ada")
    assert decisions.is_sent_back(waiting_run)
    assert decisions.reasons(waiting_run) == "compare by grade"
    assert (waiting_run.folder / decisions.REVIEW).exists()
    assert [act.model_dump(exclude={"at"}) for act in interventions(waiting_run)] == [
        {"kind": "send_back", "detail": "compare by grade", "steps": (), "by": "ada", "version": 1}
    ]
    assert (waiting_run.folder / "protocol.v1.json").is_file()


@pytest.mark.parametrize("reason", ["", "   ", "x" * 4001])
def test_a_decision_against_needs_a_reason(waiting_run, reason):  # noqa: F811
    for decide in (decisions.send_back, decisions.reject):
        with pytest.raises(WrongUse, match="give the reasons"):
            decide(waiting_run, reason)
    assert waiting_run.record().status == "waiting_for_review"
    assert interventions(waiting_run) == ()


def test_nobody_designs_again_where_no_model_designed(waiting_run):  # noqa: F811
    waiting_run.save_record(waiting_run.record().model_copy(update={"workflow": "rules_only"}))
    with pytest.raises(WrongUse, match="rules_only"):
        decisions.send_back(waiting_run, "again")


def test_edits_make_versions_and_the_older_of_two_edits_is_refused(waiting_run):  # noqa: F811
    first = protocol_of(waiting_run)
    decisions.save_edit(waiting_run, titled(first, "Curves"), by="ada")
    assert protocol_of(waiting_run).version == 2
    with pytest.raises(WrongUse, match="is of version 1, and the protocol is at version 2 now"):
        decisions.save_edit(waiting_run, titled(first, "Other words"), by="grace")
    with pytest.raises(WrongUse, match="changes nothing"):
        decisions.save_edit(waiting_run, protocol_of(waiting_run))
    assert {n: p.parts[0].title for n, p in versions(waiting_run).items()} == {1: first.parts[0].title, 2: "Curves"}
    assert waiting_run.record().status == "waiting_for_review"
    decisions.approve(waiting_run, by="grace")
    assert [(a.kind, a.by, a.version) for a in interventions(waiting_run)] == [
        ("edit", "ada", 2),
        ("approve", "grace", 2),
    ]


def test_comments_stand_at_their_place_and_are_settled_once(waiting_run):  # noqa: F811
    part, step = protocol_of(waiting_run).parts[0].id, protocol_of(waiting_run).parts[0].steps[0].id
    on_step = add_comment(waiting_run, " why this test? ", part=part, step=step, by="ada")
    add_comment(waiting_run, "fine", by="grace")
    settle_comment(waiting_run, on_step.id, by="grace")
    told = [(c.text, c.part, c.step, c.by, c.settled_by) for c in comments(waiting_run)]
    assert told == [("why this test?", part, step, "ada", "grace"), ("fine", "", "", "grace", "")]
    with pytest.raises(WrongUse, match="no open comment"):
        settle_comment(waiting_run, on_step.id)
    for place in ({"part": "Part 9"}, {"step": step}, {"part": part, "step": "9.9"}):
        with pytest.raises(WrongUse, match="the protocol has no"):
            add_comment(waiting_run, "lost", **place)
    for text in ("", " \n", "x" * 4001):
        with pytest.raises(WrongUse, match="a comment has"):
            add_comment(waiting_run, text)
    assert len(comments(waiting_run)) == 2
