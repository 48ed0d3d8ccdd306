"""Fetch one archive of a package index by name, version and pinned sha256, without installing it.

`pip download` does the work, so a mirror, a proxy or a certificate that the user configured for pip is
honoured. Only wheels are fetched this way: their download runs no code of the package.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

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


def _explain(package: str, version: str, stderr: str) -> None:
    last = next((line for line in reversed(stderr.splitlines()) if line.startswith("ERROR")), stderr[-300:])
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in stderr:
        raise HashMismatch(f"{package}=={version}: the package index serves a file with another sha256")
    raise SourceUnavailable(f"{package}=={version} cannot be fetched from the package index: {last.strip()}")
