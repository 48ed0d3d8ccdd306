"""Pruning: vectors of the specification, every subset against plain voting, the search against every subset."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from labwright.errors import MetricUndefined
from labwright.models.diversity import focal_diversity
from labwright.models.topla.pruning import (
    Weights,
    all_subsets,
    named,
    plurality,
    prune_all,
    prune_genetic,
    subset_accuracy,
)

PREDICTIONS = np.array([[0, 0, 1], [2, 1, 0], [3, 1, 1], [2, 2, 2]])


def pool(n=300, members=6, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    key = rng.integers(0, classes, n)
    skill = np.linspace(0.3, 0.7, members)
    said = np.where(rng.random((n, members)) < skill, key[:, None], rng.integers(0, classes, (n, members)))
    return said, key


def test_vector_3_plurality_and_weighted_votes():
    assert plurality(PREDICTIONS).tolist() == [0, 0, 1, 2]
    assert np.mean(plurality(PREDICTIONS) == [0, 1, 1, 3]) == 0.5
    assert plurality(PREDICTIONS, [0.5, 0.6, 0.8]).tolist() == [0, 0, 1, 2]


def test_vector_5_score_and_its_penalty_on_size():
    score = 0.5 * 0.375 + 0.5 * 0.75
    assert score == pytest.approx(0.5625)
    said, key = pool(members=5)
    plain, smaller = prune_all(said, key), prune_all(said, key, Weights(size=0.1))
    sizes = plain.subsets.sum(axis=1)
    assert smaller.score == pytest.approx(plain.score - 0.1 * sizes / 5)
    assert plain.score == pytest.approx(0.5 * plain.diversity + 0.5 * plain.accuracy)
    assert score - 0.1 * 3 / 5 == pytest.approx(0.5025)


def test_every_subset_is_scored_as_plain_voting_and_counting_would():
    said, key = pool()
    made = prune_all(said, key)
    assert len(made.subsets) == 2**6 - 1 - 6
    for row, diversity, accuracy in zip(made.subsets, made.diversity, made.accuracy, strict=True):
        members = np.flatnonzero(row)
        assert accuracy == pytest.approx(np.mean(plurality(said[:, members]) == key), abs=1e-12)
        assert diversity == pytest.approx(focal_diversity(said[:, members] == key[:, None]), abs=1e-12)


def test_ties_of_votes_go_to_the_smaller_class_in_every_subset():
    said = np.array([[2, 1], [1, 2], [0, 2], [2, 2]])
    assert subset_accuracy(said, [1, 1, 2, 2], all_subsets(2)).tolist() == [0.75]


def test_a_label_that_nobody_says_is_a_miss_and_not_an_error():
    said = np.array([[0, 0], [0, 1], [1, 1], [0, 1]])
    assert subset_accuracy(said, [5, 0, 1, 1], all_subsets(2)).tolist() == [0.5]


def test_best_subsets_come_best_first_and_of_equal_ones_the_smaller():
    said, key = pool()
    best = prune_all(said, key).best(5)
    assert [b.score for b in best] == sorted((b.score for b in best), reverse=True)
    twins = np.column_stack([said[:, 5], said[:, 5], said[:, 5]])
    assert prune_all(twins, key).best(1)[0].members == (0, 1)
    assert named(best[:1], list("abcdef")) == [tuple("abcdef"[i] for i in best[0].members)]


def test_the_correlation_is_stated_over_all_and_within_sizes():
    said, key = pool()
    made = prune_all(said, key)
    found = made.correlation()
    assert set(found) == {"all", "2", "3", "4", "5"}  # one subset of six has no correlation
    pairs = made.subsets.sum(axis=1) == 2
    assert found["2"] == pytest.approx(np.corrcoef(made.diversity[pairs], made.accuracy[pairs])[0, 1])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_genetic_search_finds_the_best_subset_of_a_small_pool(seed):
    said, key = pool(members=8, seed=5)
    exact, found = prune_all(said, key).best(1)[0], prune_genetic(said, key, seed=seed).best(1)[0]
    assert found == exact


def test_the_genetic_search_works_beyond_the_exhaustive_limit():
    said, key = pool(members=18, n=200)
    found = prune_genetic(said, key, generations=30)
    singles = max(np.mean(said[:, i] == key) for i in range(18))
    assert found.best(1)[0].accuracy > singles - 0.1
    assert len({row.tobytes() for row in found.subsets}) == len(found.subsets)
    with pytest.raises(ValueError, match="not for 18"):
        prune_all(said, key)


@pytest.mark.parametrize(
    ("said", "key", "error", "words"),
    [
        ([[0], [1]], [0, 1], MetricUndefined, "two members"),
        ([[0, 1], [1, 0]], [1, 1], MetricUndefined, "one label"),
        ([[0, 1, 1], [1, 0, 1]], [0, 1], MetricUndefined, "fewer than 3 members"),
        ([[0.5, 1.0], [1.0, 0.0]], [0, 1], ValueError, "NaN is no class"),
        ([[0, 1], [1, 0], [1, 1]], [0, 1], ValueError, "3 rows"),
        ([[0, -1], [1, 0]], [0, 1], ValueError, "counted from 0"),
    ],
)
def test_what_cannot_be_pruned_is_refused_in_words(said, key, error, words):
    with pytest.raises(error, match=words):
        prune_all(np.array(said), np.array(key))


def test_all_subsets_are_all_of_two_or_more():
    rows = {tuple(np.flatnonzero(r)) for r in all_subsets(4)}
    assert rows == {c for k in (2, 3, 4) for c in itertools.combinations(range(4), k)}
