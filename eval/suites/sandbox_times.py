"""The sandbox's times beside a bare `docker run` of the same image, taken in turn, and the memory of its containers."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from labwright.errors import EngineMissing, SandboxBroken
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import Say
from labwright.sandbox.container import JobContainer
from labwright.sandbox.contract import Job, Limits, Result
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.pool import WarmPool

LIMITS = Limits(cpus=1.0, memory_mib=1024)
PLAIN = "print('first', flush=True)\nopen('/out/result.csv', 'w').write('a,b\\n1,2\\n')\n"
IMPORTS = "import pandas, scipy.stats\n" + PLAIN
PAIRS = 20
WIDTHS = (1, 2, 4)
THROUGHPUT_JOBS = 24
ROUNDS = 3
FILL_S = 120.0


def measure(sandbox: DockerSandbox, rows: Rows, *, quick: bool, say: Say) -> None:
    """Add the rows of times, throughput and memory.

    Raises:
        EngineMissing: there is no `docker` command.
    """
    if shutil.which("docker") is None:
        raise EngineMissing("there is no `docker` command to compare with; install Docker's command line client")
    _pairs(sandbox, rows, 3 if quick else PAIRS, say)
    widths = WIDTHS[-1:] if quick else WIDTHS
    for number in range(1 if quick else ROUNDS):
        for width in widths:
            say(f"jobs per second, {width} at once, round {number + 1}")
            rows.add("throughput", f"{width}:{number}", _throughput(sandbox, width, 8 if quick else THROUGHPUT_JOBS))
    say("memory of containers")
    rows.add("memory", "containers", _memory(sandbox))


class Bench:
    """Runs one script in each of the ways that are compared; every run has an output folder of its own."""

    def __init__(self, sandbox: DockerSandbox, scratch: Path) -> None:
        self._sandbox = sandbox
        self._scratch = scratch
        self._count = 0

    def folder(self) -> Path:
        """A new folder for outputs."""
        return Path(tempfile.mkdtemp(dir=self._scratch))

    def bare(self, script: str) -> dict[str, float]:
        """`docker run` with the script and the output folder mounted: seconds to the first output and to its end."""
        folder = self.folder()
        folder.chmod(0o777)
        (folder / "script.py").write_text(script, encoding="utf-8")
        command = ["docker", "--host", self._sandbox.address.url, "run", "--rm", "--network", "none",
                   "--volume", f"{folder}:/out", self._sandbox.image.id, "python3", "/out/script.py"]  # fmt: skip
        begin = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None  # noqa: S101 - asked for above
            assert client.stderr is not None  # noqa: S101 - asked for above
            line = client.stdout.readline()
            first = time.perf_counter() - begin
            said = client.stderr.read()
        if line != "first\n" or not (folder / "result.csv").is_file():
            raise SandboxBroken(f"a bare `docker run` failed: {said.strip()[-300:]}")
        return {"first_s": round(first, 4), "total_s": round(time.perf_counter() - begin, 4)}

    def cold(self, script: str) -> dict[str, float]:
        """A new container of ours."""
        return _told(self._sandbox.run(Job(script=script, limits=LIMITS), self.folder()))

    def warm(self, pool: WarmPool, script: str) -> dict[str, float]:
        """A waiting container of ours."""
        before = pool.served
        told = _told(pool.run(Job(script=script, limits=LIMITS), self.folder()))
        if pool.served != before + 1:
            raise SandboxBroken("the job found no warm container though one waited")
        return told


def _told(result: Result) -> dict[str, float]:
    if not result.ok or result.first_output_s is None or not result.outputs:
        raise SandboxBroken(f"a job of the benchmark failed ({result.cause}): {result.stderr.strip()[-300:]}")
    return {"first_s": result.first_output_s, "total_s": result.total_s}


@contextmanager
def _bench(sandbox: DockerSandbox) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as scratch:
        yield Bench(sandbox, Path(scratch))


def _pairs(sandbox: DockerSandbox, rows: Rows, pairs: int, say: Say) -> None:
    timing = Lock()  # nothing is warmed while something is timed
    with _bench(sandbox) as bench, WarmPool(sandbox, LIMITS, 1, lease=lambda: timing) as pool:
        for name, script in (("plain", PLAIN), ("imports", IMPORTS)):
            for number in range(-1, pairs):  # the first is not counted: caches
                say(f"{name}: {number + 1} of {pairs}")
                if not pool.wait_full(FILL_S):
                    raise SandboxBroken("the warm pool did not fill")
                with timing:
                    bare, cold, warm = bench.bare(script), bench.cold(script), bench.warm(pool, script)
                if number >= 0:
                    rows.add("pair", f"{name}:{number}", {"script": name, "bare": bare, "cold": cold, "warm": warm})


def _throughput(sandbox: DockerSandbox, width: int, jobs: int) -> dict[str, float]:
    with _bench(sandbox) as bench:
        return {"jobs": jobs, "width": width, "bare_per_s": _rate(bench.bare, width, jobs),
                "ours_per_s": _rate(bench.cold, width, jobs)}  # fmt: skip


def _rate(run: Callable[[str], Any], width: int, jobs: int) -> float:
    begin = time.perf_counter()
    with ThreadPoolExecutor(width) as pool:
        list(pool.map(run, [PLAIN] * jobs))
    return round(jobs / (time.perf_counter() - begin), 3)


def _memory(sandbox: DockerSandbox) -> dict[str, float | None]:
    """MiB of a container that waits, of one that waits with the stack imported, and the peak of one that works."""
    found: dict[str, float | None] = {}
    for name, warm in (("waiting_mib", False), ("waiting_imported_mib", True)):
        with sandbox.container(LIMITS, "memory", warm=warm) as container:
            found[name] = _used(container)
    with _bench(sandbox) as bench:
        job = Job(script=IMPORTS, limits=replace(LIMITS, cpus=2.0))
        found["working_peak_mib"] = sandbox.run(job, bench.folder()).peak_memory_mib
    return found


def _used(container: JobContainer) -> float:
    stats = container.api.stats(container.id, stream=False)["memory_stats"]
    # What the kernel can take back at once is no cost of the container.
    inactive = stats["stats"].get("inactive_file", stats["stats"].get("total_inactive_file", 0))
    return round(float(stats["usage"] - inactive) / 2**20, 1)
