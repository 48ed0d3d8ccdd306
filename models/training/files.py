"""Writing that survives a crash: beside the target, flushed to the disk, then renamed into place."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from labwright.errors import DiskFull, TrainingRefused

if TYPE_CHECKING:
    from torch import Tensor

FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EROFS, errno.EACCES, errno.ENOTDIR)


LOCK = ".lock"


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the kernel gives it back when the process dies.

    Raises:
        TrainingRefused: another process trains in it.
    """
    with disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(folder / LOCK).acquire(timeout=0)
        except Timeout as error:
            raise TrainingRefused(f"{folder} is being trained in by another process") from error
    with held:
        yield


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn the errors of a full or closed disk into one line.

    Raises:
        DiskFull: the disk is full, or the folder cannot be written.
    """
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(f"cannot write {path}: {error.strerror}; make room, then --resume") from error
        if error.errno in CLOSED:
            raise DiskFull(f"cannot write {path}: {error.strerror}; use a folder that can be written") from error
        raise
    except SafetensorError as error:
        # The library reports the system's errors in words; the number is in them.
        if any(f"os error {number})" in str(error) for number in FULL):
            raise DiskFull(f"cannot write {path}: {error}; make room, then --resume") from error
        raise


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write one JSON document, atomically; numbers that JSON has no form for are refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write one text file, atomically."""
    scratch = path.with_name(f".{path.name}.tmp")
    with disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(text, encoding="utf-8")
        flush(scratch)
        scratch.replace(path)
        flush(path.parent)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors and wait for the disk; they are copied, so views and ties are no matter."""
    from safetensors.torch import save_file

    with disk(path):
        save_file({n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}, path)
        flush(path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name only when the block has ended well; one that was there is replaced."""
    scratch = path.with_name(f".{path.name}.tmp")
    with disk(path):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            yield scratch
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        flush(scratch)
        if path.exists():
            shutil.rmtree(path)
        scratch.rename(path)
        flush(path.parent)
