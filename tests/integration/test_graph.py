"""The compiled graph on a scripted model; resume after kills; the human gate; the budget."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_run import RULES, materials
from fakes import FakeSandbox

from labwright.domain import Protocol, Report, TaskResult
from labwright.errors import BudgetExhausted, WrongUse
from labwright.eval.suites.run_row import largest_checkpoint
from labwright.models.calls import Budget
from labwright.models.scripted import ScriptedChat
from labwright.models.topla.chat import EnsembleChat
from labwright.models.topla.members import Member
from labwright.tools.evidence import is_verbatim
from labwright.workflows.control import invoke
from labwright.workflows.data import data_folder
from labwright.workflows.edits import accept_edit
from labwright.workflows.materials import Materials

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("graph")]  # one fixture for all
SCRIPT = Path(__file__).with_name("fake_run.py")
KILLS = 20


@pytest.fixture(scope="module", autouse=True)
def _data(sandbox):
    """The data set that the objective needs, converted once by the real sandbox."""
    data_folder("gbsg2", sandbox.run)


def results(folder: Path) -> dict[str, TaskResult]:
    found = [TaskResult.model_validate_json(p.read_text()) for p in (folder / "tasks").glob("*/result.json")]
    return {r.task: r for r in found}


@dataclass(frozen=True)
class Ended:
    """A run that several tests look at."""

    m: Materials
    folder: Path
    status: str
    seconds: float


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> Ended:
    m = materials(folder := tmp_path_factory.mktemp("ended"), delay_s=0.02)
    started = time.monotonic()
    status = invoke(m, review=False)
    return Ended(m, folder, status, time.monotonic() - started)


def test_an_ensemble_plays_every_role_and_the_run_says_who_was_left_out(tmp_path, ended):
    class Gone(ScriptedChat):
        def _generate(self, *args, **kwargs):
            raise RuntimeError("gone")

    members = [Member("a", ScriptedChat(rules=RULES)), Member("b", ScriptedChat(rules=RULES)), Member("c", Gone())]
    m = materials(tmp_path, chat=EnsembleChat(members=members))
    assert invoke(m, review=False) == "done"
    assert m.log.notes() == (*ended.m.log.notes(), "scripted: member c was left out: RuntimeError: gone")
    assert m.log.shares() == ended.m.log.shares()
    assert m.log.totals().prompt_tokens == 2 * ended.m.log.totals().prompt_tokens
    assert {r.level for r in results(tmp_path).values()} == {3}


def test_a_run_ends_in_a_protocol_with_resolved_references_and_verified_tasks(ended):
    m = ended.m
    assert ended.status == "done"
    protocol = m.store.read(ended.folder / "protocol.json", Protocol)
    assert protocol.datasets[0].id == "gbsg2"
    assert protocol.datasets[0].verified
    refs = [r for p in protocol.parts for r in (*p.refs, *(x for s in p.steps for x in s.refs))]
    assert refs
    for ref in refs:
        report = m.store.read(m.store.path("reports", f"{ref.paper}.json"), Report)
        document = m.store.path("papers", f"{ref.paper}.txt").read_text()
        part = next(p for p in report.parts if p.id == ref.part)
        assert set(ref.steps) <= {s.id for s in part.steps}
        assert all(is_verbatim(q, document) for s in part.steps for q in s.quotes)
    assert {r.level for r in results(ended.folder).values()} == {3}
    assert len(results(ended.folder)) == len(protocol.parts)


def test_checkpoints_stay_small(ended):
    assert 0 < largest_checkpoint(ended.folder / "checkpoints.sqlite") < 64


def test_rules_only_asks_no_model(tmp_path):
    m = materials(tmp_path, rules_only=True)
    assert invoke(m, review=False) == "done"
    assert not (tmp_path / "requests.jsonl").exists()
    assert m.log.totals().calls == 0
    assert {r.level for r in results(tmp_path).values()} == {3}


@dataclass
class Runner:
    """fake_run.py: a process that forks a run for each folder, so that it can be killed."""

    process: subprocess.Popen[str]

    def line(self) -> int:
        """What it prints next; a runner that has died fails the test."""
        told = self.process.stdout.readline()
        assert told, "the runner has died; its stderr is in the test's folder"
        return int(told)

    def carry(self, folder: Path, kill_after_s: float | None) -> int:
        """Exit code of the run, which is killed after so long unless it has ended."""
        print(folder, file=self.process.stdin, flush=True)
        child = self.line()
        if kill_after_s is not None and not select.select([self.process.stdout], [], [], kill_after_s)[0]:
            os.kill(child, signal.SIGKILL)
        return self.line()


@pytest.fixture
def runner(tmp_path) -> Iterator[Runner]:
    with (tmp_path / "stderr.txt").open("w+") as errors:
        command = [sys.executable, str(SCRIPT), "0.05"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        with subprocess.Popen(command, text=True, **pipes) as process:
            yield Runner(process)
            process.stdin.close()
            process.wait(timeout=60)


def test_killed_at_random_moments_a_run_repeats_no_finished_call_and_no_finished_task(runner, tmp_path):
    rng = random.Random(7)
    kills = runs = 0
    repeated: list[str] = []
    while kills < KILLS:
        folder = tmp_path / str(runs)
        folder.mkdir()
        runs += 1
        while code := runner.carry(folder, rng.uniform(0.05, 2.5) if kills < KILLS else None):
            assert code == -signal.SIGKILL, (tmp_path / "stderr.txt").read_text()
            kills += 1
        asked = Counter((folder / "requests.jsonl").read_text().splitlines())
        repeated += [line for line, n in asked.items() for _ in range(n - 1)]
        jobs = Counter((folder / "jobs.txt").read_text().splitlines())
        assert {r.level for r in results(folder).values()} == {3}
        # A task that was killed before its result was on disk runs again; nothing else does.
        assert sum(n - 1 for n in jobs.values()) <= 2 * kills
    # Only a reply that was in flight at a kill may be asked for again.
    assert len(repeated) <= kills
    assert kills >= KILLS


def test_the_gate_stops_before_programming_and_an_edit_must_hold_together(tmp_path):
    m = materials(tmp_path)
    assert invoke(m, review=True) == "waiting_for_review"
    assert not results(tmp_path)
    protocol = json.loads((tmp_path / "protocol.json").read_text())
    edited = tmp_path / "edited.json"

    protocol["parts"][0]["refs"] = [{"paper": "nobody1999", "part": "P1", "steps": []}]
    edited.write_text(json.dumps(protocol))
    with pytest.raises(WrongUse, match="no report of 'nobody1999'"):
        accept_edit(m.store, edited)

    protocol["parts"][0]["refs"] = []
    protocol["parts"][0]["steps"][0]["datasets"] = ["gse99999"]
    edited.write_text(json.dumps(protocol))
    with pytest.raises(WrongUse, match="did not verify"):
        accept_edit(m.store, edited)

    protocol["parts"][0]["steps"][0]["datasets"] = ["gbsg2"]
    protocol["parts"][0]["title"] = "A title by a person"
    edited.write_text(json.dumps(protocol))
    assert accept_edit(m.store, edited).version == 2
    assert invoke(materials(tmp_path), review=False) == "done"
    assert m.store.read(tmp_path / "protocol.json", Protocol).parts[0].title == "A title by a person"


def test_a_used_up_budget_stops_the_run_and_a_larger_one_carries_it_on(tmp_path):
    with pytest.raises(BudgetExhausted):
        invoke(materials(tmp_path, budget=Budget(tokens=900)), review=False)
    assert list((tmp_path / "papers").iterdir()) or (tmp_path / "calls.sqlite").exists()
    assert invoke(materials(tmp_path), review=False) == "done"


def test_a_failed_script_is_repaired_or_shown_as_failed(tmp_path):
    sandbox = FakeSandbox(fail=50)
    assert invoke(materials(tmp_path, sandbox=sandbox), review=False) == "done"
    ended = results(tmp_path)
    assert {r.level for r in ended.values()} == {0}
    assert all("no such column" in r.attempts[0].error for r in ended.values() if r.attempts)
    assert all(not r.findings for r in ended.values())


def test_time_outside_model_and_sandbox_is_counted(ended):
    assert 0 < ended.m.log.spent("kind")["model"] < ended.seconds
    assert set(ended.m.log.spent("stage")) == {"search", "literature", "design", "programming"}
