"""The committed benchmark documents, the rows behind them, and earlier measurements from the checkout's history."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")
EARLIER = 12
"""Earlier measurements that are looked for."""


class Figure(BaseModel):
    """One figure."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    value: float
    unit: str = ""
    n: int = 0
    low: float | None = None
    high: float | None = None
    note: str = ""
    raw: str = ""


class Document(BaseModel):
    """One suite as it was measured."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    suite: str
    at: str
    commit: str
    command: str
    machine: dict[str, Any]
    figures: tuple[Figure, ...]


def documents(folder: Path) -> list[Document]:
    """Every document of a folder, by name; a file that is none is left out."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Document.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return found


def document(folder: Path, suite: str) -> Document | None:
    """The document of one suite; None when it was not measured."""
    return next((d for d in documents(folder) if d.suite == suite and NAME.fullmatch(suite)), None)


def rows(folder: Path, suite: str) -> Iterator[dict[str, Any]]:
    """The rows behind a suite's figures, in their order; none for a suite without."""
    path = folder / "raw" / f"{suite}.jsonl"
    if not NAME.fullmatch(suite) or not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def earlier(folder: Path, suite: str) -> list[Document]:
    """Earlier measurements of a suite that were committed, newest first; none outside a checkout.

    Two commits of one measurement count once; the measurement that lies in the folder is left out.
    """
    path = folder / f"{suite}.json"
    now = document(folder, suite)
    if now is None:
        return []
    found: dict[str, Document] = {}
    for commit in _git(folder, "log", f"-n{EARLIER * 2}", "--format=%H", "--", str(path)).split():
        text = _git(folder, "show", f"{commit}:./{path.name}")
        try:
            old = Document.model_validate_json(text)
        except ValidationError:
            continue
        if old.at != now.at:
            found.setdefault(old.at, old)
    return list(found.values())[:EARLIER]


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
