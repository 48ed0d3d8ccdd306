"""Takes files out of a container.

The archive is hostile: its names, types, counts and sizes are the script's.

Only regular files leave, under names that are checked part by part, into a fresh folder, never over something
that is there. Reading stops at a cap, so that sparse files cannot fill the host.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
from pathlib import Path
from typing import IO, Protocol

from labwright.errors import SandboxBroken
from labwright.sandbox.contract import Limits, OutputFile

MIB = 1 << 20
CHUNK = 1 << 18
DEPTH = 4
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. +=,@()-]{0,99}")


class OverCap(Exception):
    """The outputs exceed a limit of the job."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class CappedReader:
    """Reads from a stream until a cap, then raises OverCap."""

    def __init__(self, stream: _Readable, cap: int) -> None:
        self._stream = stream
        self._left = cap

    def read(self, size: int = CHUNK) -> bytes:
        """At most `size` bytes."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise OverCap("the archive is larger than the output limit")
        return data


def safe_name(name: str) -> str | None:
    """The member's path in POSIX style when it may be used as it is, else None."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or len(parts) > DEPTH or not all(_PART.fullmatch(part) for part in parts):
        return None
    return "/".join(parts)


def take(stream: _Readable, out_dir: Path, limits: Limits) -> tuple[OutputFile, ...]:
    """Write the regular files of a tar stream into `out_dir`, absent or empty.

    Files whose name is not plain, links, devices and pipes are left behind.

    Raises:
        OverCap: more files or bytes than the limits allow; `out_dir` is empty then.
        SandboxBroken: the stream is no tar, or the host cannot write.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    # Headers take 512 bytes each, up to 1.5 KiB with a long name; folders have headers too.
    capped = CappedReader(stream, limits.out_mib * MIB + (limits.out_files + 128) * 4096)
    try:
        with tarfile.open(fileobj=capped, mode="r|", errorlevel=2) as tar:  # type: ignore[call-overload]
            return _take_members(tar, out_dir, limits)
    except OverCap:
        _empty(out_dir)
        raise
    except (tarfile.TarError, OSError) as error:
        _empty(out_dir)
        raise SandboxBroken(f"the outputs cannot be taken: {error}") from error


def _take_members(tar: tarfile.TarFile, out_dir: Path, limits: Limits) -> tuple[OutputFile, ...]:
    taken: dict[str, OutputFile] = {}
    total = 0
    for member in tar:
        name = safe_name(member.name)
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or name is None:
            continue
        # A file system that ignores case must not let one file write over another.
        if name.casefold() in taken:
            continue
        total += member.size
        if len(taken) >= limits.out_files or total > limits.out_mib * MIB:
            raise OverCap(f"more than {limits.out_files} files or {limits.out_mib} MiB")
        content = tar.extractfile(member)
        if content is not None:
            taken[name.casefold()] = _write(content, out_dir, name)
    return tuple(sorted(taken.values(), key=lambda file: file.name))


def _write(content: IO[bytes], out_dir: Path, name: str) -> OutputFile:
    target = out_dir / name
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    digest = hashlib.sha256()
    size = 0
    with os.fdopen(descriptor, "wb") as file:
        while data := content.read(CHUNK):
            digest.update(data)
            size += file.write(data)
    return OutputFile(name=name, size=size, sha256=digest.hexdigest())


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
