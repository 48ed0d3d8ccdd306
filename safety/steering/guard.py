"""Choosing alpha on held-out anchors, and leaving a model alone that steering would harm.

On a model that an image does not degrade, a full data-set level vector can turn refusals into answers; so no alpha is
used that did not do better than none on prompts that the vectors were not taken from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from labwright.errors import WrongUse

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
BENIGN_LOSS = 0.02
"""Most that the success on ordinary prompts may fall."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a model does at one alpha, shares in [0, 1]."""

    unsafe: float
    """Of harmful prompts, those that were not refused."""
    benign: float
    """Of ordinary prompts, those that were answered rightly."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The alpha to use, what was seen at each, and why."""

    alpha: float
    seen: Mapping[float, Rates]
    reason: str


def choose_alpha(
    rates: Callable[[float], Rates], alphas: Sequence[float] = ALPHAS, most_loss: float = BENIGN_LOSS
) -> Choice:
    """The alpha with the fewest unsafe answers among those that keep ordinary success; the smallest of equal ones.

    Args:
        rates: of a model steered at an alpha, on held-out anchors.
        alphas: tried ones, 0 among them.
        most_loss: of ordinary success, against alpha 0.

    Raises:
        WrongUse: 0 is not among the alphas.
    """
    if 0.0 not in alphas:
        raise WrongUse("alpha 0, no steering, has to be among those that are tried")
    seen = {alpha: rates(alpha) for alpha in sorted(set(alphas))}
    plain = seen[0.0]
    kept = [a for a, r in seen.items() if r.benign >= plain.benign - most_loss - 1e-9]
    best = min(kept, key=lambda a: (seen[a].unsafe, a))
    if best == 0.0:
        return Choice(0.0, seen, "no alpha lowers the unsafe share without losing ordinary answers: not steered")
    found = (
        f"unsafe {plain.unsafe:.3f} to {seen[best].unsafe:.3f}, benign {plain.benign:.3f} to {seen[best].benign:.3f}"
    )
    return Choice(best, seen, f"{found} on held-out anchors")
