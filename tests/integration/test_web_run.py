"""A run from the form to the report, through a server that is killed on the way; no run and no word is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fake_run import RULES, TEXT

from labwright.store import RunStore
from labwright.workflows.data import data_folder
from labwright.workflows.interventions import interventions
from labwright.workflows.progress import events

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("graph")]
SCRIPT = Path(__file__).with_name("fake_web.py")
CONFIG = """
[backends.s]
kind = "scripted"
script = "{script}"
[literature]
helpfulness = 1.0
candidates = 4
keep = 2
"""


@pytest.fixture(scope="module", autouse=True)
def _data(sandbox):
    """The data set that the objective needs, converted once by the real sandbox."""
    data_folder("gbsg2", sandbox.run)


class Page:
    """A server, started again where it was, and the owner's session."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.config, self.port = folder / "runs", folder / "labwright.toml", 0
        self.client: httpx.Client | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(SCRIPT), "serve", str(self.runs), str(self.config), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        found = re.match(r"(http://127\.0\.0\.1:(\d+))(/\S+)", self.process.stdout.readline())
        assert found, "the server did not start"
        if self.client is None:
            self.port = int(found[2])
            self.client = httpx.Client(base_url=found[1], timeout=60)
            assert self.client.get(found[3]).status_code == 303
            self.client.headers["x-csrf-token"] = self.client.get("/api/session").json()["csrf"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def post(self, path: str, **document) -> dict:
        answer = self.client.post(path, json=document)
        assert answer.is_success, answer.text
        return answer.json()

    def until(self, run: str, status: str, within_s: float = 240.0) -> dict:
        """The run's document once it has that status, or another one that it stays in."""
        over = {status, "done", "failed", "interrupted", "stopped_by_budget"}
        seen = self.waits(lambda: self.client.get(f"/api/runs/{run}").json(), lambda d: d["status"] in over, within_s)
        assert seen["status"] == status, seen
        return seen

    @staticmethod
    def waits(look: Callable, good: Callable, within_s: float = 240.0):
        end = time.monotonic() + within_s
        while not good(seen := look()):
            assert time.monotonic() < end, seen
            time.sleep(0.2)
        return seen


@pytest.fixture
def page(tmp_path) -> Iterator[Page]:
    script = {"rules": RULES, "delay_s": 0.05, "log_path": str(tmp_path / "requests.jsonl")}
    (tmp_path / "script.json").write_text(json.dumps(script))
    (tmp_path / "labwright.toml").write_text(CONFIG.format(script=tmp_path / "script.json"))
    page = Page(tmp_path)
    yield page
    page.process.send_signal(signal.SIGINT)
    page.process.wait(timeout=30)


def test_from_the_form_through_review_to_the_report_while_servers_die(page):
    run = page.post("/api/runs", objective=TEXT, review=True)["id"]
    store = RunStore(page.runs / run)
    page.waits(store.is_carried, bool)
    page.kill()
    assert store.is_carried()  # the run does not die with the server
    page.start()
    page.until(run, "waiting_for_review")
    first = page.client.get(f"/api/runs/{run}/protocol").json()

    page.post(f"/api/runs/{run}/comments", text="compare by grade, please", part=first["parts"][0]["id"])
    page.post(f"/api/runs/{run}/review", decision="send_back", reason="compare by grade", version=1)
    page.kill()  # the decision was confirmed: it is carried out by whichever server comes next
    page.start()
    page.waits(
        lambda: (store.record().status, len(list(store.folder.glob("sent.back")))),
        lambda s: s == ("waiting_for_review", 0),
    )
    second = page.client.get(f"/api/runs/{run}/protocol").json()
    assert second["version"] == 2
    asked = [
        line for line in (page.runs.parent / "requests.jsonl").read_text().splitlines() if "compare by grade" in line
    ]
    assert len(asked) > 2  # the reasons stood before the model's eyes

    page.post(f"/api/runs/{run}/cancel")
    page.post(f"/api/runs/{run}/resume")  # to cancel and to resume is no approval
    page.until(run, "waiting_for_review")
    assert not list(store.folder.glob("tasks/*"))

    second["parts"][0]["title"] = "A title by a person"
    assert page.client.put(f"/api/runs/{run}/protocol", json=second).json()["version"] == 3
    page.post(f"/api/runs/{run}/review", decision="approve", version=3)
    done = page.until(run, "done")
    assert set(done["tasks"].values()) == {3}
    assert [(a.kind, a.by, a.version) for a in interventions(store)] == [
        ("send_back", "ada", 1), ("edit", "ada", 3), ("approve", "ada", 3)
    ]  # fmt: skip
    page.waits(store.is_carried, lambda carried: not carried)  # the report is written after the record
    assert "A title by a person" in page.client.get(f"/runs/{run}/report.html").text
    assert "compare by grade, please" in page.client.get(f"/runs/{run}/history").text
    told = [(e.node, e.state) for e in events(store.folder)]
    assert told.count(("plan", "ended")) == 2
    assert told.count(("find_papers", "ended")) == 1


def test_a_run_is_paused_resumed_and_cancelled_and_a_dead_one_is_not_orphaned(page):
    run = page.post("/api/runs", objective=TEXT, review=False)["id"]
    store = RunStore(page.runs / run)
    page.waits(store.is_carried, bool)
    page.post(f"/api/runs/{run}/pause", reason="lunch")
    assert page.until(run, "interrupted")["message"].startswith("paused by ada: lunch")
    page.post(f"/api/runs/{run}/resume")  # at once: the process that was paused may still write its report
    page.until(run, "running")
    [child] = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and carries(p, store)]
    os.kill(child, signal.SIGKILL)
    assert "ended without a word" in page.until(run, "interrupted")["message"]
    page.post(f"/api/runs/{run}/resume")
    assert set(page.until(run, "done")["tasks"].values()) == {3}
    assert page.client.post(f"/api/runs/{run}/cancel", json={}).status_code == 400


def carries(process: Path, store: RunStore) -> bool:
    try:
        return str(store.folder).encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False
