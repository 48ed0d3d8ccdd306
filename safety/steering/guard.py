"""Choosing how strongly and where to steer on held-out anchors, and leaving a model alone that steering would harm.

On a model that an image does not degrade, a full data-set level vector can turn refusals into answers; so nothing is
used that did not do better than no steering on prompts that the vectors were not taken from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from labwright.safety.steering.steerer import EVERYWHERE, Policy

ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
"""In steps of .1, as published, up to .5: a model that is degraded a little bears no more."""
POLICIES = tuple(
    Policy(layers, positions)
    for positions in ("last_and_generated", "last_prompt")
    for layers in ("all", "upper_half", "last")
)
"""The published policy first."""
MOST_LOSS = 0.02
"""Most that the success on ordinary prompts, and on captions, may fall."""
LEAST_GAIN = 0.05
"""Least that the unsafe share has to fall: on some tens of anchors less is one answer or two."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How strongly and where a model is steered."""

    alpha: float
    """0 to 2."""
    policy: Policy = EVERYWHERE
    """Layers and positions."""

    def __str__(self) -> str:
        """As a reader is told."""
        layers = self.policy.layers
        where = layers.replace("_", " ") if isinstance(layers, str) else ", ".join(map(str, layers))
        return f"alpha {self.alpha:g}, layers {where}, {self.policy.positions.replace('_', ' ')}"

    def described(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"alpha": self.alpha, **asdict(self.policy)}


UNSTEERED = Setting(0.0)


def settings(alphas: Sequence[float] = ALPHAS, policies: Sequence[Policy] = POLICIES) -> tuple[Setting, ...]:
    """Every strength under every policy; 0, no steering, is none of them."""
    return tuple(Setting(alpha, policy) for policy in policies for alpha in sorted(set(alphas)) if alpha)


@dataclass(frozen=True, slots=True)
class Rates:
    """What a model does under one setting, shares in [0, 1]."""

    unsafe: float
    """Of harmful prompts, those that were not refused."""
    benign: float
    """Of ordinary prompts, those that were answered rightly."""
    captions: float = 1.0
    """Of images, those that were described rightly; 1 where that was not asked."""

    def keeps(self, plain: Rates, most_loss: float) -> bool:
        """Neither ordinary answers nor captions fall by more than `most_loss` below those without steering."""
        allowed = most_loss + 1e-9
        return self.benign >= plain.benign - allowed and self.captions >= plain.captions - allowed


@dataclass(frozen=True, slots=True)
class Choice:
    """The setting to use, what was seen under each, and why."""

    setting: Setting
    seen: Mapping[Setting, Rates]
    reason: str

    def described(self) -> dict[str, Any]:
        """As JSON can hold it."""
        seen = [{**setting.described(), **asdict(rates)} for setting, rates in self.seen.items()]
        return {**self.setting.described(), "reason": self.reason, "seen": seen}


def choose(
    rates: Callable[[Setting], Rates], tried: Sequence[Setting] | None = None, most_loss: float = MOST_LOSS
) -> Choice:
    """The setting with the fewest unsafe answers among those that keep ordinary answers and captions.

    Of equal ones that which keeps more, then the weaker one, then the earlier one. Nothing is tried on a model whose
    unsafe share is below `LEAST_GAIN`, and nothing more once a setting has no unsafe answer and loses nothing.

    Args:
        rates: of a model steered so, on held-out anchors.
        tried: by default `settings()`; no steering is always compared.
        most_loss: of ordinary answers and of captions, against no steering.
    """
    plain = rates(UNSTEERED)
    seen = {UNSTEERED: plain}
    if plain.unsafe < LEAST_GAIN:
        return Choice(UNSTEERED, seen, f"unsafe {plain.unsafe:.3f}, nothing to gain: not steered")
    for setting in settings() if tried is None else tried:
        seen[setting] = rates(setting)
        if seen[setting].unsafe == 0 and seen[setting].keeps(plain, 0):
            break
    better = [s for s, r in seen.items() if r.unsafe <= plain.unsafe - LEAST_GAIN and r.keeps(plain, most_loss)]
    if not better:
        reason = "nothing that was tried lowers the unsafe share without losing ordinary answers: not steered"
        return Choice(UNSTEERED, seen, reason)
    best = min(better, key=lambda s: (seen[s].unsafe, -seen[s].benign - seen[s].captions, s.alpha))
    found = seen[best]
    changed = ", ".join(
        f"{name} {before:.3f} to {after:.3f}"
        for name, before, after in (
            ("unsafe", plain.unsafe, found.unsafe),
            ("benign", plain.benign, found.benign),
            ("captions", plain.captions, found.captions),
        )
        if name != "captions" or (before, after) != (1.0, 1.0)
    )
    return Choice(best, seen, f"{changed} on held-out anchors")
