"""How far a run got by itself: counted from the run folder, and what a person did is kept there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from labwright.config import Config
from labwright.domain import Intervention, Protocol, RunRecord
from labwright.errors import EngineMissing, RunFailed, WrongUse
from labwright.eval.automation import automation_of, automation_rows, interventions_of
from labwright.eval.report import write_report
from labwright.eval.report_files import RunFiles
from labwright.store import RunStore, now
from labwright.workflows import control, decisions
from labwright.workflows.interventions import changed_steps, record_intervention


def test_of_an_ended_run(done_run: RunStore):
    """Three dry steps: one at level 3 after one repair, one at level 2 at once, one skipped. One rewrite."""
    found = automation_of(RunFiles(done_run.folder))
    assert (found.tasks, found.unaided, found.unaided_share) == (3, 1, 1 / 3)
    assert found.interventions == {"approve": 0, "edit": 0, "send_back": 0, "reject": 0}
    assert [(r.stage, r.loops, r.rewrites, r.accepted) for r in found.reviews] == [("Plan of the protocol", 1, 1, 1)]
    assert found.repairs == {"Part 1-dry-experiment-1": 1, "Part 2-dry-experiment-1": 0}
    assert found.repairs_per_task == 0.5


def test_papers_that_need_a_person_are_those_kept_and_listed(done_run: RunStore):
    path = done_run.folder / "papers" / "_full_text_wanted.json"
    before = automation_of(RunFiles(done_run.folder))
    assert (before.kept_papers, before.manual_papers, before.manual_share) == (1, None, None)
    kept = next(p for p in RunFiles(done_run.folder).papers() if p.id == "wang2005")
    listed = {"title": kept.title, "doi": kept.ids.doi, "pmid": kept.ids.pmid, "why": "closed"}
    done_run.write(path, [listed, {**listed, "title": "Not kept", "doi": "10.1/x"}])
    found = automation_of(RunFiles(done_run.folder))
    assert (found.manual_papers, found.manual_share) == (1, 1.0)
    done_run.write(path, [])
    assert automation_of(RunFiles(done_run.folder)).manual_share == 0.0


def test_a_run_that_came_to_nothing_has_no_shares(failed_run: RunStore):
    found = automation_of(RunFiles(failed_run.folder))
    shares = (found.unaided_share, found.interventions_per_task, found.repairs_per_task, found.manual_share)
    assert shares == (None, None, None, None)
    rows = dict(automation_rows(found))
    assert rows["Analyses finished without human action"] == "no dry steps"
    assert rows["Repairs of scripts"] == "no script was run"


@pytest.mark.parametrize("kind", ["approve", "edit"])
def test_after_the_gate_nothing_was_finished_without_a_person(done_run: RunStore, kind):
    record_intervention(done_run, Intervention(kind=kind, at=now(), steps=("1.1",) if kind == "edit" else ()))
    found = automation_of(RunFiles(done_run.folder))
    assert (found.unaided, found.unaided_share) == (0, 0.0)
    assert found.interventions[kind] == 1
    assert found.interventions_per_task == {
        **dict.fromkeys(("approve", "edit", "send_back", "reject"), 0.0),
        kind: 1 / 3,
    }
    assert found.edited_steps == (kind == "edit")


def waiting(store: RunStore) -> RunStore:
    record = store.record()
    store.save_record(RunRecord.model_validate({**record.model_dump(), "status": "waiting_for_review"}))
    (store.folder / "review.wanted").touch()
    return store


def test_an_approval_is_kept_once_even_when_the_run_cannot_go_on(done_run: RunStore, monkeypatch, tmp_path):
    """Without an engine the approved run stops; it is then resumed, not approved again."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    done_run.write(done_run.folder / "config.json", Config())
    decisions.approve(waiting(done_run), by="ada")
    with pytest.raises(EngineMissing):
        control.resume(done_run, control.Options())
    [done] = interventions_of(RunFiles(done_run.folder))
    assert (done.kind, done.steps, done.by, done.version) == ("approve", (), "ada", 1)
    assert abs(datetime.fromisoformat(done.at) - datetime.now(UTC)) < timedelta(minutes=1)
    assert done_run.record().status == "interrupted"
    with pytest.raises(WrongUse, match="does not wait"):
        decisions.approve(done_run)


def test_a_rejection_is_kept_with_its_reason_and_a_second_one_is_refused(done_run: RunStore):
    decisions.reject(waiting(done_run), "the cohort is too small")
    [done] = interventions_of(RunFiles(done_run.folder))
    assert (done.kind, done.detail) == ("reject", "the cohort is too small")
    with pytest.raises(WrongUse):
        decisions.reject(done_run, "again")
    assert len(interventions_of(RunFiles(done_run.folder))) == 1


def test_the_steps_that_a_person_changed_added_or_took_out(done_run: RunStore):
    old = done_run.read(done_run.folder / "protocol.json", Protocol)
    assert changed_steps(old, old.model_copy(update={"logic": "other words"})) == []
    first, second, *rest = old.parts
    changed = first.steps[0].model_copy(update={"details": "Other details."})
    added = second.steps[0].model_copy(update={"id": "2.9"})
    parts = (
        first.model_copy(update={"steps": (changed,)}),
        second.model_copy(update={"steps": (*second.steps, added)}),
    )
    assert rest
    assert changed_steps(old, old.model_copy(update={"parts": parts})) == ["1.1", "2.9", "3.1"]


def test_a_damaged_list_of_interventions_stops_the_next_and_shows_in_the_report(done_run: RunStore):
    (done_run.folder / "interventions.json").write_text("{")
    with pytest.raises(RunFailed, match=r"interventions\.json"):
        record_intervention(done_run, Intervention(kind="approve", at=now()))
    assert "interventions.json is not what it should be" in write_report(done_run.folder).read_text(encoding="utf-8")


def test_the_report_has_the_table(done_run: RunStore):
    record_intervention(done_run, Intervention(kind="edit", at=now(), steps=("1.1", "3.1")))
    page = write_report(done_run.folder).read_text(encoding="utf-8")
    table = page[page.index('id="automation"') : page.index('id="decisions"')]
    assert "How far it ran by itself" in table
    for name, value in (
        ("Analyses finished without human action", "0 of 3 dry steps (0%)"),
        ("Human interventions", "edit 1; 2 steps edited"),
        ("Rewrites, Plan of the protocol", "1 in 1 reviews; 1 accepted"),
        ("Repairs of scripts", "1, 0.50 a task that was begun"),
        ("Papers needing manual download", "not known yet"),
    ):
        assert f'<th scope="row">{name}</th><td>{value}</td>' in table


def test_interventions_stand_in_their_order(done_run: RunStore):
    record_intervention(done_run, Intervention(kind="edit", at=now(), steps=("1.1",)))
    record_intervention(done_run, Intervention(kind="approve", at=now()))
    assert [i["kind"] for i in json.loads((done_run.folder / "interventions.json").read_text())] == ["edit", "approve"]
