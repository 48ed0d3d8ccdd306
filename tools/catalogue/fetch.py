"""Bring the shipped files of a data set to this machine, checked by sha256, unread and unrun.

A member comes from the package where it is installed (found by its metadata, never imported), else from the
package's archive. What is inside is opened only later, in the sandbox.
"""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from filelock import FileLock

from labwright.config import cache_dir
from labwright.errors import HashMismatch
from labwright.packages import sha256_of
from labwright.tools.catalogue.archives import fetch_archive


def fetching() -> AbstractContextManager[object]:
    """Held while data are fetched and converted: of two runs that need the same, the second waits and finds it."""
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "fetching.lock")


def fetch_members(source: Mapping[str, Any], raw: Path, archives: Path) -> list[Path]:
    """Put every member named by a card's `source` into a folder.

    Args:
        source: the card's `source`: `archives` (package, version, archive, archive_sha256) and `members`
            (package, member, name, sha256).
        raw: folder that receives the members, each under its `name`.
        archives: folder where downloaded archives are kept.

    Returns:
        Paths in the order of the card.

    Raises:
        HashMismatch: a member or an archive is not the pinned one.
        SourceUnavailable: an archive cannot be fetched.
    """
    raw.mkdir(parents=True, exist_ok=True)
    pinned = {entry["package"]: entry for entry in source["archives"]}
    return [_fetch(member, pinned[member["package"]], raw, archives) for member in source["members"]]


def _fetch(member: Mapping[str, str], archive: Mapping[str, str], raw: Path, archives: Path) -> Path:
    target = raw / member["name"]
    if target.is_file() and sha256_of(target) == member["sha256"]:
        return target
    content = _installed(member)
    if content is None:
        path = fetch_archive(archive["package"], archive["archive"], archive["archive_sha256"], archives)
        content = _read_member(path, member["member"])
    if hashlib.sha256(content).hexdigest() != member["sha256"]:
        raise HashMismatch(f"{member['member']} in {archive['archive']} is not the pinned file")
    part = target.with_name(target.name + ".part")
    part.write_bytes(content)
    return part.replace(target)


def _installed(member: Mapping[str, str]) -> bytes | None:
    """The member in this environment, if it is there and is the pinned one."""
    try:
        path = Path(str(distribution(member["package"]).locate_file(member["member"])))
    except PackageNotFoundError:
        return None
    if not path.is_file() or sha256_of(path) != member["sha256"]:
        return None
    return path.read_bytes()


def _read_member(archive: Path, name: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as sdist:
        file = sdist.extractfile(name)
        if file is None:
            raise HashMismatch(f"{name} in {archive.name} is not a regular file")
        return file.read()
