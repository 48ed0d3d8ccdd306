"""The alignment data of `labwright bench fusion` and `bench safety`, read from LABWRIGHT_TEST_DATA and never copied in.

Instructions with answers (Self-Instruct, Apache-2.0), risky instructions with safe replies (CC BY-NC 4.0), TruthfulQA
with the human labels of its judges (Apache-2.0). Held-out items are fixed by a seed before anything is trained.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from labwright.errors import SomethingMissing
from labwright.eval.honesty import Label, Labelled, Question
from labwright.safety.refusal import ReplyKind, kind_of_reply

HELD_OUT = 150
"""Items a property that no model is trained on."""
SPLIT_SEED = 20_261_128


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction, its input where it has one, and the reference answer."""

    id: str
    text: str
    input: str
    answer: str

    @property
    def shown(self) -> str:
        """Instruction and input as one text."""
        return f"{self.text}\n{self.input}".strip()


def folder() -> Path:
    """Folder of the test data.

    Raises:
        SomethingMissing: it is not there.
    """
    path = Path(os.environ.get("LABWRIGHT_TEST_DATA", "../shared/data"))
    if not (path / "alignment").is_dir():
        raise SomethingMissing(f"{path / 'alignment'}: no alignment data; set LABWRIGHT_TEST_DATA to its folder")
    return path


def helpful() -> list[Instruction]:
    """Instructions with answers of two words or more; those that are labels of a classification are left out."""
    found = []
    for name in ("helpful_seed_tasks", "helpful_user_oriented"):
        for row in _json_lines(folder() / "alignment" / f"{name}.jsonl"):
            instance = row["instances"][0]
            if len(instance["output"].split()) > 1:
                found.append(Instruction(row["id"], row["instruction"], instance["input"], instance["output"]))
    return found


def safe_replies() -> list[Instruction]:
    """Instructions with safe replies, in the order of the file; not every one is risky."""
    rows: list[dict[str, Any]] = json.loads(
        (folder() / "alignment" / "harmless_safe_replies.json").read_text(encoding="utf-8")
    )
    return [Instruction(f"safe_{n}", r["instruction"], r.get("input", ""), r["output"]) for n, r in enumerate(rows)]


def risky() -> list[Instruction]:
    """Instructions whose safe reply refuses; texts that occur twice count once."""
    unique = {i.shown: i for i in reversed(safe_replies()) if kind_of_reply(i.answer) == "refusal"}
    return list(reversed(unique.values()))


def questions() -> list[Question]:
    """TruthfulQA's 817 questions in the order of its file; the best answer is the first correct one."""
    path = folder() / "alignment" / "honest_truthfulqa.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Question(
                row["Question"].strip(),
                tuple(dict.fromkeys((row["Best Answer"].strip(), *_several(row["Correct Answers"])))),
                _several(row["Incorrect Answers"]),
            )
            for row in csv.DictReader(file)
        ]


def halves(items: Sequence[Question]) -> tuple[list[Question], list[Question]]:
    """First and second half in the order given; of an odd number the second is the longer one."""
    middle = len(items) // 2
    return list(items[:middle]), list(items[middle:])


def labelled(label: Label, known: Sequence[Question]) -> list[Labelled]:
    """Answers that people labelled, of the given questions, without those that repeat a reference answer.

    A third of the labelled answers are the references themselves; a judge that sees references would be tested on
    what it was told.
    """
    by_text = {q.text: {_plain(a) for a in (*q.correct, *q.incorrect)} for q in known}
    found = []
    for row in _json_lines(folder() / "judge" / f"truthfulqa_{label}_labels.jsonl"):
        question, answer = row["prompt"].removeprefix("Q:").split("\nA:", 1)
        question, answer = question.strip(), answer.rsplit("\n", 1)[0].strip()
        if question in by_text and answer and _plain(answer) not in by_text[question]:
            found.append(Labelled(question, answer, row["completion"].strip() == "yes"))
    return found


def split(items: Sequence[Instruction], held_out: int = HELD_OUT) -> tuple[list[Instruction], list[Instruction]]:
    """Training and held-out items, fixed by the seed; both in the order of `items`."""
    chosen = set(random.Random(SPLIT_SEED).sample([i.id for i in items], held_out))  # noqa: S311  (not a secret)
    return [i for i in items if i.id not in chosen], [i for i in items if i.id in chosen]


def held_out_questions(n: int = HELD_OUT) -> list[Question]:
    """`n` questions of the second half, fixed by the seed, in the order of the file."""
    second = halves(questions())[1]
    chosen = set(random.Random(SPLIT_SEED).sample(range(len(second)), n))  # noqa: S311  (not a secret)
    return [q for i, q in enumerate(second) if i in chosen]


def refusal_reading(half: str) -> list[tuple[str, ReplyKind]]:
    """Replies and what a reader took them for; half "development" or "held_out".

    Raises:
        SomethingMissing: a reply that was read is not in the data.
    """
    text = (files("labwright.eval.suites") / "alignment" / "refusal_reading.jsonl").read_text(encoding="utf-8")
    known = {_digest(i): i.answer for i in safe_replies()}
    rows = [json.loads(line) for line in text.splitlines()]
    missing = [r["sha256"] for r in rows if r["sha256"] not in known]
    if missing:
        raise SomethingMissing(
            f"{len(missing)} replies that were read are not in the safe replies; is it another file?"
        )
    return [(known[r["sha256"]], r["label"]) for r in rows if r["half"] == half]


def _digest(item: Instruction) -> str:
    return hashlib.sha256(f"{item.text}\n{item.answer}".encode()).hexdigest()[:16]


def _several(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text.casefold()).strip()


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield json.loads(line)
