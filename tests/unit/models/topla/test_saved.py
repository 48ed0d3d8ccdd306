"""Saved ensembles give the same numbers, and refuse other members, other weights and other formats."""

from __future__ import annotations

import json

import numpy as np
import pytest

from labwright.errors import HashMismatch, ModelMissing
from labwright.models.topla.saved import ABOUT, WEIGHTS, calibration, data_hash, load, save
from labwright.models.topla.weighted import Clean, Released, fit

NAMES = ("one", "two", "three")


def data(n=60):
    rng = np.random.default_rng(0)
    key = rng.integers(0, 4, n)
    scores = rng.normal(size=(n, 3, 4))
    scores[np.arange(n), :, key] += 1
    return scores, key


@pytest.fixture(params=[Clean(epochs=3), Released(epochs=3)], ids=["clean", "released"])
def kept(request, tmp_path):
    scores, key = data()
    made = fit(scores, key, request.param)
    save(made, tmp_path / "e", members=NAMES, settings=request.param, data_sha256=data_hash(scores, key))
    return tmp_path / "e", made, scores


def test_a_saved_ensemble_gives_the_same_probabilities(kept):
    folder, made, scores = kept
    again = load(folder, members=NAMES)
    assert np.array_equal(again.probabilities(scores), made.probabilities(scores))
    about = json.loads((folder / ABOUT).read_text())
    assert about["members"] == list(NAMES)
    assert len(about["data_sha256"]) == 64
    assert sorted(p.name for p in folder.iterdir()) == sorted([ABOUT, WEIGHTS])


@pytest.mark.parametrize("members", [("two", "one", "three"), ("one", "two"), ("one", "two", "four")])
def test_other_members_or_another_order_are_refused(kept, members):
    with pytest.raises(ModelMissing, match="trained for one, two, three, in this order"):
        load(kept[0], members=members)


def test_changed_weights_formats_and_empty_folders_are_refused(kept, tmp_path):
    folder = kept[0]
    with pytest.raises(ModelMissing, match="no ensemble there"):
        load(tmp_path, members=NAMES)
    raw = bytearray((folder / WEIGHTS).read_bytes())
    raw[-1] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(raw))
    with pytest.raises(HashMismatch, match="not the weights"):
        load(folder, members=NAMES)
    about = json.loads((folder / ABOUT).read_text()) | {"format": 99}
    (folder / ABOUT).write_text(json.dumps(about))
    with pytest.raises(ModelMissing, match="format 99"):
        load(folder, members=NAMES)


def test_names_must_fit(tmp_path):
    scores, key = data()
    made = fit(scores, key, Clean(epochs=1))
    for names in (("one", "two"), ("one", "one", "two")):
        with pytest.raises(ValueError, match="3 distinct names"):
            save(made, tmp_path, members=names, settings=Clean(), data_sha256="")


def test_the_hash_knows_scores_labels_and_shape():
    scores, key = data()
    assert data_hash(scores, key) == data_hash(scores.copy(), key.astype("int32"))
    assert len({data_hash(scores, key), data_hash(scores * 2, key), data_hash(scores.transpose(0, 2, 1), key),
                data_hash(scores, key[::-1])}) == 4  # fmt: skip


def test_calibration_by_hand():
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    made = calibration(shares, [0, 1, 0, 1])
    assert made.bins == (
        (pytest.approx(0.6), 1.0, 1),
        (pytest.approx(0.7), 1.0, 1),
        (pytest.approx(0.9), 0.5, 2),
    )
    assert made.error == pytest.approx((0.4 + 0.3 + 2 * 0.4) / 4)
    assert made.log_loss == pytest.approx(-np.log([0.9, 0.1, 0.6, 0.7]).mean())
    with pytest.raises(ValueError, match="do not fit"):
        calibration(shares, [0, 1])
