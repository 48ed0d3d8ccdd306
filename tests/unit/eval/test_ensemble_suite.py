"""The ensemble suite: published single models, repaired labels, figures made by hand from rows, parts that exist."""

from __future__ import annotations

import numpy as np
import pytest

from labwright.errors import SomethingMissing, WrongUse
from labwright.eval.suites import ensemble, ensemble_bbh
from labwright.eval.suites.ensemble_data import MEMBERS, TASKS, bbh
from labwright.eval.suites.ensemble_figures import PUBLISHED, figures_of
from labwright.eval.suites.rows import Rows
from labwright.models.diversity import TripleFailures, failure_histogram, focal_diversity, generalised_diversity


@pytest.fixture(autouse=True)
def _given(test_data, monkeypatch):
    monkeypatch.setenv("LABWRIGHT_TEST_DATA", str(test_data))


def pooled(labels, part):
    parts = [getattr(task, part) for task in bbh(labels)]
    return np.vstack([p.predictions == p.labels[:, None] for p in parts])


def macro(labels):
    return 100 * np.mean([(t.test.predictions == t.test.labels[:, None]).mean(axis=0) for t in bbh(labels)], axis=0)


def test_vector_8_the_four_matching_single_models_histogram_and_focal_diversities():
    found = dict(zip(MEMBERS, macro("released"), strict=True))
    assert {name: round(found[name], 4) for name in PUBLISHED} == PUBLISHED
    assert failure_histogram(pooled("released", "test")).tolist() == [60, 147, 198, 225, 246, 278]
    train = pooled("released", "train")
    assert failure_histogram(train).tolist() == [261, 579, 742, 954, 967, 1104]
    assert generalised_diversity(train) == pytest.approx(0.2858, abs=5e-5)
    assert focal_diversity(train) == pytest.approx(0.1981, abs=5e-5)
    assert focal_diversity(pooled("released", "test")) == pytest.approx(0.1967, abs=5e-5)
    subsets = {(0, 3): 0.2054, (0, 2, 3): 0.2093, (1, 2, 3, 4): 0.1822, (2, 3): 0.1814, (0, 4): 0.1491}
    table = TripleFailures.of(train)
    for members, expected in subsets.items():
        row = np.zeros((1, 5))
        row[0, list(members)] = 1
        assert table.focal_diversity(row)[0] == pytest.approx(expected, abs=5e-5)


def test_repaired_labels_move_six_tasks_and_no_score():
    assert macro("repaired") == pytest.approx([32.87, 50.24, 43.73, 49.24, 43.32], abs=5e-3)
    moved = {
        a.name for a, b in zip(bbh("released"), bbh("repaired"), strict=True) if (a.test.labels != b.test.labels).any()
    }
    assert len(moved) == 6
    assert len(TASKS) == 24
    sports = TASKS.index("sports_understanding")
    part = bbh("repaired")[sports].test
    assert (100 * (part.predictions == part.labels[:, None]).mean(axis=0)).tolist() == [88, 90, 88, 60, 76]


def test_every_method_learns_from_training_rows_only(monkeypatch):
    seen = bbh("released")[18]
    spoiled = type(seen)(seen.name, seen.train, type(seen.test)(seen.test.scores, seen.test.labels * 0))
    for _, _, predict in ensemble_bbh._methods("repaired", seeds=1):
        assert np.array_equal(predict(seen), predict(spoiled))


def test_figures_by_hand():
    rows = [
        {"kind": "bbh", "labels": labels, "method": method, "seed": seed, "right": right}
        for labels in ("released", "repaired")
        for method, seed, right in (
            *((f"single {name}", 0, ["0011", "10"]) for name in MEMBERS[:4]),
            (f"single {MEMBERS[4]}", 0, ["0111", "10"]),
            ("clean", 0, ["1111", "10"]),
            ("clean", 1, ["1111", "11"]),
        )
    ]
    rows.append({"kind": "pruning", "subsets": 1000, "seconds": 2.0, "sample": 10, "sample_seconds": 4.0,
                 "largest_difference": 0.0})  # fmt: skip
    made = {f["name"]: f for f in figures_of(rows, "raw")}
    assert made["bbh_singles_matching"]["value"] == 0
    assert made["bbh_weighted_clean"]["value"] == pytest.approx((0.75 + 1.0) / 2)
    assert made["bbh_repaired_gain"]["value"] == pytest.approx(0.875 - 0.625)
    assert made["bbh_repaired_gain"]["low"] <= 0.25 <= made["bbh_repaired_gain"]["high"]
    assert made["prune_speedup"]["value"] == pytest.approx(200)
    assert "bbh_weighted_compat" not in made


def test_the_released_recipe_is_also_scored_as_it_was_published_by_batches_of_which_the_last_is_short():
    rows = [
        {"kind": "bbh", "labels": "released", "method": "released recipe", "seed": seed, "right": right}
        for seed, right in ((9, ["111100", "1111"]), (0, ["000011", "0000"]))
    ]
    rows += [
        {"kind": "bbh", "labels": "released", "method": f"single {m}", "seed": 0, "right": ["111100", "0000"]}
        for m in MEMBERS
    ]
    made = {f["name"]: f for f in figures_of(rows, "raw")}
    assert made["bbh_weighted_compat"]["value"] == pytest.approx((5 / 6 + 1 / 6) / 2, abs=1e-4)
    batches = made["bbh_weighted_compat_batch_mean"]
    assert batches["value"] == pytest.approx(((0.5 + 1) / 2 + (0.5 + 0) / 2) / 2)
    assert "2 seeds, 0.2500 to 0.7500" in batches["note"]


def test_a_row_that_is_there_is_not_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(ensemble_bbh, "_methods", lambda labels, seeds: [("plurality", 0, lambda t: t.test.labels)])
    rows, said = Rows(tmp_path / "rows.jsonl"), []
    ensemble_bbh.measure(rows, said.append)
    ensemble_bbh.measure(rows, said.append)
    assert [r["name"] for r in rows.all()] == ["released/plurality/0", "repaired/plurality/0"]
    assert len(said) == 2
    assert all(set(task) == {"1"} for task in rows.all()[0]["right"])


def test_unknown_parts_and_missing_data_are_named(tmp_path, monkeypatch):
    with pytest.raises(WrongUse, match="bbh, pruning"):
        ensemble.measure(["nothing"], print)
    monkeypatch.setenv("LABWRIGHT_TEST_DATA", str(tmp_path))
    bbh.cache_clear()
    with pytest.raises(SomethingMissing, match="LABWRIGHT_TEST_DATA"):
        bbh("released")
