"""Learning a mask, putting it on a photo, taking it off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_faces
import torch
from pydantic import ValidationError

from labwright.errors import WrongUse
from labwright.safety.faces.boxing import Box, boxed
from labwright.safety.faces.mask import Epoch, MaskSettings, hinge, learn, next_weight, step
from labwright.safety.faces.protection import offsets, protect, restore

QUICK = MaskSettings(epochs=6, batch=2, rate=0.004)


def faces(person: int, shots: range = range(4)) -> list:
    return [boxed(p.pixels, p.box) for p in (tiny_faces.photo(person, s) for s in shots)]


def test_the_hinge_costs_nothing_below_its_limit() -> None:
    seen = torch.tensor([0.0184552554, 0.1900573683], dtype=torch.float64)
    assert hinge(seen, 2.0, MaskSettings()).tolist() == pytest.approx([0, 0.3201147366])
    assert hinge(seen, 2.0, MaskSettings(hinge=False)).tolist() == [0, 0]


def test_a_step_goes_by_sign_and_stays_within_the_budget() -> None:
    made = step(torch.tensor([15.9, -15.9, 0.1, 3.0]), torch.tensor([-2.0, 1, 0, 5]), 0.255, 16)
    assert made.tolist() == pytest.approx([16, -16, 0.1, 2.745])


def test_the_weight_follows_the_last_batch_within_its_range() -> None:
    weight, seen = 1.0, []
    for value in (0.01, 0.02, 0.026, 0.028, 0.031, 0.033, 0.05, 0.05, 0.0301):
        weight = next_weight(weight, value, 0.03)
        seen.append(weight)
    assert seen == [0.5, 0.25, 0.125, 1, 1, 2, 4, 8, 1]
    low = high = 1.0
    for _ in range(12):
        low, high = next_weight(low, 0.0, 0.03), next_weight(high, 1.0, 0.03)
    assert (low, high) == (1 / 256, 256)


def test_a_mask_moves_every_recogniser_away_also_on_a_photo_it_never_saw(tmp_path: Path) -> None:
    team = tiny_faces.team(tmp_path, 1, 2)
    epochs: list[Epoch] = []
    mask = learn(faces(5), team, QUICK, epochs.append)
    assert mask.shape == (3, 112, 112)
    assert mask.abs().max() <= 16
    assert [e.number for e in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].angle > 3 * epochs[0].angle
    assert epochs[0].loss == pytest.approx(-epochs[0].angle)  # the hinge is slack at first
    fresh = tiny_faces.photo(5, 9)
    masked = protect(fresh.pixels, [fresh.box], mask)[0]
    for recogniser in team:
        with torch.no_grad():
            before, after = (recogniser.embed(boxed(p, fresh.box).image[None])[0] for p in (fresh.pixels, masked))
        assert float(before @ after) < 0.9


def test_the_same_seed_gives_the_same_bits_and_another_one_another_mask(tmp_path: Path) -> None:
    team = tiny_faces.team(tmp_path, 1, 2)
    first, again = learn(faces(5), team, QUICK), learn(faces(5), team, QUICK)
    assert torch.equal(first, again)
    other = learn(faces(5), team, QUICK.model_copy(update={"seed": 7}))
    assert (first - other).abs().mean() > 0.5


def test_the_hinge_holds_the_visible_change_down(tmp_path: Path) -> None:
    team, strong = tiny_faces.team(tmp_path, 1), MaskSettings(epochs=30, batch=4, rate=0.01, dissimilarity=0.01)
    held: list[Epoch] = []
    free: list[Epoch] = []
    learn(faces(5), team, strong, held.append)
    learn(faces(5), team, strong.model_copy(update={"hinge": False}), free.append)
    assert held[-1].dissimilarity < 0.7 * free[-1].dissimilarity


def test_without_photos_or_recognisers_there_is_no_mask(tmp_path: Path) -> None:
    for photos, team in (([], tiny_faces.team(tmp_path, 1)), (faces(5), [])):
        with pytest.raises(WrongUse, match="at least one photo and one recogniser"):
            learn(photos, team)
    with pytest.raises(ValidationError):
        MaskSettings(budget=0)


def test_taking_a_mask_off_gives_the_pixels_back_but_where_they_were_cut_off() -> None:
    photo = tiny_faces.photo(5, 1)
    mask = torch.from_numpy(np.random.default_rng(0).uniform(-16, 16, (3, 112, 112))).float()
    made, (change,) = protect(photo.pixels, [photo.box], mask)
    assert change.cut_off == 0
    assert change.ssim < 1
    assert 20 < change.psnr < 40
    assert np.array_equal(restore(made, [photo.box], mask), photo.pixels)
    outside = np.ones(photo.pixels.shape[:2], bool)
    outside[photo.box.rows, photo.box.columns] = False
    assert np.array_equal(made[outside], photo.pixels[outside])
    assert (made != photo.pixels).any()


def test_what_is_cut_off_at_white_is_lost_and_counted() -> None:
    box, mask = Box(10, 10, 60, 60), torch.full((3, 112, 112), 10.0)
    pixels = np.full((80, 80, 3), 250, np.uint8)
    pixels[:, :, 0] = 100
    made, (change,) = protect(pixels, [box], mask)
    assert made[30, 30].tolist() == [110, 255, 255]
    assert change.cut_off == pytest.approx(2 / 3)
    assert restore(made, [box], mask)[30, 30].tolist() == [100, 245, 245]


def test_two_faces_that_overlap_are_restored_in_reverse() -> None:
    pixels = np.random.default_rng(1).integers(60, 190, (150, 150, 3)).astype(np.uint8)
    mask = torch.from_numpy(np.random.default_rng(2).uniform(-9, 9, (3, 112, 112))).float()
    boxes = [Box(10, 10, 80, 90), Box(50, 40, 120, 140)]
    made, changes = protect(pixels, boxes, mask)
    assert [c.box for c in changes] == boxes
    assert np.array_equal(restore(made, boxes, mask), pixels)


def test_a_mask_has_the_size_of_the_face() -> None:
    for box in (Box(0, 0, 40, 55), Box(0, 0, 300, 410)):
        assert offsets(torch.full((3, 112, 112), -3.0), box).shape == (box.height, box.width, 3)
        assert set(offsets(torch.full((3, 112, 112), -3.2), box).ravel()) == {-3}
