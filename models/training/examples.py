"""Examples of instruction tuning, and what is checked about a set of them before anything is trained."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labwright.errors import TrainingRefused

FIELDS = {"prompt", "answer", "property", "id", "input"}
"""What a line of a file may hold."""


@dataclass(frozen=True, slots=True)
class Example:
    """One instruction with the answer that the model shall learn."""

    prompt: str
    """The instruction, without any template."""
    answer: str
    """What the model shall say."""
    property: str = ""
    """What the example teaches, such as helpful, harmless or honest; empty where it does not matter."""
    id: str = ""
    """Name in messages and in the record."""
    input: str = ""
    """Text that the instruction is about; the Alpaca template has a form of its own for it."""
    about: str = ""
    """What else the question is about, such as the name of a picture: the same words about another are another one."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The examples of a training, and where they are from."""

    train: tuple[Example, ...]
    heldout: tuple[Example, ...] = ()
    """Examples that are measured on and never trained on."""
    source: str = ""
    """Names of the files, for the record and the model card."""
    licence: str = ""
    """Licence of the data; empty means that nobody said."""

    def sha256(self) -> str:
        """Hash of all examples, training ones and held-out ones, in their order."""
        digest = hashlib.sha256()
        for part in (self.train, self.heldout):
            for example in part:
                said = {name: value for name, value in asdict(example).items() if value or name != "about"}
                digest.update(json.dumps(said, sort_keys=True).encode())
                digest.update(b"\n")
            digest.update(b"--\n")
        return digest.hexdigest()


def question_key(example: Example) -> str:
    """The question as it counts for leakage: all that it is about, without differences of case and spacing."""
    return " ".join(f"{example.prompt}\n{example.input}\n{example.about}".casefold().split())


def duplicates(examples: Iterable[Example]) -> int:
    """How many examples repeat an earlier one's instruction, input and answer."""
    counts = Counter((question_key(e), " ".join(e.answer.split())) for e in examples)
    return sum(n - 1 for n in counts.values())


def check(data: TrainingData) -> None:
    """Refuse data that nothing sound could come of.

    Raises:
        TrainingRefused: there is no example; one has an empty prompt or answer; or a held-out question is also
            trained on.
    """
    if not data.train:
        raise TrainingRefused(f"{data.source or 'the data'}: no training example; give a file that holds some")
    for example in (*data.train, *data.heldout):
        if not example.prompt.strip() or not example.answer.strip():
            raise TrainingRefused(
                f"{data.source or 'the data'}: {example.id or 'an example'} has an empty "
                f"{'answer' if example.prompt.strip() else 'prompt'}; mend or remove it"
            )
    trained = {question_key(e): e for e in data.train}
    leaked = [e for e in data.heldout if question_key(e) in trained]
    if leaked:
        first = leaked[0]
        raise TrainingRefused(
            f"{len(leaked)} of {len(data.heldout)} held-out questions are also trained on, such as "
            f"{first.id or first.prompt[:60]!r}; split by question, or remove them from one side"
        )


def named(examples: Sequence[Example], stem: str) -> tuple[Example, ...]:
    """The examples, those without an id named `stem:number` from 1."""
    return tuple(
        e if e.id else Example(e.prompt, e.answer, e.property, f"{stem}:{number}", e.input)
        for number, e in enumerate(examples, 1)
    )


def read_examples(path: Path) -> tuple[Example, ...]:
    """Read JSON lines with `prompt` and `answer`, and optionally `input`, `property` and `id`.

    Raises:
        TrainingRefused: the file cannot be read, is empty, or a line is not such an object; every wrong line
            is named, up to five.
    """
    try:
        # Not splitlines: a JSON text may hold line separators that are no line's end here.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingRefused(f"{path}: cannot be read as UTF-8 text: {error}") from error
    found: list[Example] = []
    wrong: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        problem, row = _row(line)
        if problem:
            wrong.append(f"line {number}: {problem}")
        else:
            found.append(Example(**{"id": f"{path.name}:{number}", **row}))
    if wrong:
        raise TrainingRefused(f"{path}: {'; '.join(wrong[:5])}{' and more' * (len(wrong) > 5)}; see docs/training.md")
    if not found:
        raise TrainingRefused(f"{path}: no example in it; one JSON object a line, see docs/training.md")
    return tuple(found)


def _row(line: str) -> tuple[str, dict[str, Any]]:
    try:
        row = json.loads(line)
    except ValueError as error:
        return f"not JSON ({error})", {}
    if not isinstance(row, dict):
        return "not a JSON object", {}
    unknown = sorted(set(row) - FIELDS)
    if unknown:
        return f"unknown field {', '.join(unknown)}", {}
    bad = sorted(k for k, v in row.items() if not isinstance(v, str))
    if bad:
        return f"{', '.join(bad)} must be text", {}
    empty = [k for k in ("prompt", "answer") if not row.get(k, "").strip()]
    return (f"{' and '.join(empty)} missing or empty", {}) if empty else ("", row)
