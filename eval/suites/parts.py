"""Parts of a benchmark that can be measured alone: which were asked for, and the command that measured them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from labwright.errors import WrongUse


def refuse_unknown(parts: Sequence[str], known: Collection[str]) -> None:
    """Refuse parts that a benchmark does not have.

    Raises:
        WrongUse: with the names that there are.
    """
    if unknown := [part for part in parts if part not in known]:
        raise WrongUse(f"--parts {', '.join(unknown)}: any of {', '.join(known)}")


def command(suite: str, parts: Sequence[str], *, quick: bool = False, model: str = "") -> str:
    """What was typed, for the document; no parts means those that run unasked."""
    flags = [
        f"--parts {','.join(parts)}" if parts else "",
        "--quick" if quick else "",
        f"--model {model}" if model else "",
    ]
    return " ".join([f"labwright bench {suite}", *filter(None, flags)])
