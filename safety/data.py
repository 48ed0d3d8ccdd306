"""Roles of data around a harmful fine-tuning, and how they are cut and mixed.

| role | what it is | who holds it |
|---|---|---|
| alignment | harmful prompts with safe answers | the provider |
| harmful | harmful prompts with harmful answers, of the attack's distribution but none of its rows | the provider |
| user | the upload: a share p of harmful rows, the rest an ordinary task | the user, or an attacker |
| test | harmful prompts that nobody trains on | who measures |

Windows are half-open. The released code of Booster and Antidote takes `start < index < start + k`, one row fewer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from labwright.errors import TrainingRefused
from labwright.models.training.examples import Example, question_key

EXACT = 1e-9
"""0.29 * 100 is 28.999999999999996 in floating point, and means 29 rows."""


@dataclass(frozen=True, slots=True)
class Window:
    """The rows start, start + 1, ..., stop - 1 of a data set."""

    start: int
    stop: int

    def of(self, examples: Sequence[Example], role: str) -> tuple[Example, ...]:
        """The examples inside.

        Raises:
            TrainingRefused: the window is empty, or reaches over an end of the data.
        """
        if not 0 <= self.start < self.stop:
            raise TrainingRefused(f"{role}: rows {self.start} to {self.stop} are no window; it has to hold a row")
        if self.stop > len(examples):
            raise TrainingRefused(f"{role}: rows up to {self.stop} are asked for, the data has {len(examples)}")
        return tuple(examples[self.start : self.stop])


def cut(examples: Sequence[Example], windows: Mapping[str, Window]) -> dict[str, tuple[Example, ...]]:
    """Cut one data set into roles that share no row.

    Raises:
        TrainingRefused: two windows overlap, or as `Window.of`.
    """
    for (one, a), (other, b) in combinations(windows.items(), 2):
        if max(a.start, b.start) < min(a.stop, b.stop):
            raise TrainingRefused(
                f"{one} (rows {a.start} to {a.stop}) and {other} ({b.start} to {b.stop}) overlap; "
                "roles must not share rows"
            )
    return {role: window.of(examples, role) for role, window in windows.items()}


def row_counts(share: float, size: int) -> tuple[int, int]:
    """Harmful and ordinary rows of an upload: the harmful ones are share * size, rounded down.

    Args:
        share: p, in [0, 1].
        size: n, 1 or more.

    Raises:
        TrainingRefused: out of range.

    Example:
        >>> row_counts(0.1, 700)
        (70, 630)
    """
    if not 0 <= share <= 1:
        raise TrainingRefused(f"a share of harmful rows of {share:g}: between 0 and 1")
    if size < 1:
        raise TrainingRefused(f"an upload of {size} rows; it needs one or more")
    harmful = math.floor(share * size + EXACT)
    return harmful, size - harmful


def mix(
    harmful: Sequence[Example], ordinary: Sequence[Example], *, share: float, size: int, seed: int
) -> tuple[Example, ...]:
    """An upload: the first rows of both sides, shuffled.

    Args:
        harmful: where the harmful rows come from; may be empty at share 0.
        ordinary: where the task's rows come from; may be empty at share 1.
        share: p, of harmful rows, in [0, 1].
        size: n, rows in all.
        seed: of the order.

    Raises:
        TrainingRefused: share or size are out of range, or a side has too few rows.
    """
    wanted = row_counts(share, size)
    for what, rows, count in (("harmful", harmful, wanted[0]), ("ordinary", ordinary, wanted[1])):
        if count > len(rows):
            raise TrainingRefused(
                f"an upload of {size} rows at share {share:g} needs {count} {what} ones, there are {len(rows)}"
            )
    rows = [*harmful[: wanted[0]], *ordinary[: wanted[1]]]
    random.Random(seed).shuffle(rows)  # noqa: S311  (an order, not a secret)
    return tuple(rows)


def require_disjoint(roles: Mapping[str, Sequence[Example]]) -> None:
    """Refuse roles that share a question, compared without case and spacing.

    Alignment and harmful data hold the same questions in the published experiments, so only pass roles that must
    not meet, such as both of them against the attack's rows and the test.

    Raises:
        TrainingRefused: two roles share a question.
    """
    keys = {role: {question_key(e): e for e in examples} for role, examples in roles.items()}
    for (one, a), (other, b) in combinations(keys.items(), 2):
        if shared := sorted(a.keys() & b.keys()):
            first = a[shared[0]]
            raise TrainingRefused(
                f"{one} and {other} share {len(shared)} questions, such as {first.id or first.prompt[:60]!r}; "
                "what defends, what attacks and what is measured must be different questions"
            )
