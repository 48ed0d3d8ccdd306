"""Closed questions with known answers, on which members are measured, chosen and joined.

One JSON object a line: `id`, `question`, `labels` (the answers that are allowed, the same for all lines), `answer` (one
of them) and, where the question is about a text, `context`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from labwright.errors import WrongUse

T = TypeVar("T", bound=BaseModel)
MOST_FAULTS = 3
"""Faults that a message names."""


class Question(BaseModel):
    """One closed question."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(min_length=1, max_length=200)
    question: str = Field(min_length=1, max_length=4_000)
    labels: tuple[str, ...] = Field(min_length=2, max_length=26)
    answer: str
    context: str = Field("", max_length=40_000)

    @model_validator(mode="after")
    def _answer_is_allowed(self) -> Self:
        if self.answer not in self.labels:
            raise ValueError(f"the answer {self.answer!r} is none of the labels")
        if len({label[:1].casefold() for label in self.labels}) < len(self.labels):
            raise ValueError("labels must begin with different letters, since their first token is read")
        return self


def read_questions(path: Path) -> list[Question]:
    """Read a file of questions.

    Raises:
        WrongUse: the file cannot be read, a line is no question, an id occurs twice, or label sets differ.
    """
    return checked(read_lines(path, Question, "questions"), str(path))


def read_lines(path: Path, kind: type[T], what: str) -> list[T]:
    """Read JSON lines of one kind.

    Args:
        path: the file.
        kind: what a line is.
        what: what the file holds, for messages.

    Raises:
        WrongUse: the file cannot be read, holds none, or a line is none; the first faults are named.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # JSON texts may hold other line separators
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    found, faults = [], []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(kind.model_validate(json.loads(line)))
            except (json.JSONDecodeError, ValidationError) as error:
                faults.append(f"line {number}: {_words(error)}")
    if faults:
        more = f" and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise WrongUse(f"{path}: {'; '.join(faults[:MOST_FAULTS])}{more}")
    if not found:
        raise WrongUse(f"{path}: holds no {what}")
    return found


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the line'}: {e['msg']}" for e in error.errors()[:2])
    return str(error)


def checked(questions: Sequence[Question], where: str) -> list[Question]:
    """The questions, when ids are distinct and all have the same labels in the same order.

    Raises:
        WrongUse: they are not.
    """
    twice = [name for name, n in Counter(q.id for q in questions).items() if n > 1]
    if twice:
        raise WrongUse(f"{where}: ids occur twice: {', '.join(twice[:MOST_FAULTS])}")
    sets = {q.labels for q in questions}
    if len(sets) > 1:
        shown = " and ".join("/".join(s) for s in sorted(sets)[:2])
        raise WrongUse(f"{where}: questions have different labels, such as {shown}; make one file for each")
    return list(questions)


def halves(questions: Sequence[Question], seed: int = 0) -> tuple[list[Question], list[Question]]:
    """A half that chooses and a half that reports, with equal shares of every answer.

    Raises:
        WrongUse: a text occurs twice, and so might stand in both halves.
    """
    texts = Counter((q.question.strip().casefold(), q.context.strip().casefold()) for q in questions)
    twice = [text for (text, _), n in texts.items() if n > 1]
    if twice:
        raise WrongUse(
            f"{len(twice)} questions occur twice, such as {twice[0][:80]!r}; choose and report need distinct ones"
        )
    rng = random.Random(seed)  # noqa: S311  (a split, not a secret)
    sides: tuple[list[Question], list[Question]] = ([], [])
    turn = 0
    for label in questions[0].labels if questions else ():
        mine = [q for q in questions if q.answer == label]
        rng.shuffle(mine)
        for question in mine:  # the turn goes on over the labels, so that no side gets every odd one
            sides[turn % 2].append(question)
            turn += 1
    return sides


def keys(questions: Sequence[Question]) -> NDArray[np.int64]:
    """Index of each question's answer among the labels; shape (n,)."""
    return np.array([q.labels.index(q.answer) for q in questions], dtype=np.int64)
