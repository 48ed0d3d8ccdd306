"""The guard: the best alpha that costs nothing, and none where steering does harm."""

from __future__ import annotations

import pytest

from labwright.errors import WrongUse
from labwright.safety.steering.guard import ALPHAS, Rates, choose_alpha


def test_the_smallest_of_the_best_alphas_is_chosen():
    made = choose_alpha(lambda a: Rates(unsafe=0.9 if a < 0.5 else 0.0, benign=1.0))
    assert made.alpha == 0.5
    assert set(made.seen) == set(ALPHAS)
    assert "unsafe 0.900 to 0.000" in made.reason


def test_an_alpha_that_loses_ordinary_answers_is_not_used():
    made = choose_alpha(lambda a: Rates(unsafe=0.9 - 0.5 * a, benign=1.0 if a <= 0.25 else 0.9))
    assert made.alpha == 0.25


@pytest.mark.parametrize("unsafe", [lambda a: 0.0, lambda a: 0.1 + 0.5 * a])
def test_a_model_that_is_not_degraded_is_left_alone(unsafe):
    made = choose_alpha(lambda a: Rates(unsafe(a), 1.0))
    assert made.alpha == 0.0
    assert "not steered" in made.reason


def test_no_steering_has_to_be_among_the_choices():
    with pytest.raises(WrongUse, match="alpha 0"):
        choose_alpha(lambda a: Rates(0, 1), alphas=(0.5, 1.0))
