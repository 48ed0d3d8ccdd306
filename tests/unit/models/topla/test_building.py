"""Ensembles are chosen on one half and reported on the other; what chooses never sees what reports."""

from __future__ import annotations

import numpy as np
import pytest

from labwright.errors import MetricUndefined
from labwright.models.topla.building import build, compare, linear_pool, pool_weights
from labwright.models.topla.pruning import Weights
from labwright.models.topla.quality import confusion, macro_f1

NAMES = ["weak", "one", "two", "twin of one", "noise"]


def pool(n=300, seed=0):
    """Two good members that err on other rows, a copy of the first, a weak one, and noise."""
    rng = np.random.default_rng(seed)
    key = rng.integers(0, 3, n)

    def member(skill):
        logits = rng.normal(0, 1, (n, 3))
        logits[np.arange(n), key] += skill * (rng.random(n) < 0.7) * 3
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    one, two = member(1.0), member(1.0)
    scores = np.stack([member(0.2), one, two, one, member(0.0)], axis=1)
    return scores, key


def test_the_ensemble_keeps_members_that_err_on_other_rows_and_drops_copies_and_noise():
    scores, key = pool()
    built = build(NAMES, scores, key)
    assert {"one", "two"} & set(built.members)
    assert not {"one", "twin of one"} <= set(built.members) or len(built.members) > 2
    assert built.table[0].score == pytest.approx(max(t.score for t in built.table))
    assert set(built.weights) == set(built.members)
    assert built.joining == max(built.cross_validated, key=lambda j: (built.cross_validated[j], j == "linear pool"))


def test_all_weight_on_accuracy_chooses_otherwise_than_all_on_diversity():
    scores, key = pool()
    accurate = build(NAMES, scores, key, weights=Weights(0, 1)).table[0]
    diverse = build(NAMES, scores, key, weights=Weights(1, 0)).table[0]
    assert accurate.accuracy > diverse.accuracy
    assert diverse.diversity > accurate.diversity


def test_labels_of_the_reporting_half_change_no_choice_and_no_answer():
    scores, key = pool(400)
    half = slice(0, 200), slice(200, 400)
    built = build(NAMES, scores[half[0]], key[half[0]])
    choosing, reporting = (scores[half[0]], key[half[0]]), (scores[half[1]], key[half[1]])
    honest = compare(built, NAMES, choosing, reporting)
    inverted = compare(built, NAMES, choosing, (reporting[0], 2 - reporting[1]))
    assert honest.best_member == inverted.best_member
    assert honest.joined[honest.ensemble].accuracy > 0.6 > inverted.joined[honest.ensemble].accuracy
    assert honest.n == 200
    assert honest.members.keys() == set(NAMES)


def test_the_gain_is_over_the_member_that_the_choosing_half_prefers_and_paired():
    scores, key = pool(400)
    built = build(NAMES, scores[:200], key[:200])
    made = compare(built, NAMES, (scores[:200], key[:200]), (scores[200:], key[200:]))
    mine, best = made.joined[made.ensemble], made.members[made.best_member]
    assert made.gain[0] == pytest.approx(mine.accuracy - best.accuracy)
    assert made.gain[1] <= made.gain[0] <= made.gain[2]
    assert mine.low <= mine.accuracy <= mine.high
    assert sum(mine.right) == round(mine.accuracy * made.n)


def test_pool_weights_and_macro_f1_by_hand():
    scores = np.log(np.array([[[0.8, 0.2], [0.4, 0.6]], [[0.3, 0.7], [0.1, 0.9]]]))
    key = np.array([0, 1])
    weights = pool_weights(scores, key)
    assert weights.tolist() == pytest.approx([0.5, 0.001])
    assert linear_pool(scores, np.array([3.0, 1.0]))[0] == pytest.approx([0.7, 0.3])
    table = confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    assert table.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert macro_f1(table) == pytest.approx((2 / 3 + 2 / 3) / 2)  # the third answer is neither right nor given
    with pytest.raises(MetricUndefined):
        macro_f1(np.zeros((3, 3)))


def test_too_little_to_choose_on_is_refused():
    scores, key = pool(8)
    with pytest.raises(MetricUndefined):
        build(NAMES, scores[:4], key[:4])
    with pytest.raises(MetricUndefined, match="names"):
        build(NAMES[:2], scores, key)
