"""A protocol file of any system, read by what it is: JSON or Markdown."""

from __future__ import annotations

import json
from pathlib import Path

from labwright.errors import WrongUse
from labwright.eval.protocol_json import read_json
from labwright.eval.protocol_markdown import read_markdown
from labwright.eval.protocol_reading import Reading

MOST_BYTES = 5_000_000
MOST_STEPS = 2000
"""Each step is compared with each other one."""


def read_protocol(path: Path) -> Reading:
    """Read a protocol.

    Args:
        path: .json, else Markdown or plain text; a folder is a run folder, whose protocol.json is read.

    Raises:
        WrongUse: it cannot be read or holds no protocol.
    """
    if path.is_dir():
        path = path / "protocol.json"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise WrongUse(f"{path}: larger than {MOST_BYTES // 10**6} MB, which no protocol is")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path}: cannot be read as UTF-8 text: {error}") from error
    reading = _json(path, text) if path.suffix.casefold() == ".json" else _markdown(path, text)
    if len(list(reading.steps())) > MOST_STEPS or len(reading.parts) > MOST_STEPS:
        raise WrongUse(f"{path}: more than {MOST_STEPS} steps; give one protocol at a time")
    return reading


def _json(path: Path, text: str) -> Reading:
    try:
        return read_json(path, json.loads(text))
    except (ValueError, RecursionError) as error:
        raise WrongUse(f"{path}: no JSON: {' '.join(str(error).split())[:200]}") from error


def _markdown(path: Path, text: str) -> Reading:
    reading = read_markdown(text)
    if not any(part.steps for part in reading.parts):
        raise WrongUse(f"{path}: no step in it; steps are ### headings or numbered lines, see docs/protocol-quality.md")
    return reading
