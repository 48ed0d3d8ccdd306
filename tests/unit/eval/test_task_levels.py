"""Execution success by a run's own protocol: three levels, and what counts as failed, on run folders."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from fakes import FakeSandbox

from labwright.agents.programming import Workbench, plan_tasks, run_task
from labwright.domain import Objective, Part, Protocol, RunRecord, Step, TaskResult
from labwright.eval.report_files import RunFiles
from labwright.eval.task_levels import levels_of, units_of
from labwright.safety.code_screen import screen_code
from labwright.sandbox.contract import Limits
from labwright.store import RunStore
from labwright.tools.catalogue.catalogue import card

OBJECTIVE = Objective(text="Does hormone therapy delay recurrence of breast cancer?")
MADE_UP = "import numpy as np\nrng = np.random.default_rng(0)\nvalues = rng.normal(size=100)\n"


def step(name: str, operator: str = "survival_curves", kind: str = "dry", inputs: tuple[str, ...] = ()) -> Step:
    return Step(id=name, details="d", kind=kind, datasets=("gbsg2",), operator=operator, inputs=inputs)


def counts(store: RunStore) -> tuple[int, ...]:
    """Dry steps, then how many reached level 1, 2 and 3."""
    found = levels_of(units_of(RunFiles(store.folder)))
    return found.dry, found.exited, found.present, found.valid


class Sandbox(FakeSandbox):
    """Spoils what the script of a run leaves, as told."""

    def __init__(self, spoil: str) -> None:
        super().__init__()
        self._spoil = spoil

    def run(self, job, out_dir: Path, *, stop=None):
        result = super().run(job, out_dir)
        checks = "verdicts.json" in job.script
        if self._spoil == "output absent" and not checks:
            kept = tuple(o for o in result.outputs if o.name != "log_rank.csv")
            return dataclasses.replace(result, outputs=kept)
        if self._spoil == "output invalid" and checks:
            said = [{"check": "recomputed", "passed": False, "detail": "0.4 is not 0.5"}]
            (out_dir / "verdicts.json").write_text(json.dumps(said))
        if self._spoil == "input unread" and not checks:
            return dataclasses.replace(result, inputs_read=())
        if self._spoil == "exit 1" and not checks:
            return dataclasses.replace(result, exit_code=1, stderr="ValueError: no")
        return result


def carried_out(tmp_path: Path, spoil: str, steps: tuple[Step, ...] = (step("1.1"),), screen=None) -> RunStore:
    """A run folder with a protocol whose tasks the programming agent has run."""
    store = RunStore(tmp_path / "run")
    store.folder.mkdir(parents=True)
    store.save_record(RunRecord(id="run", objective=OBJECTIVE, status="done"))
    protocol = Protocol(objective=OBJECTIVE, logic="", parts=(Part(id="Part 1", title="t", purpose="", steps=steps),))
    store.write(store.folder / "protocol.json", protocol)
    bench = Workbench(
        store=store, run_job=Sandbox(spoil).run, data_dir=lambda name: tmp_path, card=card,
        screen=screen or (lambda script: ()), limits=Limits(), session=None, seed=0,
    )  # fmt: skip
    tasks = plan_tasks(protocol, 0)
    store.write(store.folder / "tasks" / "_tasks.json", [t.model_dump() for t in tasks])
    for task in tasks:
        run_task(bench, OBJECTIVE, task)
    return store


@pytest.mark.parametrize(
    ("spoil", "reached"),
    [
        ("", (1, 1, 1, 1)),
        ("input unread", (1, 1, 1, 0)),
        ("output invalid", (1, 1, 1, 0)),
        ("output absent", (1, 1, 0, 0)),
        ("exit 1", (1, 0, 0, 0)),
    ],
)
def test_each_level_is_counted_apart(tmp_path, spoil, reached):
    """ "output absent" is T14 of the specification: exit code 0, level 1, not counted as success."""
    assert counts(carried_out(tmp_path, spoil)) == reached


def test_made_up_data_is_no_success(tmp_path):
    """The real screen, shown a script that draws its data: outputs are there and pass, and the task has failed."""
    store = carried_out(tmp_path, "", screen=lambda script: screen_code(script + MADE_UP))
    assert counts(store) == (1, 1, 1, 0)
    assert counts(carried_out(tmp_path / "honest", "", screen=screen_code)) == (1, 1, 1, 1)


def test_a_skipped_task_has_failed(tmp_path):
    """The enrichment reads the output of a step that failed, so it is skipped."""
    steps = (step("1.1", "differential_expression"), step("1.2", "gene_set_enrichment", inputs=("1.1",)))
    store = carried_out(tmp_path, "exit 1", steps)
    found = levels_of(units_of(RunFiles(store.folder)))
    assert (found.dry, found.valid, found.skipped, found.not_run) == (2, 0, 1, 0)
    path = store.path("tasks", "Part 1-dry-experiment-2") / "result.json"
    lying = store.read(path, TaskResult).model_copy(update={"level": 3})
    store.write(path, lying)
    assert levels_of(units_of(RunFiles(store.folder))).valid == 0


def test_a_dry_step_that_became_no_task_has_failed_and_a_wet_one_is_none(tmp_path):
    store = carried_out(tmp_path, "", (step("1.1"), step("1.2", kind="wet"), step("1.3", kind="mixed")))
    assert counts(store) == (2, 2, 2, 2)
    listed = json.loads((store.folder / "tasks" / "_tasks.json").read_text())
    store.write(store.folder / "tasks" / "_tasks.json", listed[:1])
    found = levels_of(units_of(RunFiles(store.folder)))
    assert (found.dry, found.valid, found.not_run, found.rate) == (2, 1, 1, 0.5)


def test_a_task_without_a_result_has_failed_and_a_damaged_one_is_named(tmp_path):
    store = carried_out(tmp_path, "", (step("1.1"), step("1.2"), step("1.3")))
    store.path("tasks", "Part 1-dry-experiment-2", "result.json").unlink()
    store.path("tasks", "Part 1-dry-experiment-3", "result.json").write_text("{")
    files = RunFiles(store.folder)
    found = levels_of(units_of(files))
    assert (found.dry, found.valid, found.not_run) == (3, 1, 2)
    assert [fault for fault in files.faults if "Part_1-dry-experiment-3/result.json" in fault]


def test_a_run_that_planned_nothing_has_rate_0(tmp_path):
    store = RunStore(tmp_path)
    store.save_record(RunRecord(id="run", objective=OBJECTIVE, status="failed"))
    found = levels_of(units_of(RunFiles(store.folder)))
    assert (found.dry, found.rate) == (0, 0.0)


def test_tasks_of_a_run_without_a_protocol_count(tmp_path):
    store = carried_out(tmp_path, "", (step("1.1"), step("1.2")))
    (store.folder / "protocol.json").unlink()
    assert counts(store) == (2, 2, 2, 2)
