"""Runs a job in Linux namespaces made by bubblewrap; by choice only, never because an engine is absent.

What it does not cover stands in :data:`LACKING` and :data:`ALSO_NOT_COVERED`, and in every policy. The rest is
proved by the same probe as a container engine's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from threading import Event
from typing import Any

from labwright.errors import EngineMissing
from labwright.sandbox import image, settings
from labwright.sandbox.bubblewrap_command import bwrap_arguments, command, interpreter, rlimits, tools
from labwright.sandbox.contract import Job, Limits, Result
from labwright.sandbox.namespace_run import NamespaceRun
from labwright.sandbox.staging import ReadWatch, Stage, check, empty_stage, fill
from labwright.sandbox.syscall_filter import compiled

LACKING = {
    "limit on processes": "The number of processes is limited by RLIMIT_NPROC, not by a control group.",
    "limit on memory": "Memory is limited for each process by its address space, not for the job as a whole; a script "
    "that reaches it sees MemoryError and ends as any failing script.",
    "no swap": "Swap is not turned off for the job.",
    "limit on processors": "There is no quota on processors; libraries are only told how many threads to use.",
    "inodes of writable places": "The number of files in /tmp, /dev/shm and /out is not limited.",
}
"""Requirements of the probe that this backend cannot meet, each in a sentence."""
ALSO_NOT_COVERED = (
    "Files in the writable folders can be executed.",
    "Outputs are read after every process of the job was killed, not from a frozen container.",
    "Python and its packages are this machine's, shown read-only; no image fixes them.",
)
_TEXT = {
    "passwd": "nobody:x:65534:65534:nobody:/tmp:/nonexistent\n",
    "group": "nogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


class BubblewrapSandbox:
    """A sandbox of namespaces; made by :func:`labwright.sandbox.connect.connect`, which probes it."""

    def __init__(self, staging: Path, *, python: str = "") -> None:
        """Find the programs and the Python, compile the filter.

        Args:
            staging: folder for copies of inputs.
            python: interpreter that has the analysis packages, empty for the one that runs labwright.

        Raises:
            EngineMissing: a program, libseccomp or the interpreter cannot be had.
        """
        self._programs = tools()
        self.python = interpreter(python)
        self.version = _version(self._programs["bwrap"])
        self.probe_facts: dict[str, Any] = {}
        self._program = compiled()
        self.staging = staging

    @property
    def kind(self) -> str:
        """What isolates its jobs."""
        return "bubblewrap"

    @property
    def image_id(self) -> str:
        """Hash of the interpreter's version and of the packages that it has."""
        parts = [self.python.version, *self.python.distributions]
        return f"python:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}"

    def fingerprint(self) -> str:
        """Hash of everything that a passed probe depends on."""
        package = resources.files("labwright.sandbox")
        names = ("settings", "probe", "probe_script", "bubblewrap", "bubblewrap_command", "namespace_run", "supervisor")
        parts = [(package / f"{name}.py").read_bytes() for name in names]
        facts = [self.version, self.image_id, self.python.executable, str(os.geteuid()), os.uname().release]
        return hashlib.sha256(b"\0".join([self._program, *parts, *(f.encode() for f in facts)])).hexdigest()[:32]

    def run(self, job: Job, out_dir: Path, *, stop: Event | None = None) -> Result:
        """Run `job`; write its outputs into `out_dir`, which must be absent or empty.

        Raises:
            WrongUse: the job or `out_dir` is not acceptable.
            SandboxBroken: the sandbox failed; nothing is known about the script.
        """
        begin = time.monotonic()
        check(job, out_dir)
        with ExitStack() as end:
            stage = end.enter_context(empty_stage(self.staging))
            fill(stage, job)
            watch = end.enter_context(ReadWatch(stage.inputs))
            with _bound(self._folders(stage)) as (binds, mounts):

                def build(given: Any) -> list[str]:
                    return command(self._programs, bwrap_arguments(self.python, job.limits, given, binds), mounts)

                ending, outputs = NamespaceRun(job.limits, build, self._program).run(out_dir, stop)
            read = watch.names()  # every process is gone: no later read can be missed
        first = ending.first_output_at
        return Result(
            cause=ending.cause,
            exit_code=ending.exit_code,
            stdout=ending.stdout,
            stderr=ending.stderr,
            outputs=outputs,
            inputs_read=read,
            duration_s=round(ending.duration_s, 4),
            first_output_s=None if first is None else round(first - begin, 4),
            total_s=round(time.monotonic() - begin, 4),
            peak_memory_mib=ending.peak_memory_mib,
            image_id=self.image_id,
        )

    def policy(self) -> dict[str, Any]:
        """The isolation in force, what it does not cover and what the probe saw, as a JSON-ready mapping."""
        return {
            "isolation": "bubblewrap",
            "not_covered": [*LACKING.values(), *ALSO_NOT_COVERED],
            "engine": {"kind": self.kind, "version": self.version},
            "image": {"id": self.image_id, "python": self.python.executable},
            "network": "none",
            "user": settings.USER,
            "capabilities": [],
            "no_new_privileges": True,
            "root_read_only": True,
            "seccomp_sha256": settings.seccomp_sha256(),
            "default_limits": asdict(Limits()),
            "rlimits": rlimits(Limits()),
            "inputs_read_observable": bool(self.probe_facts.get("inputs_read_observable", False)),
            "probe": self.probe_facts,
        }

    def _folders(self, stage: Stage) -> dict[str, Path]:
        """Place inside to folder outside; labwright's part is copied beside the inputs for each job."""
        own, etc = stage.work.parent / "own", stage.work.parent / "etc"
        etc.mkdir()
        for name, text in _TEXT.items():
            (etc / name).write_text(text, encoding="ascii")
        if Path("/etc/ld.so.cache").is_file():
            shutil.copyfile("/etc/ld.so.cache", etc / "ld.so.cache")
        for name, file in image.sources():
            (own / name).parent.mkdir(parents=True, exist_ok=True)
            (own / name).write_bytes(file.read_bytes())
        for path in (own, etc, *own.rglob("*"), *etc.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        folders = {"/etc": etc, "/opt/labwright": own, "/in": stage.inputs, "/work": stage.work}
        return {folder: Path(folder) for folder in self.python.folders} | folders


@contextmanager
def _bound(folders: dict[str, Path]) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Sources of the binds, and for root the reachable mount points that stand for them."""
    if os.geteuid() != 0:
        yield {place: str(folder) for place, folder in folders.items()}, {}
        return
    with tempfile.TemporaryDirectory(prefix="labwright-bwrap-") as reachable:
        os.chmod(reachable, 0o711)  # noqa: S103 - empty mount points, filled in the job's own mount namespace
        points = {place: Path(reachable) / str(number) for number, place in enumerate(folders)}
        for point in points.values():
            point.mkdir()
        mounts = {str(folder): str(points[place]) for place, folder in folders.items()}
        yield {place: str(point) for place, point in points.items()}, mounts


def _version(bwrap: str) -> str:
    try:
        answer = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineMissing(f"{bwrap} cannot be run: {error}") from error
    return answer.stdout.strip()
