"""Jobs that are stopped: by an event, by Ctrl-C, by the death of labwright."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from labwright.eval.suites import sandbox_kills
from labwright.sandbox.attacks.leftovers import leftovers
from labwright.sandbox.contract import Job, Limits
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.owner import Owner, start_of
from labwright.sandbox.queue import JobQueue

pytestmark = [pytest.mark.docker, pytest.mark.alone]
LIMITS = Limits(wall_s=60, memory_mib=256, cpus=1, out_mib=4, out_files=4)
SLEEP = Job(script="import time\nprint('started', flush=True)\ntime.sleep(60)\n", limits=LIMITS)


def test_a_job_is_stopped_by_its_event(sandbox: DockerSandbox, tmp_path: Path) -> None:
    stop = threading.Event()
    timer = threading.Timer(1.5, stop.set)
    timer.start()
    result = sandbox.run(SLEEP, tmp_path / "out", stop=stop)
    timer.join()
    assert (result.cause, result.exit_code, result.outputs, result.stdout) == ("stopped", None, (), "started\n")
    assert result.total_s < 20
    assert not any(leftovers(sandbox).values())


def test_an_error_in_the_block_of_a_queue_stops_everything(sandbox: DockerSandbox, tmp_path: Path) -> None:
    coming = []

    def interrupted() -> None:
        with JobQueue(sandbox, cores=2, memory_mib=4096) as queue:
            coming.extend(queue.submit(SLEEP, tmp_path / str(n)) for n in range(4))
            time.sleep(1.0)
            raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - begin < 30
    for future in coming:
        with pytest.raises(CancelledError):
            future.result(timeout=0)
    assert not any(leftovers(sandbox).values())


def test_ctrl_c_ends_the_command_and_cleans_up(sandbox: DockerSandbox, tmp_path: Path) -> None:
    (tmp_path / "sleep.py").write_text(SLEEP.script)
    command = [sys.executable, "-m", "labwright.cli", "sandbox", "exec", "sleep.py"]
    child = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    here = Owner.current()
    owner = str(Owner(child.pid, start_of(child.pid) or 0, here.boot, here.namespace))
    deadline = time.monotonic() + 60
    while not leftovers(sandbox, (owner,))["processes"] and time.monotonic() < deadline:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert not any(leftovers(sandbox, (owner,)).values())


def test_the_processes_of_a_killed_client_end_without_a_sweep(sandbox: DockerSandbox, tmp_path: Path) -> None:
    told = sandbox_kills.measure(sandbox, 4, 2, lambda _: None, seed=3)
    assert (told["failed"], told["kills"]) == (0, 2)
    assert told["processes_end_s"] is not None
    assert told["processes_end_s"] < 10
    assert not any(told["left"].values())
