"""Fetch one archive of a package index by name, version and pinned sha256, without installing it.

`pip download` and `npm pack` do the work, so a mirror, a proxy or a certificate that the user configured for them is
honoured. Of Python only wheels are fetched this way, and of npm only archives as published: neither download runs code
of the package.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from labwright.errors import HashMismatch, SourceUnavailable

CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_wheel(package: str, version: str, sha256: str, folder: Path) -> Path:
    """Download one wheel into `folder` and return its path; a wheel already there is reused.

    Raises:
        HashMismatch: the index serves another file under that name.
        SourceUnavailable: the index does not answer or does not hold the package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{package.replace('-', '_')}-{version}-".lower()
    for path in folder.glob("*.whl"):
        if path.name.lower().startswith(stem) and sha256_of(path) == sha256:
            return path
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        requirement = Path(scratch) / "requirement.txt"
        requirement.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--require-hashes", "--no-cache-dir", "--dest", scratch, "-r", str(requirement)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            _explain(package, version, done.stderr)
        wheel = next(Path(scratch).glob("*.whl"))
        return wheel.replace(folder / wheel.name)


def fetch_npm(package: str, version: str, sha256: str, folder: Path) -> Path:
    """Download one archive of npm into `folder` and return its path; an archive already there is reused.

    Raises:
        HashMismatch: the registry serves another file under that name.
        SourceUnavailable: npm is not installed, or the registry does not answer or does not hold the package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{package.strip('@').replace('/', '-')}-{version}.tgz"
    if target.is_file() and sha256_of(target) == sha256:
        return target
    npm = shutil.which("npm")
    if npm is None:
        raise SourceUnavailable(f"{package} {version}: npm is not installed (Debian: `apt install npm`)")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [npm, "pack", f"{package}@{version}", "--silent", "--ignore-scripts", "--pack-destination", scratch]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=scratch)
        fetched = next(Path(scratch).glob("*.tgz"), None)
        if done.returncode != 0 or fetched is None:
            last = (done.stderr.strip() or "npm wrote no archive").splitlines()[-1]
            raise SourceUnavailable(f"{package} {version} cannot be fetched by npm: {last}")
        if sha256_of(fetched) != sha256:
            raise HashMismatch(f"{package} {version}: the registry of npm serves a file with another sha256")
        return fetched.replace(target)


@contextmanager
def open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """One file of a wheel or of an archive of npm, opened for reading.

    Raises:
        KeyError: there is no such file in it.
    """
    if archive.suffix == ".tgz":
        with tarfile.open(archive) as tar:
            stream = tar.extractfile(member)
            if stream is None:
                raise KeyError(member)
            with stream:
                yield stream
    else:
        with zipfile.ZipFile(archive) as zipped, zipped.open(member) as stream:
            yield stream


def _explain(package: str, version: str, stderr: str) -> None:
    last = next((line for line in reversed(stderr.splitlines()) if line.startswith("ERROR")), stderr[-300:])
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in stderr:
        raise HashMismatch(f"{package}=={version}: the package index serves a file with another sha256")
    raise SourceUnavailable(f"{package}=={version} cannot be fetched from the package index: {last.strip()}")
