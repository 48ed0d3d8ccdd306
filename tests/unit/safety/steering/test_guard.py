"""The guard: the setting that restores most at no cost, and none where steering does harm."""

from __future__ import annotations

import pytest

from labwright.safety.steering.guard import ALPHAS, POLICIES, UNSTEERED, Rates, Setting, choose, settings
from labwright.safety.steering.steerer import Policy

LAST = Policy("last", "last_prompt")


def test_the_smallest_of_the_best_alphas_is_chosen_and_nothing_more_is_tried():
    made = choose(lambda s: Rates(unsafe=0.9 if s.alpha < 0.5 else 0.0, benign=1.0))
    assert made.setting == Setting(0.5)
    assert [s.alpha for s in made.seen] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert made.reason == "unsafe 0.900 to 0.000, benign 1.000 to 1.000 on held-out anchors"


def test_layers_and_positions_are_chosen_too():
    def rates(setting: Setting) -> Rates:
        if setting.policy != LAST:
            return Rates(0.9 - 0.5 * setting.alpha, 1.0 if setting.alpha < 0.5 else 0.5)
        return Rates(max(0.0, 0.9 - 0.8 * setting.alpha), 1.0, captions=0.99)

    made = choose(lambda s: rates(s) if s.alpha else Rates(0.9, 1.0))
    assert made.setting == Setting(1.0, LAST)
    assert set(made.seen) == {UNSTEERED, *settings()}
    assert "captions 1.000 to 0.990" in made.reason
    assert str(made.setting) == "alpha 1, layers last, last prompt"


@pytest.mark.parametrize("lost", ["benign", "captions"])
def test_a_setting_that_loses_ordinary_answers_or_captions_is_not_used(lost):
    def rates(setting: Setting) -> Rates:
        kept = {"benign": 1.0, "captions": 1.0} | {lost: 1.0 if setting.alpha <= 0.2 else 0.9}
        return Rates(0.9 - 0.5 * setting.alpha, **kept)

    assert choose(rates).setting.alpha == 0.2


@pytest.mark.parametrize("unsafe", [lambda a: 0.1 + 0.5 * a, lambda a: 0.1 if a < 1 else 0.07])
def test_a_model_that_steering_does_not_help_is_left_alone(unsafe):
    made = choose(lambda s: Rates(unsafe(s.alpha), 1.0))
    assert made.setting == UNSTEERED
    assert len(made.seen) == 1 + len(ALPHAS) * len(POLICIES)
    assert "not steered" in made.reason


def test_nothing_is_tried_on_a_model_that_is_not_degraded():
    made = choose(lambda s: Rates(0.04 if s.alpha == 0 else 0.0, 1.0))
    assert made.setting == UNSTEERED
    assert list(made.seen) == [UNSTEERED]
    assert "nothing to gain" in made.reason


def test_of_equal_settings_the_one_that_keeps_more_is_used():
    lossy, lossless = settings((1.0,), POLICIES[:2])
    made = choose(
        lambda s: {UNSTEERED: Rates(1, 1), lossy: Rates(0, 0.99), lossless: Rates(0, 0.995)}[s], (lossy, lossless)
    )
    assert made.setting == lossless
    assert made.described()["seen"][1]["benign"] == 0.99
    assert [made.described()[name] for name in ("alpha", "layers", "positions")] == [
        1.0,
        "upper_half",
        "last_and_generated",
    ]
