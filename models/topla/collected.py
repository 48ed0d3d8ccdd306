"""What members say to closed questions, kept in a folder a member and question at a time, so that it resumes.

The folder holds `questions.jsonl` and `scores/<member>.jsonl`, one line a question: the probability of each label,
tokens and seconds. A line is whole or ignored.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from labwright.errors import WrongUse
from labwright.models.ask import Prompt, Session, choose
from labwright.models.diversity import Floats
from labwright.models.prompt_file import Material, load_prompt
from labwright.models.topla.questions import Question, read_questions

V = TypeVar("V")
FLOOR = 1e-6
"""Least probability of a label, so that its logarithm is a number."""
FENCE = "text"
Report = Callable[[str, int, int], None]
"""Called with the member, questions done, questions in all."""


@dataclass(frozen=True, slots=True)
class Collected:
    """Scores of all members on the same questions."""

    questions: tuple[Question, ...]
    members: tuple[str, ...]
    models: dict[str, str]
    """Member to the model that answered."""
    scores: Floats
    """Shape (n, S, C): log-probability of each label, normalised over the labels."""
    unanswered: dict[str, int]
    """Member to the number of questions on which it gave the labels no mass; those count as even odds."""
    seconds: dict[str, float]
    """Member to mean seconds a question."""
    tokens: dict[str, float]
    """Member to mean tokens a question, prompt and answer."""


class Answered(BaseModel):
    """A line of a member's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    backend: str
    """Model that answered."""
    prompt: str
    """Hash of the words in which it was asked."""
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    decided_by: str
    """`fallback` where the model gave the labels no probability."""
    seconds: float
    tokens: float


def prepare(folder: Path, questions: Sequence[Question]) -> None:
    """Make the folder for these questions; one that holds others is refused.

    Raises:
        WrongUse: the folder was made for other questions.
    """
    text = "".join(q.model_dump_json() + "\n" for q in questions)
    path = folder / "questions.jsonl"
    if path.is_file():
        if path.read_text(encoding="utf-8") != text:
            raise WrongUse(f"{folder}: holds answers to other questions; name another folder")
        return
    (folder / "scores").mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def collect(folder: Path, member: str, session: Session, report: Report = lambda *_: None) -> None:
    """Ask one member every question of the folder that it has not answered yet.

    Args:
        folder: of `prepare`.
        member: its name; letters, digits, dots, dashes and underscores.
        session: how it is asked.
        report: shows progress.

    Raises:
        WrongUse: the name cannot be a file's, or the member of that name was another model.
    """
    questions = read_questions(folder / "questions.jsonl")
    path, rows = file_of(folder / "scores", member, session.backend)
    for number, question in enumerate(questions):
        if question.id not in rows:
            append_row(path, _answer(session, question))
        report(member, number + 1, len(questions))


def closed_prompt(question: Question) -> Prompt:
    """A closed question as members are asked it; a member that is trained for such questions is trained on this."""
    context = Material(question.context or "(no text)", FENCE)
    return load_prompt("labwright.models.topla.prompts", "closed").render(
        question=Material(question.question, FENCE), context=context, labels=", ".join(question.labels)
    )


def _answer(session: Session, question: Question) -> dict[str, Any]:
    asked = closed_prompt(question)
    even = dict.fromkeys(question.labels, 1 / len(question.labels))
    said, cost = costed(session, lambda: choose(session, asked, question.labels, fallback=even))
    return {
        "id": question.id,
        "backend": session.backend,
        "prompt": asked.hash,
        "labels": list(question.labels),
        "probabilities": [said.value[label] for label in question.labels],
        "decided_by": said.decided_by,
        **cost,
    }


def costed(session: Session, ask: Callable[[], V]) -> tuple[V, dict[str, float]]:
    """What asking gives, and its seconds and tokens, prompt and answer."""
    before = session.log.totals()
    started = time.perf_counter()
    said = ask()
    seconds = time.perf_counter() - started
    after = session.log.totals()
    tokens = after.prompt_tokens + after.generated_tokens - before.prompt_tokens - before.generated_tokens
    return said, {"seconds": round(seconds, 4), "tokens": tokens}


def file_of(folder: Path, member: str, model: str) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A member's file in a folder, and its rows by their id.

    Raises:
        WrongUse: the name cannot be a file's, or the member of that name was another model.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", member):
        raise WrongUse(f"{member!r}: a member's name has letters, digits, dots, dashes and underscores")
    path = folder / f"{member}.jsonl"
    rows = read_rows(path)
    other = {str(row.get("backend")) for row in rows.values()} - {model}
    if other:
        raise WrongUse(f"{path}: answered by {', '.join(sorted(other))}, not by {model}; use another name")
    return path, rows


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Append a row whole; it is on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.is_file() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as out:
        out.write(("\n" if torn else "") + json.dumps(row) + "\n")
        out.flush()
        os.fsync(out.fileno())


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """The whole rows of a file by their id; none where there is no file."""
    rows: dict[str, dict[str, Any]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # a crash tore it; the question is asked again
            if isinstance(row, dict) and "id" in row:
                rows[str(row["id"])] = row
    return rows


def load(folder: Path, members: Sequence[str] = ()) -> Collected:
    """The scores of members, those of all who answered when none are named.

    Raises:
        WrongUse: no questions or members, a member has not answered all, answered other labels, gave scores that
            are no probabilities, or was asked in other words.
    """
    if not (folder / "questions.jsonl").is_file():
        raise WrongUse(f"{folder}: no questions there; see `labwright models ensemble collect`")
    questions = read_questions(folder / "questions.jsonl")
    found = tuple(members) or tuple(sorted(p.stem for p in (folder / "scores").glob("*.jsonl")))
    if not found:
        raise WrongUse(f"{folder}: no member has answered; see `labwright models ensemble collect`")
    scores = np.empty((len(questions), len(found), len(questions[0].labels)))
    models, unanswered, seconds, tokens = {}, {}, {}, {}
    asked: set[str] = set()
    for place, member in enumerate(found):
        rows = _answers(folder / "scores" / f"{member}.jsonl", questions)
        shares = np.array([row.probabilities for row in rows])
        if not np.isfinite(shares).all() or (shares < 0).any():
            raise WrongUse(f"{member}: scores are not numbers of 0 or more; delete its file and collect again")
        scores[:, place] = np.log(np.maximum(shares, FLOOR))
        asked.update(row.prompt for row in rows)
        models[member] = rows[0].backend
        unanswered[member] = sum(row.decided_by != "model" for row in rows)
        seconds[member] = float(np.mean([row.seconds for row in rows]))
        tokens[member] = float(np.mean([row.tokens for row in rows]))
    if len(asked) > 1:
        raise WrongUse(
            f"{folder}: answers to different prompts, of other versions of labwright; collect in a new folder"
        )
    return Collected(tuple(questions), found, models, scores, unanswered, seconds, tokens)


def _answers(path: Path, questions: Sequence[Question]) -> list[Answered]:
    """A member's answer to each question."""
    member, given = path.stem, read_rows(path)
    missing = sum(q.id not in given for q in questions)
    if missing:
        raise WrongUse(f"{member}: {missing} of {len(questions)} questions have no answer; collect again to go on")
    try:
        rows = [Answered.model_validate(given[q.id]) for q in questions]
    except ValidationError as error:
        first = error.errors()[0]
        wrong = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise WrongUse(f"{path}: a line is no answer ({wrong}); delete the file and collect again") from error
    labels = questions[0].labels
    if any(row.labels != labels or len(row.probabilities) != len(labels) for row in rows):
        raise WrongUse(f"{member}: answered other labels than {'/'.join(labels)}")
    return rows
