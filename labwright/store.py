"""The run folder: `runs/<id>/`, where everything of a run is a file and every write is atomic."""

from __future__ import annotations

import errno
import fcntl
import getpass
import json
import os
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from labwright.domain import RunRecord
from labwright.errors import DiskFull, RunFailed, WrongUse

T = TypeVar("T", bound=BaseModel)
RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
LOOK_S = 1.0
"""Who takes a run waits so long: another process may only have looked whether it is taken."""
NAME = re.compile(r"[^A-Za-z0-9._-]+")


def now() -> str:
    """The time in UTC, ISO 8601, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def user_name() -> str:
    """The user of this machine, as records name who acted; empty for one without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file lists
        return ""


def file_name(text: str) -> str:
    """`text` as a safe file name of at most 80 characters."""
    return NAME.sub("_", text).strip("._")[:80] or "unnamed"


class RunStore:
    """One run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def id(self) -> str:
        """Name of the run."""
        return self.folder.name

    @classmethod
    def create(cls, runs: Path) -> RunStore:
        """Make a new run folder below `runs`.

        Raises:
            DiskFull: it cannot be made.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        store = cls(runs / f"{stamp}-{secrets.token_hex(3)}")
        with _disk(store.folder):
            for name in ("papers", "reports", "datasets", "tasks"):
                (store.folder / name).mkdir(parents=True)
        return store

    @classmethod
    def open(cls, runs: Path, name: str) -> RunStore:
        """Open a run by its id, by the start of its id, or by its path.

        Raises:
            WrongUse: no run, or more than one, goes by that name.
        """
        for path in (Path(name), runs / file_name(name)):
            if os.path.isfile(path / "record.json"):  # of Path.is_file, a name too long is an error
                return cls(path.resolve())
        found = [p.parent for p in sorted(runs.glob(f"{file_name(name)}*/record.json"))]
        if len(found) != 1:
            what = "no run" if not found else f"{len(found)} runs"
            raise WrongUse(f"{what} named {name!r} in {runs}; see `labwright runs`")
        return cls(found[0].resolve())

    def path(self, *parts: str) -> Path:
        """Path inside the run folder; each part is made a safe file name."""
        return self.folder.joinpath(*(file_name(part) for part in parts))

    def write(self, path: Path, thing: BaseModel | Mapping[str, Any] | list[Any], *, durable: bool = False) -> None:
        """Write one thing as JSON, atomically; a durable one is on the disk when this returns."""
        if isinstance(thing, BaseModel):
            text = thing.model_dump_json(indent=1)
        else:
            text = json.dumps(thing, indent=1, ensure_ascii=False, default=str)
        self.write_text(path, text + "\n", durable=durable)

    def write_text(self, path: Path, text: str, *, durable: bool = False) -> None:
        """Write one text file, as `write_bytes`."""
        self.write_bytes(path, text.encode(), durable=durable)

    def write_bytes(self, path: Path, content: bytes, *, durable: bool = False) -> None:
        """Write one file, atomically; a durable one is on the disk when this returns.

        Raises:
            DiskFull: the disk is full or the folder cannot be written.
        """
        scratch = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        with _disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                scratch.write_bytes(content)
                if durable:
                    _to_disk(scratch)
                scratch.replace(path)
                if durable:
                    _to_disk(path.parent)
            finally:
                scratch.unlink(missing_ok=True)

    def read(self, path: Path, kind: type[T]) -> T:
        """Read one typed thing.

        Raises:
            RunFailed: the file is absent, or is not what it should be.
        """
        try:
            return kind.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunFailed(f"{path} is missing; the run folder is damaged") from error
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}".lstrip(": ") for e in error.errors()[:3])
            raise RunFailed(f"{path} is not a valid {kind.__name__}: {wrong}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise RunFailed(f"{path} cannot be read: {error}") from error

    def record(self) -> RunRecord:
        """The run's record."""
        return self.read(self.folder / "record.json", RunRecord)

    def save_record(self, record: RunRecord, *, durable: bool = False) -> None:
        """Write the run's record."""
        self.write(self.folder / "record.json", record, durable=durable)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold what persons write into the run, while it is read, changed and written back.

        Raises:
            WrongUse: somebody else has held it for ten seconds.
        """
        with _disk(self.folder):
            try:
                held = FileLock(self.folder / ".persons.lock").acquire(timeout=10)
            except Timeout as error:
                raise WrongUse(f"run {self.id} is being changed by somebody else; try again") from error
        with held:
            yield

    def is_carried(self) -> bool:
        """Whether a process works on the run now."""
        try:
            with (self.folder / ".lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that look do not see one another
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the run for this process; the kernel gives it back when the process dies.

        Raises:
            WrongUse: another process works on the run.
        """
        with _disk(self.folder):
            try:
                held = FileLock(self.folder / ".lock").acquire(timeout=LOOK_S)
            except Timeout as error:
                raise WrongUse(f"run {self.id} is being worked on by another process") from error
        with held:
            yield


def _to_disk(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"cannot write {path}: {error.strerror}; make room, then `labwright resume`") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.ENOTDIR):
            raise DiskFull(f"cannot write {path}: {error.strerror}; use a folder that can be written") from error
        raise


def list_runs(runs: Path) -> list[RunRecord]:
    """Records of all runs below `runs`, newest last; folders without a readable record are left out."""
    found = []
    for path in sorted(runs.glob("*/record.json")):
        try:
            found.append(RunRecord.model_validate_json(path.read_text(encoding="utf-8")))
        except (ValidationError, OSError, UnicodeDecodeError):
            continue
    return found


def described(store: RunStore) -> dict[str, Any]:
    """What `labwright show --json` and the page's interface say of a run: its record, its folder, its report."""
    shown: dict[str, Any] = store.record().model_dump(mode="json")
    return {**shown, "folder": str(store.folder.resolve()), "report": str((store.folder / "report.html").resolve())}
