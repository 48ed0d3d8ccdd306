"""Fusion: scales do not matter, weights do, and the shipped weights name the signals that there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unit.tools.index_fakes import EMBEDDER, document

from labwright.tools.index_fusion import fused, reciprocal_ranks, weights, z_scores
from labwright.tools.index_store import LiteratureIndex


def test_the_scale_of_a_signal_does_not_matter_and_a_flat_one_says_nothing() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(20), rng.random(20)
    plain = fused({"a": a, "b": b}, {"a": 1.0, "b": 2.0})
    assert np.allclose(plain, fused({"a": 1000 * a + 7, "b": b / 9}, {"a": 1.0, "b": 2.0}))
    assert z_scores([4.0, 4.0]).tolist() == [0.0, 0.0]
    assert z_scores([]).tolist() == []
    assert fused({"a": a, "b": b}, {"a": 1.0}).argmax() == a.argmax()


def test_signals_over_different_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="different candidates"):
        fused({"a": [1.0], "b": [1.0, 2.0]}, {"a": 1.0})


def test_reciprocal_ranks_by_hand() -> None:
    assert reciprocal_ranks([[1, 2], [2]]) == {1: 1 / 61, 2: 1 / 62 + 1 / 61}


def test_the_shipped_weights_are_those_of_the_signals(tmp_path: Path) -> None:
    index = LiteratureIndex(tmp_path, EMBEDDER)
    index.add([document(n) for n in range(8)])
    documents, signals = index.signals("marker3 in blood of mice")
    assert set(weights()) == set(signals)
    assert all(len(values) == len(documents) for values in signals.values())
    assert sum(weights().values()) == pytest.approx(1.0, abs=0.01)
    best = [d.id for d in documents][int(np.argmax(signals["coverage"]))]
    assert best == "d3"
