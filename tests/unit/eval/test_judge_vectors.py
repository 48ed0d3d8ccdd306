"""The judge metrics against numbers from the paper's released code and from hand-worked formulas."""

from __future__ import annotations

import pytest

from labwright.eval.suites.judge_vectors import coin_vectors, error_of, exact_vectors

VECTORS = exact_vectors()


@pytest.mark.parametrize("vector", VECTORS, ids=[v[0] for v in VECTORS])
def test_vector_to_a_millionth(vector):
    assert error_of(vector) <= 1e-6


def test_no_vector_is_forgotten():
    assert {name.split("/")[0].rstrip("abcdefghi") for name, _, _ in VECTORS} == {
        "V1",
        "V2",
        "V3",
        "V4",
        "V5",
        "V7",
        "V8",
    }


@pytest.mark.parametrize(("name", "expected", "computed"), coin_vectors())
def test_a_coin_beats_people_who_disagree_on_most_items(name, expected, computed):
    assert abs(computed - expected) < (0.02 if name.endswith("HH") else 0.05)


def test_a_missing_figure_is_no_small_error():
    assert error_of(("x", None, 0.0)) == error_of(("x", 0.0, None)) == float("inf")
    assert error_of(("x", None, None)) == 0.0
