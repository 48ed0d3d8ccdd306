"""What goes into a container: private copies of the inputs and the script, and a watch on the reads.

Inputs are copied, so that each job has inodes of its own: a read that the kernel reports is a read by this
job and by no other, and a change of the original during the job changes nothing.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from inotify_simple import INotify, flags

from labwright.errors import SandboxBroken, WrongUse
from labwright.sandbox.contract import Job
from labwright.sandbox.owner import Owner

SCRIPT_LIMIT = 1 << 20
INPUT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Stage:
    """Folders of the host that a container sees."""

    inputs: Path
    """Becomes /in."""
    work: Path
    """Becomes /work, holds script.py."""


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """A new folder under `parent`, removed at the end, or by the sweep when this process is killed."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{Owner.current()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def empty_stage(parent: Path) -> Iterator[Stage]:
    """Empty folders for one job under `parent`, removed at the end.

    Raises:
        SandboxBroken: they cannot be made.
    """
    with ExitStack() as end:
        try:
            folder = end.enter_context(private_folder(parent))
            stage = Stage(folder / "in", folder / "work")
            for place in (stage.inputs, stage.work):
                place.mkdir()
                place.chmod(0o755)
        except OSError as error:
            raise SandboxBroken(f"the inputs cannot be staged: {error}") from error
        yield stage


def fill(stage: Stage, job: Job) -> None:
    """Copy the job's inputs and its script into an empty stage.

    Raises:
        SandboxBroken: the copies cannot be written.
    """
    try:
        (stage.work / "script.py").write_bytes(_script(job))
        for name, source in job.inputs.items():
            _copy(source, stage.inputs / name)
        for folder in (stage.inputs, stage.work):
            _open_to_all(folder)
    except OSError as error:
        raise SandboxBroken(f"the inputs cannot be staged: {error}") from error


def _script(job: Job) -> bytes:
    return job.script.encode("utf-8", errors="backslashreplace")


def check(job: Job, out_dir: Path) -> None:
    """Whether a job can be run at all.

    Raises:
        WrongUse: the script is too long, an input's name is not allowed or the input is absent, or `out_dir` holds
            something.
    """
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise WrongUse(f"{out_dir} must be absent or an empty folder")
    size = len(_script(job))
    if size > SCRIPT_LIMIT:
        raise WrongUse(f"the script has {size} bytes, more than {SCRIPT_LIMIT}")
    for name, source in job.inputs.items():
        if not INPUT_NAME.fullmatch(name):
            raise WrongUse(f"input name {name!r} may hold letters, digits, '.', '_' and '-' only")
        if not (source.is_file() or source.is_dir()):
            raise WrongUse(f"input {name!r}: {source} is no file or folder")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


def _open_to_all(folder: Path) -> None:
    """Make everything below readable for the container's user; `folder` itself stays private."""
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


class ReadWatch:
    """Reports which inputs were read, by the kernel's word and not by the script's.

    A read through read(2) and its kin counts. Opening, listing and asking for the size do not; nor does
    memory-mapping alone, which the kernel does not report.
    """

    def __init__(self, inputs: Path) -> None:
        self._names: dict[int, str] = {}
        try:
            self._inotify = INotify()
        except OSError as error:
            raise SandboxBroken(f"reads of inputs cannot be watched: {error}") from error
        try:
            for path in sorted(inputs.rglob("*")):
                if path.is_file():
                    # One event per file and then none: the queue cannot overflow.
                    watch = self._inotify.add_watch(path, flags.ACCESS | flags.ONESHOT)
                    self._names[watch] = path.relative_to(inputs).parts[0]
        except OSError as error:
            self._inotify.close()
            raise SandboxBroken(f"reads of {len(self._names)}+ inputs cannot be watched: {error}") from error

    def __enter__(self) -> ReadWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._inotify.close()

    def names(self) -> tuple[str, ...]:
        """Names of the inputs read until now, sorted; ask once."""
        events = self._inotify.read(timeout=0)
        return tuple(sorted({self._names[event.wd] for event in events if event.mask & flags.ACCESS}))
