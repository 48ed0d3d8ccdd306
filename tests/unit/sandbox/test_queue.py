"""The order and the bounds of the queue, on a sandbox that waits to be told."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import SandboxBroken
from labwright.sandbox.contract import Job, Limits, Result
from labwright.sandbox.queue import JobQueue

OUT = Path("unused")


class Gated:
    """Notes what starts; each job ends when it is let go, or when it is stopped."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self.most = 0
        self._running = 0
        self._lock = threading.Lock()

    def run(self, job: Job, out_dir: Path, *, stop: threading.Event | None = None) -> Result:
        with self._lock:
            self.started.append(job.script)
            self._running += 1
            self.most = max(self.most, self._running)
            gate = self.gates.setdefault(job.script, threading.Event())
        if job.script == "broken":
            raise SandboxBroken("the engine went away")
        while not gate.wait(0.005):
            if stop is not None and stop.is_set():
                break
        with self._lock:
            self._running -= 1
        stopped = stop is not None and stop.is_set()
        return Result(
            cause="stopped" if stopped else "exit", exit_code=0, stdout=job.script, stderr="", outputs=(),
            inputs_read=(), duration_s=0, total_s=0, peak_memory_mib=None, image_id="",
        )  # fmt: skip

    def policy(self) -> dict[str, Any]:
        return {}

    def let_go(self, name: str) -> None:
        until(lambda: name in self.gates)
        self.gates[name].set()


def until(true: Any) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.002)


def job(name: str, run_id: str = "", cpus: float = 1.0, memory_mib: int = 100) -> Job:
    return Job(script=name, run_id=run_id, limits=Limits(cpus=cpus, memory_mib=memory_mib))


def test_runs_take_turns_each_in_its_own_order() -> None:
    sandbox = Gated()
    with JobQueue(sandbox, cores=1, memory_mib=1000) as queue:
        lined_up = [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")]
        coming = [queue.submit(job(name, run), OUT) for name, run in lined_up]
        for name in ("a1", "a2", "b1", "c1", "a3", "b2"):
            sandbox.let_go(name)
        assert [future.result(10).stdout for future in coming] == ["a1", "a2", "a3", "b1", "b2", "c1"]
    # a1 found the machine free; then a, b and c in turn
    assert sandbox.started == ["a1", "a2", "b1", "c1", "a3", "b2"]
    assert sandbox.most == 1


@pytest.mark.parametrize(("needs", "at_once"), [({"cpus": 1.0}, 4), ({"cpus": 2.0}, 2), ({"memory_mib": 400}, 2)])
def test_cores_and_memory_bound_what_runs_at_once(needs: dict[str, Any], at_once: int) -> None:
    sandbox = Gated()
    with JobQueue(sandbox, cores=4, memory_mib=1000) as queue:
        for number in range(6):
            queue.submit(job(str(number), **needs), OUT)
        until(lambda: len(sandbox.started) == at_once)
        for number in range(6):
            sandbox.let_go(str(number))
    assert (sandbox.most, len(sandbox.started)) == (at_once, 6)


def test_a_large_job_is_not_overtaken_and_one_larger_than_the_machine_runs_alone() -> None:
    sandbox = Gated()
    with JobQueue(sandbox, cores=2, memory_mib=1000) as queue:
        queue.submit(job("small", "a"), OUT)
        queue.submit(job("huge", "b", memory_mib=5000), OUT)
        queue.submit(job("late", "c"), OUT)
        until(lambda: sandbox.started == ["small"])
        time.sleep(0.05)
        assert sandbox.started == ["small"]
        sandbox.let_go("small")
        until(lambda: sandbox.started == ["small", "huge"])
        sandbox.let_go("huge")
        sandbox.let_go("late")
    assert (sandbox.started, sandbox.most) == (["small", "huge", "late"], 1)


def test_a_sandbox_that_breaks_says_so_to_the_one_who_waits_and_the_queue_goes_on() -> None:
    sandbox = Gated()
    with JobQueue(sandbox, cores=1, memory_mib=1000) as queue:
        broken, after = queue.submit(job("broken"), OUT), queue.submit(job("after"), OUT)
        with pytest.raises(SandboxBroken, match="went away"):
            broken.result(10)
        sandbox.let_go("after")
        assert after.result(10).stdout == "after"


def test_stopping_kills_what_runs_and_cancels_what_waits() -> None:
    sandbox = Gated()
    queue = JobQueue(sandbox, cores=1, memory_mib=1000)
    coming = [queue.submit(job(name), OUT) for name in ("one", "two")]
    until(lambda: sandbox.started == ["one"])
    queue.stop()
    for future in coming:
        with pytest.raises(CancelledError):
            future.result(timeout=0)
    assert sandbox.started == ["one"]
