"""Files that a user brings: question-answer pairs labelled safe or not, and safe replies.

Two forms are read. BeaverTails (Ji et al. 2023, arXiv 2307.04657) has `prompt`, `response` and `is_safe`; the data of
Booster has `prompt`, `response` (unsafe) and `refusal`, a text `Question: ...\\nAnswer: ...` whose answer is the safe
one. Both as JSON lines or as one JSON list. labwright ships none of them: it holds no harmful text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.errors import TrainingRefused
from labwright.models.training.alignment_data import read_instruction_json
from labwright.models.training.examples import Example, question_key
from labwright.safety.refusal import kind_of_reply

ANSWER = "\nAnswer: "


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A prompt with an answer that somebody called safe or not."""

    prompt: str
    response: str
    is_safe: bool
    refusal: str
    """A safe answer to the same prompt; empty where the file has none."""
    id: str


def read_pairs(path: Path) -> tuple[LabelledPair, ...]:
    """Read a file of either form; a row that says nothing about its safety is taken as unsafe.

    Raises:
        TrainingRefused: the file cannot be read, is empty, or a row is not of these forms (up to five are named).
    """
    found: list[LabelledPair] = []
    wrong: list[str] = []
    for number, row in _rows(path):
        problem = _problem(row)
        if problem:
            wrong.append(f"row {number}: {problem}")
            continue
        refusal = str(row.get("refusal") or "")
        found.append(
            LabelledPair(
                row["prompt"],
                row["response"],
                bool(row.get("is_safe", False)),
                refusal.partition(ANSWER)[2] if ANSWER in refusal else refusal,
                f"{path.name}:{number}",
            )
        )
    if wrong:
        raise TrainingRefused(f"{path}: {'; '.join(wrong[:5])}{' and more' * (len(wrong) > 5)}; see docs/safety.md")
    if not found:
        raise TrainingRefused(f"{path}: no row in it; see docs/safety.md")
    return tuple(found)


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingRefused(f"{path}: cannot be read as UTF-8 text: {error}") from error
    try:
        if text.lstrip().startswith("["):
            yield from enumerate(json.loads(text), 1)
            return
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, json.loads(line)
    except ValueError as error:
        raise TrainingRefused(f"{path}: not JSON: {error}") from error


def _problem(row: Any) -> str:
    if not isinstance(row, dict):
        return "not a JSON object"
    empty = [k for k in ("prompt", "response") if not isinstance(row.get(k), str) or not row[k].strip()]
    if empty:
        return f"{' and '.join(empty)} missing or empty"
    if not isinstance(row.get("is_safe", False), bool):
        return "is_safe is neither true nor false"
    return "" if isinstance(row.get("refusal") or "", str) else "refusal is no text"


def harmful_examples(pairs: Sequence[LabelledPair]) -> tuple[Example, ...]:
    """The unsafe answers, for an attack or as what a defender holds.

    Raises:
        TrainingRefused: every pair is labelled safe.
    """
    return _some([Example(p.prompt, p.response, "harmful", p.id) for p in pairs if not p.is_safe], "labelled unsafe")


def alignment_examples(pairs: Sequence[LabelledPair]) -> tuple[Example, ...]:
    """The safe answers: the refusals where there are some, else the answers labelled safe.

    Answers that are labelled safe are not refusals as a rule, so scores of the two sources are not comparable.

    Raises:
        TrainingRefused: there is neither.
    """
    refusals = [Example(p.prompt, p.refusal, "harmless", p.id) for p in pairs if p.refusal.strip()]
    safe = [Example(p.prompt, p.response, "harmless", p.id) for p in pairs if p.is_safe]
    return _some(refusals or safe, "with a safe answer")


def read_refusals(path: Path) -> tuple[Example, ...]:
    """The rows of a safe-reply file (Bianchi et al. 2024, arXiv 2309.07875) whose reply refuses, one a question.

    Raises:
        TrainingRefused: the file is not of the form, or no reply in it refuses.
    """
    unique: dict[str, Example] = {}
    for example in read_instruction_json(path):
        if kind_of_reply(example.answer) == "refusal":
            unique.setdefault(question_key(example), example)
    return _some(list(unique.values()), "whose reply refuses")


def _some(found: Sequence[Example], what: str) -> tuple[Example, ...]:
    if not found:
        raise TrainingRefused(f"no row {what}; see docs/safety.md")
    return tuple(found)
