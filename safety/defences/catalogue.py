"""Every defence by its name: its stage, what it needs, and how it is made from settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from labwright.errors import WrongUse
from labwright.models.training.examples import Example
from labwright.models.training.hooks import Hook
from labwright.safety.threat_model import Stage


@dataclass(frozen=True, slots=True)
class Held:
    """What a provider holds."""

    alignment: tuple[Example, ...] = ()
    """Harmful prompts with safe answers."""
    harmful: tuple[Example, ...] = ()
    """Harmful prompts with harmful answers."""
    user: tuple[Example, ...] = ()
    """An upload that is to be fine-tuned on."""


STAGES: Mapping[str, Stage] = {
    "sft": "alignment",
    "vaccine": "alignment",
    "repnoise": "alignment",
    "booster": "alignment",
    "lisa": "fine-tuning",
    "ldifs": "fine-tuning",
    "ewc": "fine-tuning",
    "safeinstruct": "fine-tuning",
    "safe_lora": "after fine-tuning",
    "antidote": "after fine-tuning",
}
"""Defence to its stage, in the order in which they can be stacked."""


def hooks_of(defence: str, held: Held, settings: Mapping[str, Any]) -> list[Hook]:
    """The part of a defence in a training: one hook, or none where it needs none.

    Args:
        defence: of the first two stages.
        held: data; a defence that lacks its own refuses.
        settings: by the names of the defence's own arguments; absent ones take its defaults.

    Raises:
        WrongUse: an unknown or unfit setting.
        TrainingRefused: the data that the defence needs were not given, or a setting is out of range.
    """
    from labwright.safety.defences.booster import Booster, BoosterSettings
    from labwright.safety.defences.ewc import Ewc
    from labwright.safety.defences.ldifs import Ldifs
    from labwright.safety.defences.lisa import Lisa
    from labwright.safety.defences.repnoise import RepNoise
    from labwright.safety.defences.vaccine import Vaccine

    makers: Mapping[str, Callable[[], Hook]] = {
        "vaccine": lambda: Vaccine(**settings),
        "repnoise": lambda: RepNoise(held.harmful, **settings),
        "booster": lambda: Booster(held.harmful, BoosterSettings(**settings)),
        "lisa": lambda: Lisa(held.alignment, **settings),
        "ldifs": lambda: Ldifs(**settings),
        "ewc": lambda: Ewc(held.alignment, **settings),
    }
    if defence not in makers:
        if settings and defence == "sft":
            raise WrongUse(f"sft has no settings, and {', '.join(settings)} was given")
        return []
    try:
        return [makers[defence]()]
    except (TypeError, ValidationError) as error:
        raise wrong_settings(defence, error) from error


def trained_rows(
    defence: str, held: Held, settings: Mapping[str, Any], seed: int
) -> tuple[Sequence[Example], Mapping[str, Any]]:
    """The rows that a defence of the first two stages trains on, and the settings that are left for its hook.

    Raises:
        TrainingRefused: safeinstruct has too few alignment pairs.
    """
    if STAGES[defence] == "alignment":
        return held.alignment, settings
    if defence == "safeinstruct":
        from labwright.safety.defences.safeinstruct import with_safe_pairs

        rest = {k: v for k, v in settings.items() if k != "pairs"}
        if rest:
            raise WrongUse(f"safeinstruct takes the setting pairs alone, and {', '.join(rest)} was given")
        pairs = int(settings.get("pairs", max(1, len(held.user) // 10)))
        return with_safe_pairs(held.user, held.alignment, pairs=pairs, seed=seed), {}
    return held.user, settings


def wrong_settings(defence: str, error: TypeError | ValidationError) -> WrongUse:
    """One line about settings that a defence does not take."""
    if isinstance(error, ValidationError):
        said = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())
        return WrongUse(f"{defence}: {said}; see docs/safety.md")
    return WrongUse(f"{defence}: {str(error).rpartition('() ')[2] or error}; see docs/safety.md")
