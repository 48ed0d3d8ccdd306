"""Files of a user, made a corpus of their own for one run.

They are read by `labwright corpus add` in a process of its own with limits, since a damaged or hostile PDF can take
a reader down, or all of the memory. Archives are not taken.
"""

from __future__ import annotations

import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from fastapi import UploadFile

from labwright.errors import WrongUse
from labwright.store import file_name

ACCEPTED: Final = (".pdf", ".bib", ".ris", ".nxml", ".xml", ".txt", ".md")
MOST_FILES: Final = 20
WALL_S: Final = 180.0
MEMORY_BYTES: Final = 4 * 2**30
CPU_S: Final = 150
OUT_BYTES: Final = 512 * 2**20
MAGIC: Final = {".pdf": b"%PDF-"}


def keep_uploads(files: Sequence[UploadFile], most_bytes: int) -> str:
    """Read the files into a new corpus and index it; returns its name.

    Args:
        files: as the form brought them; their names are made safe, and decide the format.
        most_bytes: of all together.

    Raises:
        WrongUse: too many or too large, a type that is not taken, one that is not what its name says, or one that
            cannot be read.
    """
    if len(files) > MOST_FILES:
        raise WrongUse(f"{len(files)} files; at most {MOST_FILES} are taken at a time")
    name = f"upload-{secrets.token_hex(5)}"
    with tempfile.TemporaryDirectory(prefix="labwright-upload-") as scratch:
        paths = [_written(file, number, Path(scratch)) for number, file in enumerate(files)]
        if sum(path.stat().st_size for path in paths) > most_bytes:
            raise WrongUse(f"the files have more than {most_bytes // 2**20} MiB together")
        _add(name, paths)
    return name


def _written(file: UploadFile, number: int, folder: Path) -> Path:
    given = Path(file.filename or "").name
    ending = Path(given).suffix.lower()
    if ending not in ACCEPTED:
        raise WrongUse(f"{given[:60]!r}: files of {', '.join(ACCEPTED)} are taken")
    path = folder / f"{number:02d}-{file_name(Path(given).stem)}{ending}"
    with path.open("wb") as out:
        shutil.copyfileobj(file.file, out)
    with path.open("rb") as stream:
        _is_what_it_says(stream, ending, given)
    return path


def _is_what_it_says(stream: IO[bytes], ending: str, given: str) -> None:
    head = stream.read(2048)
    if not head.strip():
        raise WrongUse(f"{given[:60]!r} is empty")
    magic = MAGIC.get(ending)
    if magic is not None and magic not in head[:1024]:
        raise WrongUse(f"{given[:60]!r} is no {ending[1:].upper()} file")
    if magic is None and b"\x00" in head:
        raise WrongUse(f"{given[:60]!r} is no text file")


def _add(name: str, paths: Sequence[Path]) -> None:
    command = [sys.executable, "-m", "labwright.cli", "corpus", "add", name, *map(str, paths)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WALL_S,
            check=False,
            preexec_fn=_limits,
        )
    except subprocess.TimeoutExpired as error:
        raise WrongUse(f"the files could not be read within {WALL_S:g} s") from error
    if done.returncode != 0:
        told = [line for line in done.stderr.splitlines() if line.startswith("labwright: ")]
        why = told[-1].removeprefix("labwright: ") if told else "their reader took too much memory or time"
        raise WrongUse(f"the files cannot be read: {_unplaced(why, paths)}")


def _unplaced(text: str, paths: Sequence[Path]) -> str:
    for path in paths:
        text = text.replace(str(path), path.name.split("-", 1)[1])
    return text


def _limits() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUT_BYTES, OUT_BYTES))
