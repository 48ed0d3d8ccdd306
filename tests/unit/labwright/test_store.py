"""The run folder: atomic, opened by the start of an id, and damaged files are one clear line."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from labwright.domain import Objective, RunRecord
from labwright.errors import DiskFull, RunFailed, WrongUse
from labwright.store import RunStore, file_name, list_runs


def made(runs: Path) -> RunStore:
    store = RunStore.create(runs)
    store.save_record(RunRecord(id=store.id, objective=Objective(text="Which genes matter?"), status="running"))
    return store


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
    with pytest.raises(WrongUse, match="no run named 'nothing'"):
        RunStore.open(tmp_path, "nothing")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "a/b", "a\x00b", "x" * 300])
def test_no_name_leads_out_of_the_folder(name, tmp_path):
    store = made(tmp_path)
    path = store.path("papers", name)
    assert path.parent == store.folder / "papers"
    assert path.name not in ("", ".", "..")
    assert len(file_name(name)) <= 80


def test_a_write_that_dies_half_way_leaves_the_old_document(tmp_path, monkeypatch):
    store = made(tmp_path)
    path = store.folder / "analyses.json"
    store.write(path, {"a": 1})

    def broken(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(DiskFull, match=r"analyses\.json"):
        store.write(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in store.folder.iterdir() if p.name.endswith(".tmp")] == []


def test_other_troubles_of_the_disk_are_not_called_full(tmp_path, monkeypatch):
    store = made(tmp_path)

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "write_text", broken)
    with pytest.raises(OSError, match="Input/output error"):
        store.write_text(store.folder / "x.txt", "x")


@pytest.mark.parametrize("text", ["{", "[]", '{"id": 1}', "\xff"])
def test_a_damaged_record_is_one_line_and_no_other_run_is_hidden(text, tmp_path):
    good, bad = made(tmp_path), made(tmp_path)
    (bad.folder / "record.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunFailed, match=r"record\.json") as failed:
        bad.record()
    assert "\n" not in str(failed.value)
    assert [record.id for record in list_runs(tmp_path)] == [good.id]


HOLD = """
import sys
from pathlib import Path
from labwright.store import RunStore
with RunStore(Path(sys.argv[1])).owned():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_is_worked_on_by_one_process(tmp_path):
    store = made(tmp_path)
    command = [sys.executable, "-c", HOLD, str(store.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(WrongUse, match="worked on by another process"), store.owned():
            pass
        other.communicate("", timeout=20)
    with store.owned():
        pass
