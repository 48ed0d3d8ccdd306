"""Numbers that people type."""

from __future__ import annotations

from typing import Any

from labwright.errors import WrongUse

MOST = 1e12


def number(text: Any, name: str) -> float | None:
    """A number from 0 up; None for nothing.

    Raises:
        WrongUse: it is none.
    """
    if text in (None, ""):
        return None
    try:
        value = float(text)
    except (TypeError, ValueError) as error:
        raise WrongUse(f"{name}: a number, not {str(text)[:20]!r}") from error
    if not 0 <= value < MOST:
        raise WrongUse(f"{name}: a number from 0 up, below {MOST:g}")
    return value


def whole_number(text: Any, name: str) -> int | None:
    """A whole number from 0 up; None for nothing.

    Raises:
        WrongUse: it is none.
    """
    value = number(text, name)
    if value is not None and not value.is_integer():
        raise WrongUse(f"{name}: a whole number, not {str(text)[:20]!r}")
    return None if value is None else int(value)
