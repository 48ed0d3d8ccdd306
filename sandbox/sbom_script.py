"""Runs inside a container and writes, as JSON, what the image consists of; never imported by labwright."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

OURS = Path("/opt/labwright")
PLACES = ("/usr", "/lib", "/lib64", "/opt")
INSTALLED = ("site-packages", "dist-packages")


def digest_of(path: Path) -> bytes:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def checked_record(record: str, root: Path) -> tuple[int, int]:
    """How many files a RECORD gives a digest for, and how many of them are absent or different."""
    listed = differing = 0
    for name, digest, _ in csv.reader(record.splitlines()):
        if not digest.startswith("sha256="):
            continue  # the RECORD itself, or a compiled file
        listed += 1
        wanted = digest.removeprefix("sha256=")
        try:
            found = base64.urlsafe_b64encode(digest_of(root / name)).rstrip(b"=").decode("ascii")
        except OSError:
            found = ""
        differing += found != wanted
    return listed, differing


def distribution(found: metadata.Distribution) -> dict[str, Any]:
    """One installed distribution in its own words, and whether its files are those of its RECORD."""
    words = found.metadata
    record = found.read_text("RECORD") or ""
    listed, differing = checked_record(record, Path(str(found.locate_file(""))))
    return {
        "name": words["Name"],
        "version": found.version,
        "expression": str((words.get_all("License-Expression") or [""])[0]),
        "licence": str((words.get_all("License") or [""])[0]),
        "classifiers": [c for c in words.get_all("Classifier") or () if c.startswith("License ::")],
        "record_sha256": hashlib.sha256(record.encode()).hexdigest() if record else "",
        "files": listed,
        "differing": differing,
    }


def own_part() -> dict[str, Any]:
    """Labwright's part of the image: one digest over the digests of its files."""
    files = sorted(p for p in OURS.rglob("*") if p.is_file() and p.suffix != ".pyc")
    lines = [f"{digest_of(path).hex()}  {path.relative_to(OURS)}\n" for path in files]
    return {"sha256": hashlib.sha256("".join(lines).encode()).hexdigest(), "files": len(files), "path": str(OURS)}


def libraries() -> Iterator[dict[str, str]]:
    """Shared libraries and extension modules that belong to no installed distribution."""
    seen = set()
    for place in PLACES:
        for folder, folders, names in os.walk(place):
            folders[:] = sorted(f for f in folders if f not in INSTALLED)
            for name in sorted(names):
                path = Path(os.path.realpath(Path(folder) / name))
                if ".so" not in name or path in seen or not path.is_file():
                    continue
                seen.add(path)
                if path.open("rb").read(4) == b"\x7fELF":
                    yield {"path": str(path), "sha256": digest_of(path).hex()}


def main() -> None:
    """Write the facts."""
    binary = Path(os.path.realpath(sys.executable))
    facts = {
        "interpreter": {
            "name": platform.python_implementation().lower(),
            "version": platform.python_version(),
            "path": str(binary),
            "sha256": digest_of(binary).hex(),
        },
        "machine": platform.machine(),
        "distributions": [distribution(found) for found in metadata.distributions()],
        "labwright": own_part(),
        "libraries": list(libraries()),
    }
    Path("/out/components.json").write_text(json.dumps(facts), encoding="utf-8")


main()
