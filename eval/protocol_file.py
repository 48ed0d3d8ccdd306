"""A protocol file of any system, read by what it is: JSON or Markdown."""

from __future__ import annotations

import json
from pathlib import Path

from labwright.errors import WrongUse
from labwright.eval.protocol_json import read_json
from labwright.eval.protocol_markdown import read_markdown
from labwright.eval.protocol_reading import Reading

MOST_BYTES = 5_000_000


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
    if path.suffix.casefold() == ".json":
        try:
            return read_json(path, json.loads(text))
        except (ValueError, RecursionError) as error:
            raise WrongUse(f"{path}: no JSON: {' '.join(str(error).split())[:200]}") from error
    reading = read_markdown(text)
    if not any(part.steps for part in reading.parts):
        raise WrongUse(f"{path}: no step in it; steps are ### headings or numbered lines, see docs/protocol-quality.md")
    return reading
