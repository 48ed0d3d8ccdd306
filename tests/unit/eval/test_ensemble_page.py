"""The page of an ensemble: its figures, its pictures, and nothing that a name could run."""

from __future__ import annotations

import re

import numpy as np
import pytest

from labwright.eval.ensemble_page import MOST_POINTS, Cost, ensemble_page
from labwright.models.topla.building import build, compare

NAMES = ["good", "fair", "<script>alert(1)</script>"]


@pytest.fixture(scope="module")
def page():
    rng = np.random.default_rng(0)
    key = rng.integers(0, 3, 200)
    scores = rng.normal(0, 1, (200, 3, 3))
    scores[np.arange(200), 0, key] += 2
    scores[np.arange(200), 1, key] += 1
    scores -= np.log(np.exp(scores).sum(axis=2, keepdims=True))
    halves = (scores[:100], key[:100]), (scores[100:], key[100:])
    built = build(NAMES, *halves[0])
    compared = compare(built, NAMES, *halves)
    costs = {n: Cost(0.5, 120, i) for i, n in enumerate(NAMES)}
    return ensemble_page("a & b", NAMES, built, compared, costs, 100), built, compared


def test_the_page_states_the_ensemble_its_gain_and_every_member(page):
    html, built, compared = page
    assert f"{100 * compared.joined[compared.ensemble].accuracy:.1f}" in html
    assert f"{100 * compared.gain[0]:+.1f} points" in html
    for quality in compared.members.values():
        assert f"{100 * quality.accuracy:.1f}" in html
    assert "a &amp; b" in html
    assert f"{0.5 * len(built.members):.2f}" in html


def test_names_are_text_and_nothing_is_fetched(page):
    html = page[0]
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"""(?:src|href)\s*=""", html)


def test_points_lie_inside_the_picture(page):
    html, built, _ = page
    circles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', html)
    assert len(circles) >= len(built.pruning.subsets)
    assert all(50 <= float(x) <= 400 and 10 <= float(y) <= 270 for x, y in circles)
    assert len(built.pruning.subsets) < MOST_POINTS
