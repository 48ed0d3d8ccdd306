"""What long benchmarks share: parts that can be measured alone, a limit in minutes, lines about a training, and the command."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from labwright.errors import WrongUse
from labwright.models.training.results import Progress

SAY_EVERY_S = 20.0
"""Least time between two lines about one training."""


def refuse_unknown(parts: Sequence[str], known: Collection[str]) -> None:
    """Refuse parts that a benchmark does not have.

    Raises:
        WrongUse: with the names that there are.
    """
    if unknown := [part for part in parts if part not in known]:
        raise WrongUse(f"--parts {', '.join(unknown)}: any of {', '.join(known)}")


def within(minutes: float | None) -> Callable[[], bool]:
    """Whether another piece of work may be begun: for so many minutes from now; None means always.

    Raises:
        WrongUse: not more than 0.
    """
    if minutes is None:
        return lambda: True
    if minutes <= 0:
        raise WrongUse(f"--most-minutes {minutes:g}: more than 0")
    end = time.monotonic() + 60 * minutes
    return lambda: time.monotonic() < end


def command(suite: str, parts: Sequence[str], *, quick: bool = False, model: str = "") -> str:
    """What was typed, for the document; no parts means those that run unasked."""
    flags = [
        f"--parts {','.join(parts)}" if parts else "",
        "--quick" if quick else "",
        f"--model {model}" if model else "",
    ]
    return " ".join([f"labwright bench {suite}", *filter(None, flags)])


def training_progress(name: str, say: Callable[[str], None]) -> Callable[[Progress], None]:
    """Says how a training is getting on: its notes at once, its steps now and then and at the end.

    Args:
        name: of what is trained.
        say: shows a line.
    """
    shown = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal shown
        if progress.note:
            say(f"{name}: {progress.note}")
        elif progress.step == progress.steps or time.monotonic() - shown >= SAY_EVERY_S:
            shown = time.monotonic()
            left = f", about {progress.remaining_s / 60:.0f} min left" if progress.step < progress.steps else ""
            speed = f", {progress.tokens_per_s:.0f} tokens/s" if progress.tokens_per_s > 0 else ""
            say(f"{name}: step {progress.step} of {progress.steps}, loss {progress.loss:.3f}{speed}{left}")

    return report
