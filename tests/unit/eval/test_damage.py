"""The damage series: what is hit, and that the metrics answer as they should, measured without a model."""

from __future__ import annotations

from itertools import pairwise

import pytest

from labwright.errors import MetricUndefined
from labwright.eval.damage import BLURS, STRENGTHS, TARGETS, damage
from labwright.eval.damage_series import damage_rows, detection_f1, f1_interval, points, response
from labwright.eval.protocol_findings import METRICS, CodeScore
from labwright.eval.protocol_reading import Reading
from labwright.eval.protocol_words import quantities, vague_words
from labwright.eval.suites.judges import good_protocols

GOOD = good_protocols()
READING = GOOD["hormone_therapy"]


def ids(reading: Reading) -> list[str]:
    return [s.id for s in reading.steps()]


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return list(damage_rows(GOOD, seeds=4))


@pytest.mark.parametrize("kind", TARGETS)
def test_strength_zero_changes_nothing_and_the_same_seed_does_the_same(kind):
    assert damage(READING, kind, 0.0, 1).reading == READING
    assert damage(READING, kind, 0.45, 1) == damage(READING, kind, 0.45, 1)
    assert damage(READING, kind, 0.45, 1) != damage(READING, kind, 0.45, 2)


@pytest.mark.parametrize(
    "kind", [k for k in TARGETS if k not in ("steps_shuffled", "parts_duplicated", "steps_dropped")]
)
def test_a_stronger_damage_hits_what_a_weaker_one_hits(kind):
    hit = [damage(READING, kind, s, 3).steps for s in STRENGTHS]
    assert all(a <= b for a, b in pairwise(hit))
    assert hit[0] < hit[-1]


def test_dropped_steps_are_gone_and_the_rest_is_untouched():
    left = damage(READING, "steps_dropped", 0.3, 0).reading
    assert len(ids(left)) == len(ids(READING)) - 5  # 0.3 of 15 steps, rounded up
    assert all(s in list(READING.steps()) for s in left.steps())


def test_shuffled_steps_have_all_left_their_place():
    hurt = damage(READING, "steps_shuffled", 0.45, 0)
    assert sorted(ids(hurt.reading)) == sorted(ids(READING))
    moved = {a for a, b in zip(ids(READING), ids(hurt.reading), strict=True) if a != b}
    assert moved == hurt.steps
    assert len(moved) == 7


def test_blurred_numbers_are_words_that_the_metric_does_not_all_know():
    hurt = damage(READING, "numbers_blurred", 1.0, 0).reading
    assert not any(quantities(s.text) for s in hurt.steps())
    assert ids(hurt) == ids(READING)
    assert [s.datasets for s in hurt.steps()] == [s.datasets for s in READING.steps()]
    assert 0 < sum(not vague_words(b) for b in BLURS) < len(BLURS) / 2


def test_invented_names_are_not_in_the_text_they_replace():
    data = damage(READING, "datasets_invented", 1.0, 0).reading
    assert not any("gbsg2" in s.datasets for s in data.steps())
    tools = damage(READING, "tools_invented", 1.0, 0).reading
    assert not {s.tool for s in tools.steps()} & {s.tool for s in READING.steps()}


def test_duplicated_parts_say_the_same_under_other_names():
    hurt = damage(READING, "parts_duplicated", 0.3, 0)
    assert len(hurt.reading.parts) == len(READING.parts) + 2
    assert len(set(ids(hurt.reading))) == len(ids(hurt.reading))
    copies = hurt.reading.parts[-2:]
    texts = {" ".join(s.text for s in p.steps) for p in READING.parts}
    assert all(" ".join(s.text for s in p.steps) in texts for p in copies)


@pytest.mark.parametrize(("kind", "strength"), [("fire", 0.5), ("steps_dropped", 1.5), ("steps_dropped", -0.1)])
def test_other_damage_is_refused(kind, strength):
    with pytest.raises(ValueError, match="damage"):
        damage(READING, kind, strength, 0)


@pytest.mark.parametrize("kind", TARGETS)
def test_the_right_metric_falls_and_the_others_stay(rows, kind):
    """The goals of docs/benchmarks: rho at most -0.9, cross-talk at most 0.3; here with fewer seeds."""
    found = response(rows, kind)
    assert found.spearman <= -0.9
    assert set(found.crosstalk) == set(METRICS) - {TARGETS[kind]}
    assert max(found.crosstalk.values()) <= 0.3
    assert found.fall > 0.3


def test_a_metric_that_does_not_look_is_found_out():
    def blind(reading: Reading) -> list[CodeScore]:
        return [CodeScore(m, 4.0, 1, ()) for m in METRICS]

    found = list(damage_rows({"x": READING}, seeds=1, score=blind))
    with pytest.raises(MetricUndefined, match="does not vary"):
        response(found, "steps_dropped")
    assert detection_f1(found, ["tools_invented"]) == 0.0


def test_a_metric_that_answers_to_everything_has_full_crosstalk():
    def length(reading: Reading) -> list[CodeScore]:
        return [CodeScore(m, min(5.0, 1 + len(ids(reading)) / 4), 1, ()) for m in METRICS]

    found = response(list(damage_rows({"x": READING}, seeds=1, score=length)), "steps_dropped")
    assert found.spearman == pytest.approx(-1.0)
    assert set(found.crosstalk.values()) == {1.0}


def test_the_undamaged_protocol_is_part_of_the_series(rows):
    found = points(rows, "tools_invented", "correctness")
    assert {s for _, s in found} == {0.0, *STRENGTHS}
    assert all(v == 5.0 for (_, s), v in found.items() if s == 0)


def test_detection_counts_by_hand():
    made = [
        {"protocol": p, "damage": "k", "hit": h, "flagged": f, "both": b}
        for p, h, f, b in (("a", 4, 2, 2), ("b", 2, 4, 1))
    ]
    assert detection_f1(made, ["k"]) == pytest.approx(2 * 3 / 12)
    low, high = f1_interval(made, ["k"])
    assert low == pytest.approx(2 / 6)
    assert high == pytest.approx(4 / 6)
    with pytest.raises(MetricUndefined):
        f1_interval(made[:1], ["k"])
    with pytest.raises(MetricUndefined):
        detection_f1([], ["k"])
