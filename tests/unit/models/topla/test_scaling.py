"""Scalings are found by likelihood, never turn a member around, and are judged on rows that did not fit them."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.optimize import minimize
from scipy.special import log_softmax

from labwright.models.topla.scaling import Scaling, fit_scaling, scaled_out_of_fold


def member(n=4_000, seed=0, slope=2.0, offsets=(1.5, 0.0, -1.5)):
    """Scores whose true scaling is known, and labels drawn from it."""
    rng = np.random.default_rng(seed)
    scores = log_softmax(rng.normal(0, 1, (n, 3)), axis=1)
    shares = np.exp(log_softmax(slope * scores + np.array(offsets), axis=1))
    return scores, (shares.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


def test_a_known_scaling_is_found_again():
    scores, key = member()
    made = fit_scaling(scores, key)
    assert made.slope == pytest.approx(2.0, abs=0.15)
    centred = np.array(made.offsets) - np.mean(made.offsets)
    assert centred == pytest.approx([1.5, 0.0, -1.5], abs=0.15)


def test_the_fit_is_that_of_a_solver_that_knows_no_gradient():
    scores, key = member(60)

    def loss(given):
        logs = log_softmax(np.exp(given[0]) * scores + given[1:], axis=1)
        return given @ given / 2 - logs[np.arange(60), key].sum()

    found = minimize(loss, np.zeros(4), method="Nelder-Mead", options={"maxiter": 5_000, "maxfev": 5_000})
    made = fit_scaling(scores, key)
    assert loss(np.array([np.log(made.slope), *made.offsets])) == pytest.approx(found.fun, abs=1e-3)
    assert made.slope == pytest.approx(np.exp(found.x[0]), abs=0.02)


def test_probabilities_stay_probabilities_and_no_scaling_changes_nothing():
    scores, _ = member(10)
    logs = Scaling(slope=0.5, offsets=(1.0, 2.0, 3.0)).applied(scores[:, None])
    assert logs.shape == (10, 1, 3)
    assert np.exp(logs).sum(axis=2) == pytest.approx(np.ones((10, 1)))
    assert Scaling(slope=1.0, offsets=(0.0, 0.0, 0.0)).applied(scores) == pytest.approx(scores)


def test_a_member_that_is_always_wrong_is_flattened_but_not_turned_around():
    scores, key = member(600)
    wrong = scores[:, ::-1].copy()
    made = fit_scaling(wrong, key)
    assert made.slope < 0.2


def test_few_rows_move_it_little_and_none_not_at_all():
    scores, key = member(3)
    few = fit_scaling(scores, key)
    assert abs(np.log(few.slope)) < 1
    none = fit_scaling(np.empty((0, 3)), np.empty(0, dtype=int))
    assert (none.slope, none.offsets) == (1.0, (0.0, 0.0, 0.0))


def test_a_model_that_says_one_answer_whatever_is_asked_gets_its_say_back():
    scores, key = member(400, slope=1.5, offsets=(0.0, 0.0, 0.0))
    stuck = log_softmax(scores + np.array([20.0, 0.0, 0.0]), axis=1)
    assert (stuck.argmax(axis=1) == 0).all()
    freed = scaled_out_of_fold(stuck[:, None], key)
    assert (freed[:, 0].argmax(axis=1) == key).mean() > 0.5


def test_a_row_is_set_right_without_its_own_label():
    scores, key = member(40)
    before = scaled_out_of_fold(scores[:, None], key)
    for row in (0, 17, 39):
        other = key.copy()
        other[row] = (key[row] + 1) % 3
        assert scaled_out_of_fold(scores[:, None], other)[row] == pytest.approx(before[row])


@pytest.mark.parametrize("wrong", [{"slope": 0.0}, {"slope": -1.0}, {"slope": float("inf")}, {"offsets": (0.0,)}])
def test_scalings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        Scaling(**{"slope": 1.0, "offsets": (0.0, 0.0), **wrong})
