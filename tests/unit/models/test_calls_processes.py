"""The call log under threads, processes, a kill -9 and a full disk."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labwright.domain import Call
from labwright.errors import DiskFull, RunFailed
from labwright.models.calls import CallLog

WRITER = """
import sys
from labwright.domain import Call
from labwright.models.calls import CallLog

name, count = sys.argv[2], int(sys.argv[3])
log = CallLog(sys.argv[1])
for i in range(count):
    call = Call(role="r", prompt="p", prompt_hash="h", backend="b", kind="ask", decided_by="model", generated_tokens=1)
    log.add(f"{name}{i}", call, {"text": "x" * 20_000, "i": i})
    log.decide(f"{name}{i}", "model")
    print(i, flush=True)
"""
CALL = Call(role="r", prompt="p", prompt_hash="h", backend="b", kind="ask", decided_by="model", generated_tokens=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


def test_threads_share_one_log(path: Path) -> None:
    log = CallLog(path)
    failed: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for i in range(25):
                log.add(f"{name}-{i}", CALL, {"i": i})
                log.spend("", "model", 0.5)
                assert log.find(f"{name}-{i}") is not None
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert (log.totals().calls, log.spent("kind")) == (200, {"model": 100.0})


def _writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_open_a_new_log_together_lose_nothing(path: Path) -> None:
    writers = [_writer(path, name, 30) for name in "abc"]
    for writer in writers:
        assert writer.communicate(timeout=120)[1] == ""
    assert CallLog(path).totals().calls == 90
    assert CallLog(path).shares().model == 90


@pytest.mark.parametrize("after", [1, 7, 23])
def test_a_kill_in_the_middle_of_writing_leaves_every_recorded_call(path: Path, after: int) -> None:
    writer = _writer(path, "k", 1_000_000)
    assert writer.stdout is not None
    for _ in range(after):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    said = after + len(writer.communicate(timeout=60)[0].splitlines())
    log = CallLog(path)
    assert said <= log.totals().calls <= said + 2
    assert all(log.find(f"k{i}")[1]["i"] == i for i in range(said))
    assert sqlite3.connect(path).execute("pragma integrity_check").fetchone() == ("ok",)
    log.add("next", CALL, {})


def test_a_log_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=r"cannot write .*gone/calls\.sqlite.*labwright resume"):
        CallLog(tmp_path / "gone" / "calls.sqlite")
    (tmp_path / "junk").write_bytes(b"not a database " * 500)
    with pytest.raises(RunFailed, match=r"junk: file is not a database; move it away"):
        CallLog(tmp_path / "junk")


def test_a_full_disk_is_said_and_what_was_written_stays(path: Path) -> None:
    """A page limit on the file is what sqlite also reports when the disk is full."""
    log = CallLog(path)
    log.add("small", CALL, {})
    log._db.execute(f"pragma max_page_count={log._db.execute('pragma page_count').fetchone()[0] + 2}")
    with pytest.raises(DiskFull, match=r"calls\.sqlite: .*full; make room, then `labwright resume`"):
        log.add("large", CALL, {"text": "x" * 1_000_000})
    log.close()
    assert CallLog(path).find("small") is not None
    assert CallLog(path).find("large") is None
