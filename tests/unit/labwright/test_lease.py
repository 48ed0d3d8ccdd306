"""The compute lease: one holder on a small machine, given back by the kernel, free on a larger one.

Every test keeps its lock in a cache folder of its own: the machine's real lease may be in use.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from filelock import Timeout

from labwright.lease import EXCLUSIVE_UP_TO_CORES, compute_lease

HOLD = """
import sys
from labwright.lease import compute_lease
print("asks", flush=True)
with compute_lease(cores=int(sys.argv[1])):
    print("holds", flush=True)
    sys.stdin.readline()
"""
TAKE_TURNS = """
import os, sys, time
from labwright.lease import compute_lease
for _ in range(8):
    with compute_lease(cores=2):
        os.close(os.open(sys.argv[1], os.O_CREAT | os.O_EXCL))  # an error when another is inside
        time.sleep(0.02)
        os.unlink(sys.argv[1])
"""
WAIT_IN_A_THREAD = """
import signal
from concurrent.futures import ThreadPoolExecutor
from labwright.lease import compute_lease, stop_waiting

def interrupted(signum, frame):
    stop_waiting()
    raise KeyboardInterrupt

def work():
    try:
        with compute_lease(cores=2):
            print("holds", flush=True)
    except KeyboardInterrupt:
        print("gave up", flush=True)

signal.signal(signal.SIGTERM, interrupted)
try:
    with ThreadPoolExecutor(1) as pool:  # its end waits for the work, as that of the graph's executor does
        wanted = pool.submit(work)
        print("asks", flush=True)
        wanted.result()
except KeyboardInterrupt:
    pass
"""
Child = subprocess.Popen[bytes]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@contextmanager
def process(code: str, *arguments: object) -> Iterator[Child]:
    """Another process; ended with the block."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


def says(child: Child, *, within_s: float = 30) -> str:
    """The next line of the child, empty when it says nothing."""
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], within_s)
    return child.stdout.readline().decode().strip() if ready else ""


@pytest.mark.parametrize("cores", range(1, EXCLUSIVE_UP_TO_CORES + 1))
def test_a_second_process_gives_up_at_its_limit(cores: int) -> None:
    with process(HOLD, cores) as child:
        assert [says(child), says(child)] == ["asks", "holds"]
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"not free within 0\.3 s"), compute_lease(timeout_s=0.3, cores=cores):
            pytest.fail("two hold the lease")
        assert 0.3 <= time.monotonic() - began < 10
        child.communicate(b"\n", timeout=30)
        with compute_lease(timeout_s=0, cores=cores):
            pass


def test_without_a_limit_a_second_process_waits_for_the_first() -> None:
    with ExitStack() as ours:
        ours.enter_context(compute_lease(cores=2))
        with process(HOLD, 2) as child:
            assert says(child) == "asks"
            assert says(child, within_s=0.5) == ""
            ours.close()
            assert says(child) == "holds"


def test_an_interrupt_ends_the_wait_of_another_thread_too() -> None:
    with compute_lease(cores=2), process(WAIT_IN_A_THREAD) as child:
        assert says(child) == "asks"
        child.send_signal(signal.SIGTERM)
        assert says(child) == "gave up"
        assert child.wait(30) == 0


def test_processes_that_take_turns_never_meet(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    with process(TAKE_TURNS, inside) as one, process(TAKE_TURNS, inside) as two:
        assert [one.wait(60), two.wait(60)] == [0, 0]


def test_a_killed_holder_gives_it_back() -> None:
    with process(HOLD, 2) as child:
        assert [says(child), says(child)] == ["asks", "holds"]
        child.send_signal(signal.SIGKILL)
        child.wait(30)
        with compute_lease(timeout_s=0, cores=2):
            pass


def test_more_cores_need_no_lease(cache: Path) -> None:
    with process(HOLD, 2) as child:
        assert [says(child), says(child)] == ["asks", "holds"]
        with compute_lease(timeout_s=0, cores=EXCLUSIVE_UP_TO_CORES + 1):
            pass
    for path in cache.iterdir():
        path.unlink()
    cache.rmdir()
    with compute_lease(cores=EXCLUSIVE_UP_TO_CORES + 1):
        assert not cache.exists()


def test_the_cores_are_those_of_this_machine_unless_said(cache: Path) -> None:
    with compute_lease():
        assert (cache / "compute.lock").exists() == ((os.cpu_count() or 1) <= EXCLUSIVE_UP_TO_CORES)


def test_an_error_of_the_work_passes_and_frees_the_lease() -> None:
    with pytest.raises(ZeroDivisionError), compute_lease(cores=2):
        _ = 1 / 0
    with compute_lease(timeout_s=0, cores=2):
        pass


def test_another_lock_that_is_busy_is_not_taken_for_the_lease(tmp_path: Path) -> None:
    with pytest.raises(Timeout, match=r"other\.lock"), compute_lease(cores=2):
        raise Timeout(str(tmp_path / "other.lock"))
