"""Open questions with the answers of the members and the one that is right: what a summary model learns from.

A file of questions has one JSON object a line: `id`, `question`, `target` (the answer that is right) and perhaps
`context`. A file of drafts: `id`, `question`, `answers` (member to its answer, the same members in every line) and
`target`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from labwright.errors import AnswerInvalid, WrongUse
from labwright.models.ask import Session, ask
from labwright.models.prompt_file import Material, load_prompt
from labwright.models.topla.collected import FENCE, Report, append_row, costed, file_of, read_rows
from labwright.models.topla.questions import read_lines

MOST_LETTERS, MOST_TOKENS = 600, 200
"""Of a member's answer."""
PARTS = (0.7, 0.15)
"""Shares that are trained on and that choose the epoch; the rest is measured on."""


class OpenQuestion(BaseModel):
    """One open question with the answer that is right."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(min_length=1, max_length=200)
    question: str = Field(min_length=1, max_length=4_000)
    target: str = Field(min_length=1, max_length=8_000)
    context: str = Field("", max_length=40_000)


class Draft(BaseModel):
    """What a member is asked for."""

    model_config = ConfigDict(extra="forbid")
    answer: str = Field(min_length=1, max_length=MOST_LETTERS)


class Drafted(BaseModel):
    """One open question with its drafts."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(min_length=1, max_length=200)
    question: str = Field(min_length=1, max_length=40_000)
    answers: dict[str, str] = Field(min_length=1)
    target: str = Field(min_length=1, max_length=8_000)


def draft(folder: Path, member: str, session: Session, questions: Sequence[OpenQuestion], report: Report) -> None:
    """Ask one member every question that it has not answered yet; an answer that cannot be had is an empty one.

    Args:
        folder: one file a member is kept there.
        member: its name; letters, digits, dots, dashes and underscores.
        session: how it is asked.
        questions: what it is asked.
        report: shows progress.

    Raises:
        WrongUse: the name cannot be a file's, or the member of that name was another model.
    """
    path, rows = file_of(folder, member, session.backend)
    for number, question in enumerate(questions):
        if question.id not in rows:
            said, cost = costed(session, partial(_written, session, question))
            append_row(path, {"id": question.id, "backend": session.backend, "answer": said, **cost})
        report(member, number + 1, len(questions))


def _written(session: Session, question: OpenQuestion) -> str:
    asked = load_prompt("labwright.models.topla.prompts", "open").render(
        question=Material(question.question, FENCE), context=Material(question.context or "(no text)", FENCE)
    )
    try:
        return ask(session, asked, Draft, max_tokens=MOST_TOKENS).value.answer.strip()
    except AnswerInvalid:
        return ""


def drafted(folder: Path, members: Sequence[str], questions: Sequence[OpenQuestion]) -> list[Drafted]:
    """The questions with what the members wrote.

    Raises:
        WrongUse: a member has not answered all.
    """
    rows = {m: read_rows(folder / f"{m}.jsonl") for m in members}
    for member, given in rows.items():
        if missing := sum(q.id not in given for q in questions):
            raise WrongUse(f"{member}: {missing} of {len(questions)} questions have no draft; draft again to go on")
    return [
        Drafted(
            id=q.id,
            question=f"{q.question}\n{q.context}".strip(),
            answers={m: rows[m][q.id]["answer"] for m in members},
            target=q.target,
        )
        for q in questions
    ]


def read_open_questions(path: Path) -> list[OpenQuestion]:
    """Read a file of open questions.

    Raises:
        WrongUse: it cannot be read, a line is none, or an id occurs twice.
    """
    found = read_lines(path, OpenQuestion, "questions")
    _distinct(path, "ids", [q.id for q in found])
    return found


def read_drafts(path: Path) -> list[Drafted]:
    """Read a file of drafts.

    Raises:
        WrongUse: it cannot be read, a line is none, an id or a question occurs twice, or members differ.
    """
    found = read_lines(path, Drafted, "drafts")
    _distinct(path, "ids", [r.id for r in found])
    _distinct(path, "questions", [r.question.strip().casefold() for r in found])
    if other := [r.id for r in found if set(r.answers) != set(found[0].answers)]:
        raise WrongUse(f"{path}: {other[0]} has answers of other members than {found[0].id}")
    return found


def _distinct(path: Path, what: str, keys: Sequence[str]) -> None:
    if twice := [key for key, n in Counter(keys).items() if n > 1]:
        raise WrongUse(f"{path}: {what} occur twice, such as {twice[0][:80]!r}")


def parted(rows: Sequence[Drafted], seed: int = 0) -> tuple[list[Drafted], list[Drafted], list[Drafted]]:
    """Rows to train on, to choose the epoch on, and to measure on.

    Raises:
        WrongUse: one of them would be empty.
    """
    order = list(rows)
    random.Random(seed).shuffle(order)  # noqa: S311  (a split, not a secret)
    first, second = int(PARTS[0] * len(order)), int(sum(PARTS) * len(order))
    parts = order[:first], order[first:second], order[second:]
    if not all(parts):
        raise WrongUse(f"{len(order)} drafts are too few to train, choose and measure on; ten are the least")
    return parts


def rouge_1(said: str, wanted: str) -> float:
    """ROUGE-1 F (Lin 2004): F1 of the words that two texts share, each as often as it occurs in both; in [0, 1].

    Words are runs of letters and digits, without case; no stemming. An empty text scores 0.

    Example:
        >>> rouge_1("Yes, it helps.", "it helps them")
        0.6666666666666666
    """
    one, other = (Counter(re.findall(r"\w+", text.casefold())) for text in (said, wanted))
    shared = sum((one & other).values())
    return 2 * shared / (sum(one.values()) + sum(other.values())) if shared else 0.0
