"""From steps to verified outputs: the three levels, repairs, free code, and what a level 3 takes."""

from __future__ import annotations

import csv
import dataclasses
import json

import pytest
from fakes import FakeSandbox

from labwright.agents.programming import REPAIRS, Workbench, plan_tasks, run_task, task_folder
from labwright.domain import Objective, Part, Protocol, Step, Task, TaskResult
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat
from labwright.safety.code_screen import screen_code
from labwright.sandbox.contract import Job, Limits, Result
from labwright.store import RunStore
from labwright.tools.catalogue.catalogue import card

OBJECTIVE = Objective(text="Does hormone therapy delay recurrence of breast cancer?")
GRADE = {"group_column": "grade", "feature": None, "seed": 0}
FREE = "from labwright.tools.analysis import survival_curves, open_study\nprint('free')\n"
MADE_UP = FREE + "import numpy as np\nvalues = np.random.normal(size=10)\n"


class Bench(FakeSandbox):
    """A sandbox whose scripts fail as they are told to, in order; findings carry the number of the script."""

    def __init__(self, *faults: str) -> None:
        super().__init__()
        self.faults = list(faults)
        self.fault = ""
        self.scripts: list[str] = []

    def run(self, job: Job, out_dir, *, stop=None) -> Result:
        if "verdicts.json" in job.script:
            return self._checked(job, out_dir)
        self.fault = self.faults.pop(0) if self.faults else ""
        self.scripts.append(job.script)
        self._fail = self.fault == "fails"
        result = super().run(job, out_dir)
        if not result.ok:
            return result
        number = len(self.scripts)
        (out_dir / "log_rank.csv").write_text(f"group,p\nall,0.0{number}\n")
        finding = {"id": "f", "value": number / 100, "file": "log_rank.csv", "where": {"row": 0, "column": "p"}}
        (out_dir / "findings.json").write_text(json.dumps({"findings": [finding]}))
        if self.fault == "missing":
            (out_dir / "log_rank.csv").unlink()
        if self.fault == "empty":
            (out_dir / "log_rank.csv").write_text("")
        if self.fault == "wall":
            return dataclasses.replace(result, cause="wall", exit_code=None, outputs=())
        read = () if self.fault == "unread" else result.inputs_read
        return dataclasses.replace(self._result(out_dir, job), inputs_read=read)

    def _checked(self, job: Job, out_dir) -> Result:
        if self.fault == "checker breaks":
            out_dir.mkdir()
            return self._result(out_dir, job, exit_code=1, stderr="MemoryError")
        result = super().run(job, out_dir)
        if self.fault == "wrong":
            verdicts = [
                {"check": "files", "passed": True},
                {"check": "p recomputed", "passed": False, "detail": "0.01 is 0.2"},
            ]
            (out_dir / "verdicts.json").write_text(json.dumps(verdicts))
        return result


def protocol(*steps: Step) -> Protocol:
    parts = tuple(Part(id=f"Part {i}", title=f"Title {i}", purpose="", steps=(s,)) for i, s in enumerate(steps, 1))
    return Protocol(objective=OBJECTIVE, logic="", parts=parts)


def step(number: int, operator: str = "survival_curves", **more) -> Step:
    return Step(
        id=f"Part {number}.1", details="Do it.", kind="dry", datasets=("gbsg2",), operator=operator, **more
    )  # fmt: skip


def curves() -> Task:
    return plan_tasks(protocol(step(1, parameters=GRADE)), 0)[0]


def bench(tmp_path, sandbox: FakeSandbox, session: Session | None = None) -> Workbench:
    return Workbench(
        store=RunStore(tmp_path), run_job=sandbox.run, data_dir=lambda name: tmp_path / "data" / name, card=card,
        screen=screen_code, limits=Limits(), session=session, seed=0,
    )  # fmt: skip


def chat(tmp_path, *rules, writes_code: bool = False) -> Session:
    log = CallLog(tmp_path / "c.sqlite")
    scripted = ScriptedChat(rules=list(rules))
    return Session(role="programming", backend="t", chat=scripted, log=log, writes_code=writes_code)


def columns(*names: str) -> list[dict]:
    """Repair rules: after the n-th failure the n-th column is offered."""
    tried = ["grade", *names]
    return [
        {"match": f"'group_column': '{old}'", "reply": {"group_column": new, "feature": "none"}}
        for old, new in zip(tried, names, strict=False)
    ]


def code(script: str) -> dict:
    return {"plan": "Do it.", "script": script}


@pytest.mark.parametrize(
    ("fault", "level", "error"),
    [
        ("fails", 0, "no such column"),
        ("wall", 0, "the job was stopped: wall"),
        ("missing", 1, "declared outputs were not written: log_rank.csv"),
        ("empty", 1, "declared outputs were not written: log_rank.csv"),
        ("wrong", 2, "p recomputed: 0.01 is 0.2"),
        ("unread", 2, "not read: ['gbsg2']"),
        ("checker breaks", 2, "the checks could be made: exit code 1"),
        ("", 3, ""),
    ],
)
def test_the_level_is_that_of_the_first_thing_that_failed(tmp_path, fault, level, error):
    result = run_task(bench(tmp_path, Bench(fault)), OBJECTIVE, curves())
    assert result.level == level
    assert len(result.attempts) == 1
    assert error in result.attempts[0].error
    assert bool(result.findings) == (level == 3)
    assert all(c.passed for c in result.attempts[0].checks) == (level != 2)
    assert (task_folder(RunStore(tmp_path), curves().id) / "script.py").is_file()


def test_every_number_of_the_findings_stands_in_a_table_beside_them(tmp_path):
    """Of the attempt that passed, not of one before it."""
    sandbox = Bench("wrong", "")
    result = run_task(bench(tmp_path, sandbox, chat(tmp_path, *columns("menopause"))), OBJECTIVE, curves())
    assert [a.level for a in result.attempts] == [2, 3]
    outputs = task_folder(RunStore(tmp_path), curves().id) / "outputs"
    assert [f["value"] for f in result.findings] == [0.02]
    for finding in result.findings:
        assert finding["file"] in result.attempts[-1].outputs
        rows = list(csv.DictReader((outputs / finding["file"]).open()))
        assert float(rows[finding["where"]["row"]][finding["where"]["column"]]) == finding["value"]


def test_a_second_attempt_runs_with_the_repaired_parameters(tmp_path):
    sandbox = Bench("fails", "")
    result = run_task(bench(tmp_path, sandbox, chat(tmp_path, *columns("menopause"))), OBJECTIVE, curves())
    assert [(a.number, a.level, a.origin) for a in result.attempts] == [(1, 0, "operator"), (2, 3, "operator")]
    folder = task_folder(RunStore(tmp_path), curves().id)
    assert "group_column='menopause'" in (folder / "script.py").read_text()
    assert "group_column='grade'" in (folder / "attempt-1.py").read_text()
    assert RunStore(tmp_path).read(folder / "task.json", Task).parameters["group_column"] == "menopause"
    assert "'menopause'" in sandbox.jobs[-1].script  # the checker judges what was run


def test_the_best_attempt_is_published_with_its_own_parameters(tmp_path):
    sandbox = Bench("wrong", "fails", "fails", "fails")
    session = chat(tmp_path, *columns("menopause", "hormone_therapy", "menopause"))
    result = run_task(bench(tmp_path, sandbox, session), OBJECTIVE, curves())
    assert result.level == 2
    folder = task_folder(RunStore(tmp_path), curves().id)
    assert "group_column='grade'" in (folder / "script.py").read_text()
    assert RunStore(tmp_path).read(folder / "task.json", Task).parameters["group_column"] == "grade"
    assert (folder / "outputs" / "log_rank.csv").is_file()


def test_attempts_end_when_nothing_new_is_offered_and_after_the_last_repair(tmp_path):
    same = {"match": "Choose parameters", "reply": {"group_column": "grade", "feature": "none"}}
    one = Bench(*["fails"] * 9)
    assert len(run_task(bench(tmp_path / "a", one, chat(tmp_path, same)), OBJECTIVE, curves()).attempts) == 1
    many = Bench(*["fails"] * 9)
    stubborn = chat(tmp_path, {"match": ".", "reply": code(FREE)}, writes_code=True)
    result = run_task(bench(tmp_path / "b", many, stubborn), OBJECTIVE, curves())
    assert [a.level for a in result.attempts] == [0] * (1 + REPAIRS)
    assert len(many.scripts) == 1 + REPAIRS


def test_free_code_is_run_and_judged_by_the_same_checks(tmp_path):
    sandbox = Bench()
    writer = chat(tmp_path, {"match": "writes one complete", "reply": code(FREE)}, writes_code=True)
    result = run_task(bench(tmp_path, sandbox, writer), OBJECTIVE, curves())
    assert (result.level, result.attempts[0].origin, sandbox.scripts) == (3, "free", [FREE])
    assert {c.check for c in result.attempts[0].checks} >= {"recomputed", "declared inputs were read"}
    assert "log_rank.csv (table): statistic and p recomputed from the data" in writer.chat.seen[0]


def test_free_code_that_makes_up_data_is_refused_and_told_why(tmp_path):
    writer = chat(
        tmp_path,
        {"match": "It failed:.*normal draws random values", "reply": code(FREE)},
        {"match": "writes one complete", "reply": code(MADE_UP)},
        writes_code=True,
    )
    result = run_task(bench(tmp_path, Bench(), writer), OBJECTIVE, curves())
    assert [a.level for a in result.attempts] == [2, 3]
    failed = [c for c in result.attempts[0].checks if not c.passed]
    assert [(c.check, c.detail) for c in failed] == [
        ("the script can be read and makes up no data", "line 4: normal draws random values")
    ]
    assert (task_folder(RunStore(tmp_path), curves().id) / "script.py").read_text() == FREE


@pytest.mark.parametrize("reply", ["print('no JSON')", code("x"), {"plan": "p" * 601, "script": FREE}, {}])
def test_a_model_that_writes_no_code_leaves_the_operator_and_is_counted(tmp_path, reply):
    writer = chat(tmp_path, {"match": ".", "reply": reply}, writes_code=True)
    result = run_task(bench(tmp_path, Bench(), writer), OBJECTIVE, curves())
    assert (result.level, result.attempts[0].origin) == (3, "operator")
    assert writer.log.shares().fallback == 1


def test_a_finished_task_is_read_back_and_a_half_finished_one_runs_again(tmp_path):
    first = run_task(bench(tmp_path, Bench()), OBJECTIVE, curves())
    again = Bench("fails")
    assert run_task(bench(tmp_path, again), OBJECTIVE, curves()) == first
    assert again.jobs == []
    (task_folder(RunStore(tmp_path), curves().id) / "result.json").unlink()
    assert run_task(bench(tmp_path, Bench()), OBJECTIVE, curves()).level == 3


def test_a_task_whose_input_failed_is_skipped_as_a_failure(tmp_path):
    steps = (step(1, "differential_expression"), step(2, "gene_set_enrichment", inputs=("Part 1.1",)))
    _, enrichment = plan_tasks(protocol(*steps), 0)
    assert enrichment.upstream == ("Part 1-dry-experiment-1",)
    assert enrichment.inputs == ("gbsg2", "upstream", "go_bp_2023")
    sandbox = Bench()
    result = run_task(bench(tmp_path, sandbox), OBJECTIVE, enrichment)
    assert (result.level, result.attempts) == (0, ())
    assert "Part 1-dry-experiment-1" in result.skipped
    assert sandbox.jobs == []
    store = RunStore(tmp_path)
    done = TaskResult(task="Part 1-dry-experiment-1", attempts=(), level=3)
    store.write(task_folder(store, done.task) / "result.json", done)
    (task_folder(store, enrichment.id) / "result.json").unlink()
    run_task(bench(tmp_path, sandbox), OBJECTIVE, enrichment)
    assert sandbox.jobs[0].inputs["upstream"] == task_folder(store, done.task) / "outputs"
