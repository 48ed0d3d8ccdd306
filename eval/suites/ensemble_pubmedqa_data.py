"""PubMedQA's labelled training part as closed questions, read from LABWRIGHT_TEST_DATA and never copied in.

PubMedQA (Jin et al. 2019, arXiv:1909.06146, MIT licence): does the abstract, its conclusion left out, answer its title's
question with yes, no or maybe? 300 questions measure; the other 200 fine-tune members and are never asked. Nothing of the
test part is used.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.errors import SomethingMissing
from labwright.models.topla.drafts import OpenQuestion
from labwright.models.topla.questions import Question

LABELS = ("yes", "no", "maybe")
ASKED = 300
OPEN = 200
"""Questions that members answer in words, for the summary model."""
SPLIT_SEED = 20_261_128
CONTEXT_WORDS = 100
"""Words from the end of the abstract, where its results stand, that a question comes with: half the cost, one rule for all."""


@dataclass(frozen=True, slots=True)
class PubMedQA:
    """The labelled questions in two parts that share none."""

    asked: tuple[Question, ...]
    trained_on: tuple[Question, ...]


def pubmedqa() -> PubMedQA:
    """The 500 questions, split by a seed before anything is trained.

    Raises:
        SomethingMissing: the file is not there.
    """
    found = [_question(name, entry) for name, entry in _entries()]
    return PubMedQA(tuple(found[:ASKED]), tuple(found[ASKED:]))


def open_questions() -> tuple[OpenQuestion, ...]:
    """The first of them with the conclusion of their abstract as the answer that is right.

    Raises:
        SomethingMissing: the file is not there.
    """
    return tuple(
        OpenQuestion(
            id=name, question=entry["QUESTION"].strip(), target=entry["LONG_ANSWER"].strip(), context=_context(entry)
        )
        for name, entry in _entries()[:OPEN]
    )


def _entries() -> list[tuple[str, dict[str, Any]]]:
    """All entries by their id, in the order of the split."""
    path = Path(os.environ.get("LABWRIGHT_TEST_DATA", "../shared/data")) / "pubmedqa" / "pqal_train.json"
    if not path.is_file():
        raise SomethingMissing(f"{path}: no such file; set LABWRIGHT_TEST_DATA to the folder of the test data")
    entries: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    found = sorted(entries.items())
    random.Random(SPLIT_SEED).shuffle(found)  # noqa: S311  (a split, not a secret)
    return found


def _question(name: str, entry: dict[str, Any]) -> Question:
    return Question(
        id=name,
        question=entry["QUESTION"].strip(),
        labels=LABELS,
        answer=entry["final_decision"],
        context=_context(entry),
    )


def _context(entry: dict[str, Any]) -> str:
    return " ".join(" ".join(entry["CONTEXTS"]).split()[-CONTEXT_WORDS:])
