"""Open questions with the answers of the members and the one that is right: what a summary model learns from.

One JSON object a line: `id`, `question`, `answers` (member to its answer, the same members in every line) and `target`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from labwright.errors import WrongUse
from labwright.models.topla.questions import read_lines

PARTS = (0.7, 0.15)
"""Shares that are trained on and that choose the epoch; the rest is measured on."""


class Drafted(BaseModel):
    """One open question with its drafts."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(min_length=1, max_length=200)
    question: str = Field(min_length=1, max_length=40_000)
    answers: dict[str, str] = Field(min_length=1)
    target: str = Field(min_length=1, max_length=8_000)


def read_drafts(path: Path) -> list[Drafted]:
    """Read a file of drafts.

    Raises:
        WrongUse: it cannot be read, a line is none, an id or a question occurs twice, or members differ.
    """
    found = read_lines(path, Drafted, "drafts")
    for what, keys in (("ids", [r.id for r in found]), ("questions", [r.question.strip().casefold() for r in found])):
        if twice := [key for key, n in Counter(keys).items() if n > 1]:
            raise WrongUse(f"{path}: {what} occur twice, such as {twice[0][:80]!r}")
    if other := [r.id for r in found if set(r.answers) != set(found[0].answers)]:
        raise WrongUse(f"{path}: {other[0]} has answers of other members than {found[0].id}")
    return found


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
