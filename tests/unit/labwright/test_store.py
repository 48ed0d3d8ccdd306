"""The run folder: atomic, opened by the start of an id, and damaged files are one clear line.

The troubles are real ones: a process is killed at its rename, /dev/full has no room, the kernel refuses.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import Timeout

from labwright.domain import Objective, RunRecord
from labwright.errors import DiskFull, RunFailed, WrongUse
from labwright.store import RunStore, file_name, list_runs

KILLED_AT_RENAME = """
import os, signal, sys
from pathlib import Path
from labwright.store import RunStore
sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGKILL) if event == "os.rename" else None)
store = RunStore(Path(sys.argv[1]))
store.save_record(store.record().model_copy(update={"status": "done"}))
"""
HOLD = """
import sys
from pathlib import Path
from labwright.store import RunStore
with RunStore(Path(sys.argv[1])).owned():
    print("held", flush=True)
    sys.stdin.read()
"""
REWRITE = """
import sys
from pathlib import Path
from labwright.store import RunStore
store = RunStore(Path(sys.argv[1]))
for n in range(300):
    store.save_record(store.record().model_copy(update={"message": str(n) * 5000}))
"""


def made(runs: Path) -> RunStore:
    store = RunStore.create(runs)
    store.save_record(RunRecord(id=store.id, objective=Objective(text="Which genes matter?"), status="running"))
    return store


@contextmanager
def without_rights() -> Iterator[None]:
    """The kernel refuses what root alone may do."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_what_is_written_is_read_back(tmp_path):
    store = made(tmp_path)
    assert RunStore.open(tmp_path, store.id).record().objective.text == "Which genes matter?"
    assert RunStore.open(tmp_path, store.id[:17]).id == store.id
    assert RunStore.open(tmp_path / "elsewhere", str(store.folder)).id == store.id


def test_a_start_that_fits_two_runs_or_none_is_refused(tmp_path):
    made(tmp_path)
    made(tmp_path)
    with pytest.raises(WrongUse, match="2 runs named '2'"):
        RunStore.open(tmp_path, "2")
    for name in ("nothing", "", "*", "x" * 5000, "a\x00b"):
        with pytest.raises(WrongUse, match="no run named"):
            RunStore.open(tmp_path, name)


def test_a_whole_id_is_that_run_though_a_copy_of_it_lies_beside(tmp_path):
    store = made(tmp_path)
    (tmp_path / f"{store.id}-copy").mkdir()
    (tmp_path / f"{store.id}-copy" / "record.json").write_text("{}")
    assert RunStore.open(tmp_path, store.id).folder == store.folder


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "a/b", "a\x00b", "x" * 300, ""])
def test_no_name_leads_out_of_the_folder(name, tmp_path):
    store = made(tmp_path)
    path = store.path("papers", name)
    assert path.parent == store.folder / "papers"
    assert path.name not in ("", ".", "..")
    assert len(file_name(name)) <= 80


def test_a_kill_between_write_and_rename_leaves_the_old_document(tmp_path):
    store = made(tmp_path)
    before = (store.folder / "record.json").read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED_AT_RENAME, str(store.folder)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    [scratch] = store.folder.glob(".record.json.*.tmp")
    assert RunRecord.model_validate_json(scratch.read_text()).status == "done"  # it was killed late enough
    assert (store.folder / "record.json").read_bytes() == before
    assert [record.status for record in list_runs(tmp_path)] == ["running"]


def test_a_reader_never_sees_half_a_document(tmp_path):
    store = made(tmp_path)
    with subprocess.Popen([sys.executable, "-c", REWRITE, str(store.folder)]) as writer:
        seen = set()
        while writer.poll() is None:
            seen.add(store.record().message[:1])
    assert writer.returncode == 0
    assert len(seen) > 1
    assert store.record().message == "299" * 5000


def test_a_full_disk_leaves_the_old_document_and_no_scraps(tmp_path):
    store = made(tmp_path)
    path = store.folder / "analyses.json"
    store.write(path, {"a": 1})
    (store.folder / f".analyses.json.{os.getpid()}-{threading.get_ident()}.tmp").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match=r"analyses\.json: No space left on device; make room"):
        store.write(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(store.folder.glob(".*.tmp")) == []


@pytest.mark.parametrize(
    "work",
    [
        lambda store: store.write(store.folder / "x.json", {}),
        lambda store: store.owned().__enter__(),
        lambda store: RunStore.create(store.folder),
    ],
)
def test_a_folder_that_cannot_be_written_is_one_line_without_talk_of_room(work: Callable[[RunStore], None], tmp_path):
    store = made(tmp_path)
    store.folder.chmod(0o555)
    with pytest.raises(DiskFull, match="Permission denied; use a folder that can be written"), without_rights():
        work(store)


def test_runs_cannot_be_kept_in_a_file(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(DiskFull, match="Not a directory"):
        RunStore.create(tmp_path / "runs")


def test_other_troubles_of_the_disk_are_not_called_full(tmp_path):
    store = made(tmp_path)
    (store.folder / "taken.txt").mkdir()
    with pytest.raises(IsADirectoryError):
        store.write_text(store.folder / "taken.txt", "x")
    assert list(store.folder.glob(".*.tmp")) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 1}', "\xff"])
def test_a_damaged_record_is_one_line_and_no_other_run_is_hidden(text, tmp_path):
    good, bad, worse = made(tmp_path), made(tmp_path), RunStore.create(tmp_path)
    (bad.folder / "record.json").write_bytes(text.encode("latin-1"))
    (worse.folder / "record.json").mkdir()
    for store in (bad, worse):
        with pytest.raises(RunFailed, match=r"record\.json") as failed:
            store.record()
        assert "\n" not in str(failed.value)
        assert len(str(failed.value)) < 400
    assert [record.id for record in list_runs(tmp_path)] == [good.id]


@pytest.mark.parametrize("ending", ["its end", "a kill"])
def test_a_run_is_worked_on_by_one_process(ending, tmp_path):
    store = made(tmp_path)
    command = [sys.executable, "-c", HOLD, str(store.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(WrongUse, match="worked on by another process"), store.owned():
            pytest.fail("two own the run")
        if ending == "a kill":
            other.kill()
        other.communicate(timeout=20)
    with store.owned():
        pass


def test_another_lock_that_is_busy_is_not_taken_for_the_run(tmp_path):
    with pytest.raises(Timeout, match=r"other\.lock"), made(tmp_path).owned():
        raise Timeout(str(tmp_path / "other.lock"))
