"""The numpy encoder against transformers, and its cache."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from labwright.models.embedding import CachedEncoder, MiniLM

GOLDEN = Path(__file__).parents[2] / "golden" / "minilm.json"


@pytest.mark.embedded
def test_vectors_are_those_of_transformers_to_1e_4():
    """Reference: transformers 5.23.0 + torch 2.13.0 on the same weights, mean pooling, L2 norm; see the file."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    vectors = MiniLM().encode(golden["texts"])
    assert np.abs(vectors - np.array(golden["vectors"])).max() < 1e-4


@pytest.mark.embedded
def test_the_cache_gives_the_same_vectors_and_asks_once(tmp_path):
    first = CachedEncoder(tmp_path / "v.sqlite")(["one text", "another", "one text"])
    again = CachedEncoder(tmp_path / "v.sqlite")(["another", "one text"])
    assert np.array_equal(first[1], again[0])
    assert np.array_equal(first[0], first[2])
    assert CachedEncoder(tmp_path / "v.sqlite")([]).shape == (0, 384)
