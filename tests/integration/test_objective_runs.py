"""A cell of the table, carried out for real on a scripted model: judged, resumed, and on the shared literature."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labwright.config import BackendConfig, Config
from labwright.errors import SandboxBroken
from labwright.eval.suites import objective_runs, shared_literature
from labwright.eval.suites.objective_cells import Cell
from labwright.eval.suites.objective_runs import ALLOWANCE, run_cell
from labwright.store import list_runs
from labwright.workflows import control

pytestmark = pytest.mark.docker
RULES = [
    {"match": "ask for help to", "probabilities": {"no": 1.0}},
    {"match": "Answer yes or no", "probabilities": {"yes": 0.9, "no": 0.1}},
    {"match": "one digit from 1 to 5", "probabilities": {"4": 0.7, "5": 0.3}},
    {"match": "high, medium or low", "probabilities": {"high": 0.8, "medium": 0.2}},
]


def silent(text: str) -> None:
    pass


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox) -> Config:
    monkeypatch.setattr(shared_literature, "FILE", tmp_path / "literature.jsonl")
    script = tmp_path / "model.json"
    script.write_text(json.dumps({"rules": RULES, "log_path": str(tmp_path / "asked.jsonl")}))
    return Config(backends={"small": BackendConfig(kind="scripted", script=str(script))})


def asked(folder: Path) -> int:
    path = folder / "asked.jsonl"
    return len(path.read_text().splitlines()) if path.is_file() else 0


def test_cells_share_one_literature_and_are_judged_against_the_frozen_lists(tmp_path, config):
    rows = {}
    counts = [0]
    for workflow, model in (("labwright", "small"), ("no_reviewer", "small")):
        cell = Cell("protease_inhibitor", workflow, model, 0)
        rows[workflow] = run_cell(cell, tmp_path / "runs", silent, config)
        counts.append(asked(tmp_path))
    ours = rows["labwright"]
    assert (ours["kind"], ours["name"], ours["failed"]) == ("cell", "protease_inhibitor/labwright/small/0", "")
    assert ours["status"] == "done"
    assert ours["field"] == "clinical"
    verdicts = [*ours["outputs"].values(), *ours["gold"].values()]
    assert ours["level3_gold"] == sum(verdicts) / len(verdicts) > 0
    assert ours["levels"]["3"] == len(ours["tasks"]) > 0
    assert ours["protocol"].startswith(("A scripted", "Part 1", "The data"))
    assert all(1 <= v["code"] <= 5 and v["judged"] is None for v in ours["quality"].values())
    assert 0 < ours["calls_valid"] <= ours["calls_total"]
    [read] = (tmp_path / "literature.jsonl").read_text().splitlines()
    assert json.loads(read)["files"].keys() >= {"papers/_screening.json"}
    assert rows["no_reviewer"]["literature"] == ours["literature"]
    assert counts[2] - counts[1] < counts[1] - counts[0]  # the second did not read again
    held = list_runs(tmp_path / "runs" / "cells" / "protease_inhibitor_labwright_small_0")
    kept = control.Config.model_validate_json(
        (tmp_path / "runs" / "cells" / "protease_inhibitor_labwright_small_0" / held[0].id / "config.json").read_text()
    )
    assert kept.allowance == ALLOWANCE


def test_a_broken_sandbox_is_no_failure_of_the_workflow_and_the_run_is_carried_on(tmp_path, config, monkeypatch):
    cell = Cell("protease_inhibitor", "rules_only", "none", 0)
    monkeypatch.setattr(objective_runs, "DEFAULT_MODEL", "small")
    start = objective_runs.start

    def breaking(objective, config, runs, options):
        def stop(text: str) -> None:
            if text.startswith("protocol with"):
                raise SandboxBroken("the engine went away")

        return start(objective, config, runs, control.replace(options, say=stop))

    with monkeypatch.context() as broken:
        broken.setattr(objective_runs, "start", breaking)
        with pytest.raises(SandboxBroken):
            run_cell(cell, tmp_path / "runs", silent, config)
    before = asked(tmp_path)
    row = run_cell(cell, tmp_path / "runs", silent, config)
    assert (row["status"], row["failed"], row["model"]) == ("done", "", "none")
    assert row["calls_total"] == 0
    assert asked(tmp_path) == before
    assert len(list_runs(tmp_path / "runs" / "cells" / "protease_inhibitor_rules_only_none_0")) == 1


def test_a_workflow_that_breaks_down_is_a_failed_row_that_scores_what_it_had(tmp_path, config, monkeypatch):
    def broken(*given: object, **more: object) -> None:
        raise ValueError("no such level")

    monkeypatch.setattr("labwright.agents.design.headings", broken)
    row = run_cell(Cell("protease_inhibitor", "labwright", "small", 0), tmp_path / "runs", silent, config)
    assert (row["level3_gold"], row["status"]) == (0.0, "failed")
    assert row["failed"] == "ValueError: no such level"
    assert not any([*row["outputs"].values(), *row["gold"].values()])
    assert row["quality"] == {}
