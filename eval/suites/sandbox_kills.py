"""Ordinary jobs, some of them killed at random with their client, and what is left after the next start."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from labwright.errors import SandboxBroken
from labwright.eval.suites.run import Say
from labwright.sandbox.attacks.leftovers import leftovers
from labwright.sandbox.connect import queue_for
from labwright.sandbox.contract import Job, Limits
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.owner import Owner, start_of, sweep

LIMITS = Limits(wall_s=60.0, memory_mib=256, pids=32, cpus=1.0, out_mib=4, out_files=4, file_mib=4)
SCRIPT = "import time\ntime.sleep({seconds})\nopen('result.csv', 'w').write('a,b\\n1,2\\n')\nprint('done')\n"
CLIENT = """\
import sys
from pathlib import Path
from labwright.eval.suites.sandbox_kills import LIMITS, SCRIPT
from labwright.sandbox.connect import connect_engine
from labwright.sandbox.contract import Job

sandbox = connect_engine(sys.argv[2])
print("connected", flush=True)
sandbox.run(Job(script=SCRIPT.format(seconds=0.5), limits=LIMITS, run_id="killed"), Path(sys.argv[1]))
"""
"""A labwright of its own; its job takes about a second, and it is killed within that second."""
LONGEST_S = 1.0
CLIENT_S = 60.0


def measure(sandbox: DockerSandbox, jobs: int, kills: int, say: Say, seed: int = 0) -> dict[str, Any]:
    """Run jobs and kill some of them with their client at random moments.

    Returns:
        jobs, kills, failed (jobs that were not killed and did not succeed), killed_at_s, found (left by the killed
        clients before the next start) and left (after it), with seconds from the last kill to a container without
        its process as ended_by_itself_s.

    Raises:
        SandboxBroken: a client did not get as far as its job.
    """
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    killed_at = [round(rng.uniform(0.0, LONGEST_S), 3) for _ in range(kills)]
    owners = []
    with tempfile.TemporaryDirectory() as scratch:
        say(f"{jobs - kills} ordinary jobs")
        failed = _ordinary(sandbox, jobs - kills, Path(scratch))
        for number, moment in enumerate(killed_at):
            say(f"client {number + 1} of {kills} is killed after {moment:.2f} s of its job")
            owners.append(_killed(sandbox, Path(scratch) / f"killed-{number}", moment))
    owners.append(str(Owner.current()))
    ended = _seconds_to_end(sandbox, owners)
    found = leftovers(sandbox, owners)
    with closing(sandbox.address.client()) as client:
        sweep(client, sandbox.staging)
    left = leftovers(sandbox, owners)
    return {"jobs": jobs, "kills": kills, "failed": failed, "killed_at_s": killed_at, "found": found,
            "processes_end_s": ended, "left": left}  # fmt: skip


def _ordinary(sandbox: DockerSandbox, count: int, scratch: Path) -> int:
    """How many of so many jobs did not succeed."""
    job = Job(script=SCRIPT.format(seconds=0.0), limits=LIMITS, run_id="ordinary")
    with queue_for(sandbox) as queue:
        coming = [queue.submit(job, scratch / f"job-{number}") for number in range(count)]
        return sum(not future.result().ok for future in coming)


def _killed(sandbox: DockerSandbox, out: Path, moment: float) -> str:
    """Start a client, kill it so many seconds into its job; the owner of what it left."""
    command = [sys.executable, "-c", CLIENT, str(out), sandbox.engine.runtime]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None  # noqa: S101 - asked for above
        if client.stdout.readline() != "connected\n":
            raise SandboxBroken("a client of the benchmark could not connect to the sandbox")
        here = Owner.current()
        owner = Owner(client.pid, start_of(client.pid) or 0, here.boot, here.namespace)
        time.sleep(moment)
        client.send_signal(signal.SIGKILL)
    return str(owner)


def _seconds_to_end(sandbox: DockerSandbox, owners: list[str]) -> float | None:
    """Seconds until no process of the killed clients' jobs is left, without any sweep; None when some stay."""
    begin = time.monotonic()
    while time.monotonic() - begin < CLIENT_S:
        if not leftovers(sandbox, owners)["processes"]:
            return round(time.monotonic() - begin, 3)
        time.sleep(0.1)
    return None
