"""What long benchmarks share: parts that can be measured alone, a limit in minutes, and the command that measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from labwright.errors import WrongUse


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
