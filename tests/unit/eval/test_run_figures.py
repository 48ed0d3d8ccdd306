"""Figures over runs: macro over objectives, micro over dry steps, workflows apart; and the command that prints them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from labwright.cli_eval import eval_app
from labwright.errors import MetricUndefined, WrongUse
from labwright.eval.automation import Automation
from labwright.eval.intervals import wilson
from labwright.eval.run_figures import RunFigures, figures_of_run, over_runs, run_document
from labwright.eval.task_levels import TaskLevels
from labwright.store import RunStore


def run(objective: str, valid: int, dry: int, workflow: str = "labwright", **more: int) -> RunFigures:
    levels = TaskLevels(
        dry=dry, exited=more.get("exited", valid), present=more.get("present", valid), valid=valid, skipped=0, not_run=0
    )
    automation = Automation(
        tasks=dry, unaided=valid, interventions={"approve": 0, "edit": more.get("edit", 0), "reject": 0},
        edited_steps=0, reviews=(), repairs={"t": more.get("repairs", 0)}, kept_papers=4,
        manual_papers=more.get("manual"),
    )  # fmt: skip
    return RunFigures(run=f"{objective}-{valid}", objective=objective, workflow=workflow, status="done", levels=levels,
                      automation=automation, faults=())  # fmt: skip


def test_t10_over_two_runs():
    """Specification T10: macro 0.625, micro 4 of 6; of two objectives there is no interval over objectives."""
    found = over_runs([run("A", 3, 4), run("B", 1, 2)])["labwright"]["levels"]["outputs_valid"]
    assert (found["macro"]["value"], found["macro"]["n"], found["macro"]["low"]) == (0.625, 2, None)
    assert found["micro"]["value"] == pytest.approx(0.6667, abs=1e-4)
    assert (found["micro"]["low"], found["micro"]["high"]) == wilson(4, 6)
    assert (found["macro"]["method"], found["micro"]["method"]) == ("", "Wilson")


def test_of_three_objectives_both_intervals_are_over_objectives():
    found = over_runs([run("A", 3, 4), run("A", 1, 4), run("B", 1, 2), run("C", 0, 2)], 500)["labwright"]
    assert (found["objectives"], found["runs"], found["tasks"]) == (3, 4, 12)
    level = found["levels"]["outputs_valid"]
    assert level["macro"]["value"] == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert level["micro"]["value"] == pytest.approx(5 / 12)
    for figure in level.values():
        assert figure["method"] == "cluster bootstrap"
        assert figure["low"] < figure["value"] < figure["high"]


def test_the_levels_are_counted_apart():
    levels = over_runs([run("A", 1, 4, present=2, exited=4)])["labwright"]["levels"]
    values = [levels[name]["micro"]["value"] for name in ("exit_code_0", "outputs_present", "outputs_valid")]
    assert values == [1.0, 0.5, 0.25]


def test_a_run_without_a_step_lowers_the_macro_mean_and_is_counted():
    found = over_runs([run("A", 2, 2), run("B", 0, 0)])["labwright"]
    assert found["runs_without_steps"] == 1
    assert found["levels"]["outputs_valid"]["macro"]["value"] == 0.5
    assert found["levels"]["outputs_valid"]["micro"]["value"] == 1.0
    nothing = over_runs([run(name, 0, 0) for name in "ABC"], 50)["labwright"]
    assert nothing["levels"]["outputs_valid"]["micro"]["value"] is None
    assert nothing["levels"]["outputs_valid"]["macro"]["value"] == 0.0
    assert nothing["automation"]["unaided_share"] is None


def test_workflows_are_not_mixed_and_nothing_is_an_error():
    found = over_runs([run("A", 2, 2), run("A", 0, 2, "rules_only")])
    assert {name: f["levels"]["outputs_valid"]["macro"]["value"] for name, f in found.items()} == {
        "labwright": 1.0, "rules_only": 0.0,
    }  # fmt: skip
    with pytest.raises(MetricUndefined):
        over_runs([])


def test_automation_is_summed_before_it_is_divided():
    """Papers of a run that never fetched any are in neither number."""
    runs = [run("A", 2, 2, edit=1, repairs=3, manual=1), run("B", 1, 6, repairs=1, manual=3), run("C", 0, 0)]
    done = over_runs(runs, 50)["labwright"]["automation"]
    assert (done["unaided_share"], done["interventions_per_task"]["edit"]) == (3 / 8, 1 / 8)
    assert (done["repairs"], done["repairs_per_task"]) == (4, 4 / 3)
    assert (done["manual_papers"], done["kept_papers"], done["manual_share"]) == (4, 8, 0.5)


def test_of_a_run_folder(done_run: RunStore):
    """One step at level 3, one at level 2, one skipped; the whole is JSON."""
    document = json.loads(json.dumps(run_document(figures_of_run(done_run.folder))))
    assert document["tasks"] == {"dry": 3, "exited": 2, "present": 2, "valid": 1, "skipped": 1, "not_run": 0}
    level = document["levels"]["outputs_valid"]
    assert (level["value"], level["method"]) == (1 / 3, "Wilson")
    assert [level["low"], level["high"]] == list(wilson(1, 3))
    assert (document["status"], document["faults"]) == ("done", [])
    assert document["automation"]["unaided_share"] == 1 / 3


def test_the_command_prints_one_document(done_run: RunStore):
    said = CliRunner().invoke(eval_app, ["report", done_run.id, "--out", str(done_run.folder.parent), "--json"])
    assert said.exit_code == 0, said.output
    document = json.loads(said.stdout)
    assert [r["run"] for r in document["runs"]] == [done_run.id]
    assert document["over_runs"]["labwright"]["levels"]["outputs_valid"]["macro"]["value"] == 1 / 3


def test_the_command_shows_a_table_a_run_and_one_over_them(done_run: RunStore):
    other = RunStore.create(done_run.folder.parent)
    other.save_record(done_run.record().model_copy(update={"id": other.id, "status": "failed"}))
    said = CliRunner().invoke(eval_app, ["report", str(done_run.folder), str(other.folder)])
    assert said.exit_code == 0, said.output
    shown = " ".join(said.stdout.split())
    assert "outputs valid 1 of 3 0.333 [0.06, 0.79]" in shown
    assert "outputs valid none planned -" in shown
    assert "failed because skipped: 1" in shown
    assert "workflow labwright: 1 objectives, 2 runs, 3 dry steps" in shown
    assert "outputs valid 0.167 0.333 [0.06, 0.79]" in shown
    assert "finished without human action: 1 of 3; approve 0, edit 0, send_back 0, reject 0" in shown


def test_a_run_named_twice_and_one_that_is_not_there_are_wrong_use(done_run: RunStore, tmp_path):
    for names, said in (([str(done_run.folder)] * 2, "named twice"), ([str(tmp_path / "none")], "no run")):
        ended = CliRunner().invoke(eval_app, ["report", *names])
        assert isinstance(ended.exception, WrongUse)
        assert said in str(ended.exception)
