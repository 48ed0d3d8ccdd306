"""A run is stopped from outside: while it is carried, before it is, and never when it has ended."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from labwright.domain import Objective, RunRecord
from labwright.errors import EngineMissing, WrongUse
from labwright.store import RunStore
from labwright.workflows.control import Options, queue_again, resume
from labwright.workflows.progress import NAME, events
from labwright.workflows.stopping import STOP, ask_to_stop, how_stopped, settle_stop

CHILD = """
import signal, sys, time
from pathlib import Path
from labwright.store import RunStore
from labwright.workflows.progress import told_node
from labwright.workflows.stopping import heeding_stop, how_stopped
def interrupt(*_): raise KeyboardInterrupt
signal.signal(signal.SIGTERM, interrupt)
signal.signal(signal.SIGINT, signal.SIG_IGN)
store = RunStore(Path(sys.argv[1]))
try:
    with store.owned(), heeding_stop(store), told_node(store, "run", ""):
        print("carries", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print(*how_stopped(store), sep="|", flush=True)
"""


def made(runs: Path, status: str) -> RunStore:
    store = RunStore.create(runs)
    store.write_text(store.folder / "config.json", "{}")
    store.save_record(RunRecord(id=store.id, objective=Objective(text="Which genes?"), status=status))
    return store


@pytest.mark.parametrize(
    ("kind", "ended"),
    [
        ("pause", "interrupted|paused by ada: lunch; `labwright resume` goes on"),
        ("cancel", "failed|cancelled by ada: lunch"),
    ],
)
def test_the_process_that_carries_a_run_stops_soon_even_with_its_interrupt_ignored(kind, ended, tmp_path):
    store = made(tmp_path, "running")
    with subprocess.Popen([sys.executable, "-c", CHILD, store.folder], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "carries\n"
        assert store.is_carried()
        asked = time.monotonic()
        ask_to_stop(store, kind, by="ada", reason="lunch")
        assert child.stdout.readline() == f"{ended}\n"
        assert time.monotonic() - asked < 20
    assert not store.is_carried()
    assert [(e.node, e.state) for e in events(store.folder)] == [("run", "begun"), ("run", "failed")]
    assert how_stopped(store)[1].startswith("interrupted;")  # the request was for that time only


def test_a_queued_run_is_stopped_without_a_process(tmp_path):
    store = made(tmp_path, "queued")
    ask_to_stop(store, "pause", by="ada")
    assert (store.record().status, store.record().message[:13]) == ("interrupted", "paused by ada")
    queue_again(store, {})
    ask_to_stop(store, "cancel", reason="wrong question")
    assert (store.record().status, store.record().message) == ("failed", "cancelled: wrong question")


@pytest.mark.parametrize("status", ["done", "failed"])
def test_what_has_ended_is_not_stopped(status, tmp_path):
    store = made(tmp_path, status)
    for kind in ("pause", "cancel"):
        with pytest.raises(WrongUse, match=f"is {status}; there is nothing to {kind}"):
            ask_to_stop(store, kind)
    assert store.record().status == status


def test_a_run_whose_process_died_can_be_cancelled_not_paused(tmp_path):
    store = made(tmp_path, "running")
    with pytest.raises(WrongUse, match="not being worked on"):
        ask_to_stop(store, "pause")
    assert not list(store.folder.glob("stop*"))
    ask_to_stop(store, "cancel")
    assert store.record().status == "failed"


def test_to_look_whether_a_run_is_carried_does_not_take_it(tmp_path):
    store = made(tmp_path, "running")
    assert not store.is_carried()
    with store.owned():
        assert store.is_carried()
        assert store.is_carried()
    with store.owned():
        pass


def test_a_half_written_line_of_progress_is_passed_over(tmp_path):
    (tmp_path / NAME).write_text(
        '{"at": "1", "said": "a"}\nnot json\n["list"]\n{"at": "2", "other": 1}\n{"at": "3", "sa'
    )
    assert [(e.at, e.said) for e in events(tmp_path)] == [("1", "a")]
    assert events(tmp_path / "nowhere") == []


def test_a_run_that_was_paused_before_its_process_came_up_is_left_alone(tmp_path):
    store = made(tmp_path, "queued")
    ask_to_stop(store, "pause", by="ada")
    with pytest.raises(WrongUse, match="is not queued any more; it is interrupted"):
        resume(store, Options(), only_queued=True)
    assert store.record().message.startswith("paused by ada")


def test_a_request_for_a_process_that_has_ended_does_not_stop_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    store = made(tmp_path, "running")
    with store.owned():
        ask_to_stop(store, "pause")
    assert (store.folder / STOP).exists()
    with pytest.raises(EngineMissing):
        resume(store, Options())
    assert not (store.folder / STOP).exists()


def test_a_cancel_is_kept_while_the_process_still_writes_the_report_of_a_run_that_waits(tmp_path):
    store = made(tmp_path, "waiting_for_review")
    with store.owned():
        ask_to_stop(store, "cancel", by="ada")
        assert store.record().message == "cancelled by ada"
        assert not (store.folder / STOP).exists()  # nothing that would interrupt the report
    queue_again(store, {})
    assert store.record().status == "queued"


@pytest.mark.parametrize(
    ("kind", "status", "ends"),
    [
        ("cancel", "interrupted", "failed"),
        ("cancel", "stopped_by_budget", "failed"),
        ("cancel", "done", "done"),
        ("pause", "interrupted", "interrupted"),
    ],
)
def test_what_was_asked_when_the_work_was_over_is_done_once_the_run_is_let_go(kind, status, ends, tmp_path):
    store = made(tmp_path, "running")
    with store.owned():
        ask_to_stop(store, kind, by="ada")
        store.save_record(store.record().model_copy(update={"status": status}))
        settle_stop(store)
        assert (store.folder / STOP).exists()  # whoever carries the run heeds it
    settle_stop(store)
    assert store.record().status == ends
    assert not (store.folder / STOP).exists()
    settle_stop(store)
    assert store.record().status == ends
