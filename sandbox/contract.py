"""What may be asked of a sandbox and what it answers.

A script that fails is a :class:`Result`; a sandbox that fails raises
:class:`~labwright.errors.SandboxBroken`. The two are never mixed up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Literal, Protocol

Cause = Literal["exit", "wall", "oom", "output_cap", "artifact_cap", "died", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one job; every one of them is enforced, none is advisory."""

    wall_s: float = 300.0
    """Wall-clock limit in seconds; the container is killed from outside."""
    memory_mib: int = 3072
    """Memory limit with no swap beyond it, MiB."""
    pids: int = 128
    """Most processes and threads at once."""
    cpus: float = 2.0
    """CPU quota in cores."""
    out_mib: int = 64
    """Size of the output folder, MiB."""
    out_files: int = 128
    """Most files taken out."""
    file_mib: int = 64
    """Largest single file the job can write, MiB."""
    log_kib: int = 1024
    """Most bytes of stdout and stderr each before the job is killed, KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One script to run.

    Inputs appear read-only under `/in/<name>`; the script runs in `/out`, the only folder whose
    regular files come back. A directory as input is mounted as a directory.
    """

    script: str
    """Python source text, at most 1 MiB."""
    inputs: Mapping[str, Path] = field(default_factory=dict)
    """Name under `/in` (letters, digits, `._-`) to a file or folder of the host."""
    limits: Limits = field(default_factory=Limits)
    run_id: str = ""
    """Label of the run that owns the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """One regular file taken out of the sandbox."""

    name: str
    """Path relative to the output folder, POSIX style."""
    size: int
    """Bytes."""
    sha256: str
    """Hex digest of the content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a job ended."""

    cause: Cause
    """"exit" when the script ended by itself, else what ended it."""
    exit_code: int | None
    """Exit code of the script; None when it did not end by itself."""
    stdout: str
    """Last 16 KiB of standard output."""
    stderr: str
    """Last 16 KiB of standard error."""
    outputs: tuple[OutputFile, ...]
    """What was taken out, sorted by name; empty when the job was killed."""
    inputs_read: tuple[str, ...]
    """Names of the inputs that the kernel saw being read during the job, sorted."""
    duration_s: float
    """Seconds from the start of the script to its end."""
    first_output_s: float | None = None
    """Seconds from the call of `run` to the first byte of output; None when there was none."""
    total_s: float
    """Seconds including creation and removal of the container."""
    peak_memory_mib: float | None
    """Peak memory of the container, MiB, where the engine tells."""
    image_id: str
    """Content id of the image that ran."""

    @property
    def ok(self) -> bool:
        """The script ended by itself with exit code 0."""
        return self.cause == "exit" and self.exit_code == 0


class Sandbox(Protocol):
    """Anything that runs a job in isolation."""

    def run(self, job: Job, out_dir: Path, *, stop: Event | None = None) -> Result:
        """Run `job`; write its outputs into `out_dir`, which must be absent or empty.

        When `stop` is set, from another thread, the job is killed and its result says "stopped".
        """

    def policy(self) -> dict[str, Any]:
        """The isolation in force and what the probe saw, as a JSON-ready mapping."""
