"""TOPLA-Weighted: vector 6, both recipes, candidate spaces (vector 4), and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from labwright.errors import MetricUndefined
from labwright.models.topla.candidates import candidate_space
from labwright.models.topla.weighted import Clean, Released, fit, log_softmax, released_network


def data(n=240, members=3, options=4, seed=0):
    """Members that are right in turn: member i knows rows whose number leaves i; each is sure, the right one surer."""
    rng = np.random.default_rng(seed)
    key = rng.integers(0, options, n)
    scores = rng.normal(size=(n, members, options))
    scores[np.arange(n), np.arange(n) % members, key] += 4
    return scores, key


def test_vector_6_forward_pass_and_both_losses():
    network = released_network(8, 4, hidden=3)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for k, layer in enumerate(linear, start=1):
            entries = torch.arange(layer.weight.numel(), dtype=torch.float32)
            layer.weight.copy_(((entries % 5 - 2) * 0.1 * k).reshape(layer.weight.shape))
            assert torch.allclose(layer.bias, torch.full_like(layer.bias, 0.01))
        given = torch.tensor([[0.7, 0.2, 0.05, 0.05, 0.25, 0.25, 0.25, 0.25]])
        hidden, before, out = network[:2](given), network[:6](given), network(given)
    assert hidden[0].tolist() == pytest.approx([0.457602, 0.532454, 0.476268], abs=1e-6)
    assert before[0].tolist() == pytest.approx([0.399481, 0.538843, 0.507964, 0.449853], abs=1e-6)
    assert out[0].tolist() == pytest.approx([0.231707, 0.266357, 0.258258, 0.243678], abs=1e-6)
    target = torch.tensor([0])
    assert float(nn.functional.cross_entropy(out, target)) == pytest.approx(1.404676, abs=1e-6)
    assert float(-out[0, 0].log()) == pytest.approx(1.462280, abs=1e-6)


def test_the_released_output_cannot_be_surer_than_its_softmax_of_sigmoids_allows():
    scores, key = data()
    made = fit(scores, key, Released(epochs=3))
    assert made.probabilities(scores).max() <= np.e / (np.e + 3) + 1e-6


def test_a_learned_ensemble_beats_every_member_and_both_modes_give_probabilities():
    scores, key = data(n=600)
    train, test = slice(0, 400), slice(400, 600)
    singles = (scores[test].argmax(axis=2) == key[test, None]).mean(axis=0).max()
    for settings in (Clean(), Released(epochs=40, batch=16)):
        made = fit(scores[train], key[train], settings)
        shares = made.probabilities(scores[test])
        assert shares.shape == (200, 4)
        assert shares.sum(axis=1) == pytest.approx(np.ones(200), abs=1e-5)
        assert (made.predictions(scores[test]) == key[test]).mean() > singles + 0.1


def test_a_labelling_that_every_member_inverts_is_learned():
    rng = np.random.default_rng(0)
    key = rng.integers(0, 2, 200)
    scores = rng.normal(size=(200, 3, 2))
    scores[np.arange(200), :, 1 - key] += 1.5
    made = fit(scores[:150], key[:150])
    assert (made.predictions(scores[150:]) == key[150:]).mean() > 0.9
    assert (scores[150:].argmax(axis=2) == key[150:, None]).mean() < 0.3


def test_a_seed_gives_the_same_network_and_leaves_the_global_one_alone():
    scores, key = data(n=60)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (fit(scores, key, Clean(seed=s)).probabilities(scores) for s in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_released_quirks_can_be_switched_off_one_by_one():
    scores, key = data(n=100)
    plain = fit(scores, key, Released(epochs=5)).probabilities(scores)
    for change in ({"validation_in_training": False}, {"batch": 7}):
        assert not np.array_equal(plain, fit(scores, key, Released(epochs=5, **change)).probabilities(scores))


def test_members_of_other_scales_count_alike_in_the_clean_mode():
    scores, key = data()
    shifted = scores + np.array([0.0, 100.0, -40.0])[None, :, None]
    assert log_softmax(shifted) == pytest.approx(log_softmax(scores))
    assert fit(shifted, key).predictions(shifted).tolist() == fit(scores, key).predictions(scores).tolist()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda s, k: (s[:, :1], k), ValueError, "two members"),
        (lambda s, k: (np.where(s > 2, np.nan, s), k), ValueError, "is not a number"),
        (lambda s, k: (s, np.zeros_like(k)), MetricUndefined, "one label"),
        (lambda s, k: (s, k + 1), ValueError, "from 0 to 3"),
        (lambda s, k: (s, k[:-1]), ValueError, "240 rows"),
        (lambda s, k: (s[:2], np.array([0, 1])), MetricUndefined, "fewer than 3 members"),
        (lambda s, k: (s[:, :, 0], k), ValueError, "shape"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(change, error, words):
    with pytest.raises(error, match=words):
        fit(*change(*data()))


def test_scores_of_other_members_or_options_are_refused():
    scores, key = data()
    made = fit(scores, key)
    with pytest.raises(ValueError, match="3 members and 4 options"):
        made.probabilities(scores[:, :2])


def test_vector_4_candidates_frequencies_and_labels():
    made = candidate_space([[72, 72, 72, 24, 48], [24, 24, 72, 33, 33]], width=6)
    assert made.values == (72, 24, 33, 48)
    assert made.frequencies[:, :4].tolist() == [[0.6, 0.2, 0.0, 0.2], [0.2, 0.4, 0.4, 0.0]]
    assert made.mask.tolist() == [True] * 4 + [False] * 2
    assert (made.label(33), made.label(5)) == (2, None)


def test_padding_is_no_candidate_for_an_answer_of_zero():
    assert candidate_space([[1, 1], [2, 2]], width=5).label(0) is None


def test_equal_totals_are_ordered_by_value_and_missing_numbers_are_no_candidates():
    made = candidate_space([[9, 3], [float("nan"), 7]], width=5)
    assert made.values == (3, 7, 9)
    assert made.frequencies[1].sum() == 0.5
    assert candidate_space([[5, 4, 3]], width=2).values == (3, 4)
    with pytest.raises(ValueError, match="sample"):
        candidate_space([[1], []])
