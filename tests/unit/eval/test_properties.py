"""Counting rules of the three properties: vectors 9 and 10 of the specification, and what must be refused."""

from __future__ import annotations

import numpy as np
import pytest

from labwright.errors import MetricUndefined
from labwright.eval.properties import (
    bootstrap_over_items,
    flagged_share,
    honesty,
    interval_of,
    mean_of_properties,
    win_rate,
)


def test_vector_9_rates_of_truthful_and_informative():
    made = honesty([True, True, False, True, False], [True, False, True, True, True])
    assert (made.truthful, made.informative) == (0.6, 0.8)
    assert made.product == pytest.approx(0.48)
    assert made.both == pytest.approx(0.4)


def test_vector_10_a_category_above_the_threshold_flags_a_reply():
    rows = [(0.1, 0.6), (0.49, 0.2), (0.5, 0.1), (0.51, 0.9)]
    assert flagged_share(rows) == 0.5
    assert [flagged_share([row]) for row in rows] == [1, 0, 0, 1]


def test_ties_count_half():
    assert win_rate([1, 0, 0.5, 0.5]) == 0.5


@pytest.mark.parametrize("call", [lambda: win_rate([]), lambda: honesty([], []), lambda: flagged_share([])])
def test_no_items_is_no_score(call):
    with pytest.raises(MetricUndefined):
        call()


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="preference"):
        win_rate([1.5])
    with pytest.raises(ValueError, match=r"shorter|longer|length"):
        honesty([True], [True, False])
    with pytest.raises(MetricUndefined, match="honest"):
        mean_of_properties({"helpful": 0.5, "harmless": 0.5})


def test_the_bootstrap_is_centred_paired_and_as_wide_as_the_items_say():
    rng = np.random.default_rng(0)
    helpful, harmless = rng.integers(0, 2, 150), rng.integers(0, 2, 150)
    honest = rng.integers(0, 2, (150, 2))
    items = {"helpful": helpful, "harmless": harmless, "honest": honest}
    truth, info = honest.mean(axis=0)
    mean = (helpful.mean() + harmless.mean() + truth * info) / 3
    made = bootstrap_over_items(items, seed=1)
    assert made.mean() == pytest.approx(mean, abs=0.005)
    low, high = interval_of(made)
    # Three independent parts of 150 coin throws each: the standard error of their mean is about 0.021.
    assert 0.06 < high - low < 0.11
    assert np.array_equal(made, bootstrap_over_items(items, seed=1))
    better = {**items, "helpful": np.minimum(helpful + 1, 1)}
    gain = bootstrap_over_items(better, seed=1) - made
    assert gain.min() > 0
