"""Focal diversity: the specification's vectors, its edge cases, and the table of triples against plain counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labwright.models.diversity import (
    TripleFailures,
    closed_failures,
    failure_histogram,
    focal_diversity,
    focal_negative_correlations,
    generalised_diversity,
    open_failures,
)

ROWS = "1101 1001 0111 0001 1111 0100 1011 0000 1100 1110"
OK = np.array([[int(c) for c in row] for row in ROWS.split()])
VECTOR_1 = {
    (0, 1): 0.333333, (0, 2): 0.238095, (0, 3): 0.333333, (1, 2): 0.238095, (1, 3): 0.6, (2, 3): 0.238095,
    (0, 1, 2): 0.259259, (0, 1, 3): 0.410714, (0, 2, 3): 0.259259, (1, 2, 3): 0.388889, (0, 1, 2, 3): 0.329293,
}  # fmt: skip


def chosen(*members, n=4):
    row = np.zeros((1, n))
    row[0, list(members)] = 1
    return row


def test_vector_1_of_the_whole_pool():
    assert OK.mean(axis=0).tolist() == [0.6, 0.6, 0.4, 0.6]
    assert failure_histogram(OK).tolist() == [1, 4, 2, 2, 1]
    assert generalised_diversity(OK) == pytest.approx(0.481481, abs=1e-6)
    assert generalised_diversity(OK[:, :3]) == pytest.approx(0.428571, abs=1e-6)
    assert focal_negative_correlations(OK) == pytest.approx([0.272727, 0.333333, 0.377778, 0.333333], abs=1e-6)
    assert focal_negative_correlations(OK[:, [0, 2]]) == pytest.approx([0.142857, 0.333333], abs=1e-6)
    assert focal_negative_correlations(OK[:, :3]) == pytest.approx([0.222222, 0.222222, 0.333333], abs=1e-6)


@pytest.mark.parametrize("members", VECTOR_1, ids=str)
def test_vector_1_of_the_subsets_by_both_ways(members):
    assert focal_diversity(OK[:, list(members)]) == pytest.approx(VECTOR_1[members], abs=1e-6)
    assert TripleFailures.of(OK).focal_diversity(chosen(*members)) == pytest.approx(VECTOR_1[members], abs=1e-6)


def test_vector_1_ranking_by_diversity_alone():
    best = sorted(VECTOR_1, key=lambda m: -focal_diversity(OK[:, list(m)]))
    assert best[:3] == [(1, 3), (0, 1, 3), (1, 2, 3)]


def test_vector_2_edges():
    assert focal_diversity([[1, 1], [1, 1]]) == 1.0
    assert focal_diversity([[0, 0], [1, 1], [0, 0]]) == 0.0
    assert focal_negative_correlations([[0, 1, 1], [0, 1, 1], [1, 1, 1]]).tolist() == [1.0, 1.0, 1.0]


def test_a_missing_failure_count_does_not_shift_the_others():
    # No row has exactly one failure: counting distinct values alone would take two failures for one.
    assert failure_histogram([[1, 1, 1], [0, 0, 1], [0, 0, 0]]).tolist() == [1, 0, 1, 1]


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 30), st.integers(2, 7))), st.randoms(use_true_random=False))
def test_the_table_of_triples_agrees_with_counting_rows(ok, rng):
    n = ok.shape[1]
    members = sorted(rng.sample(range(n), rng.randint(2, n)))
    found = TripleFailures.of(ok).focal_diversity(chosen(*members, n=n))[0]
    assert found == pytest.approx(focal_diversity(ok[:, members]), abs=1e-12)
    assert 0 <= found <= 1
    assert found == pytest.approx(focal_diversity(ok[::-1, members[::-1]]), abs=1e-12)


@pytest.mark.parametrize(
    "wrong", [[], [[1], [0]], [[1, 0.5]], [[1, float("nan")]], [1, 0, 1]],
    ids=["empty", "one model", "scores", "NaN", "no matrix"],
)  # fmt: skip
def test_what_is_no_correctness_matrix_is_refused(wrong):
    with pytest.raises(ValueError, match=r"correctness matrix|two models"):
        focal_diversity(wrong)


def test_subsets_that_do_not_fit_are_refused():
    table = TripleFailures.of(OK)
    with pytest.raises(ValueError, match="two members"):
        table.focal_diversity(chosen(1))
    with pytest.raises(ValueError, match="rows of 4"):
        table.focal_diversity([[1, 1]])


def test_closed_answers_fail_when_the_best_option_is_not_the_key():
    scores = np.array([[[0.1, 0.9], [0.8, 0.2]], [[-1.0, -2.0], [-5.0, -4.0]]])
    assert closed_failures(scores, [1, 0]).tolist() == [[True, False], [True, False]]
    scores[1, 0, 1] = np.nan
    with pytest.raises(ValueError, match="member 0 on row 1"):
        closed_failures(scores, [1, 0])
    with pytest.raises(ValueError, match="from 0 to 1"):
        closed_failures(scores[:1], [2])


def test_open_answers_fail_below_a_threshold_that_is_stated_with_what_hangs_on_it():
    quality = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.7, 0.6]])
    made = open_failures(quality)
    assert made.threshold == pytest.approx(0.55)
    assert made.ok.tolist() == [[True, False], [False, True], [False, False], [True, True]]
    assert len(made.sensitivity) == 3
    assert all(0 <= d <= 1 for _, d in made.sensitivity)
    assert open_failures(quality, threshold=0.0).ok.all()
    with pytest.raises(ValueError, match="numbers"):
        open_failures([[0.1, float("nan")]])
