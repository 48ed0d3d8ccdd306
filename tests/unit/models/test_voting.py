"""Votes of several models."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny_mixtures import write_base

from labwright.errors import MetricUndefined
from labwright.models.checkpoints import load_checkpoint
from labwright.models.voting import chosen_by_peers, majority, mean_log_probability


def test_most_votes_win_and_probability_breaks_a_tie() -> None:
    assert majority([{"a": 0.9, "b": 0.1}, {"a": 0.4, "b": 0.6}, {"a": 0.4, "b": 0.6}]) == "b"
    assert majority([{"a": 0.9, "b": 0.1}, {"a": 0.4, "b": 0.6}]) == "a"
    with pytest.raises(MetricUndefined):
        majority([])
    with pytest.raises(ValueError, match="different options"):
        majority([{"a": 1.0}, {"b": 1.0}])


def test_the_mean_log_probability_is_that_of_the_answers_tokens(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(str(write_base(tmp_path)))
    ids = checkpoint.tokenizer("w1 w2 w3 w4")["input_ids"]
    log_p = checkpoint.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    expected = (log_p[1, ids[2]] + log_p[2, ids[3]]) / 2
    assert mean_log_probability(checkpoint, "w1 w2", "w3 w4") == pytest.approx(expected.item(), abs=1e-5)
    assert mean_log_probability(checkpoint, "w1 w2", "") == -math.inf


def test_no_model_judges_its_own_answer(tmp_path: Path) -> None:
    models = [load_checkpoint(str(write_base(tmp_path / str(s), seed=s))) for s in (1, 2, 3)]
    answers = ["w5 w6", "w7", ""]
    scores = [
        (mean_log_probability(models[1], "w1", answers[0]) + mean_log_probability(models[2], "w1", answers[0])) / 2,
        (mean_log_probability(models[0], "w1", answers[1]) + mean_log_probability(models[2], "w1", answers[1])) / 2,
    ]
    assert chosen_by_peers(models, "w1", answers) == scores.index(max(scores))
    with pytest.raises(MetricUndefined):
        chosen_by_peers(models[:1], "w1", ["w2"])
    with pytest.raises(ValueError, match="2 answers of 3"):
        chosen_by_peers(models, "w1", ["w2", "w3"])
