"""A person found again, audits, look-ups, teams and adversaries, on portraits of smooth colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_faces
import torch

from labwright.errors import WrongUse
from labwright.safety.faces import adversaries
from labwright.safety.faces.audit import Seen, Unread, audit
from labwright.safety.faces.boxing import SIZE, Box
from labwright.safety.faces.evaluation import (
    Outcome,
    Search,
    Split,
    evaluate,
    look_up,
    masked_by,
    noise_like,
    read_people,
    split,
)
from labwright.safety.faces.mask import MaskSettings
from labwright.safety.faces.person import compare, enrol, faces_of, known_to, own_faces
from labwright.safety.faces.photos import write_photo
from labwright.safety.faces.protection import compared, protect
from labwright.safety.faces.recognisers import observer
from labwright.safety.faces.team import named_rightly, rank_teams

QUICK = MaskSettings(epochs=8, batch=4, rate=0.008)


@pytest.fixture
def team(tmp_path: Path) -> list:
    return tiny_faces.team(tmp_path / "cards", 1, 2)


def folder(tmp_path: Path, people: range, shots: int) -> Path:
    for person in people:
        for shot in range(shots):
            write_photo(tiny_faces.portrait(person, shot), tmp_path / "people" / f"p{person}" / f"{shot:02d}.png")
    return tmp_path / "people"


def test_the_face_that_is_like_those_that_stand_alone_is_the_persons(team) -> None:
    both = np.concatenate([tiny_faces.portrait(2, 7), tiny_faces.portrait(1, 7)], axis=1)
    photos = {"a": tiny_faces.portrait(1, 1), "b": tiny_faces.portrait(1, 2), "both": both}
    chosen = {p.name: p.box for p in own_faces(photos, tiny_faces.bright, team)}
    assert chosen["both"].left >= 180
    assert chosen["a"].left < 60


def test_photos_that_a_person_cannot_be_learned_from(team) -> None:
    both = np.concatenate([tiny_faces.portrait(2, 7), tiny_faces.portrait(1, 7)], axis=1)
    with pytest.raises(WrongUse, match="dark: no face found"):
        own_faces({"dark": np.zeros((90, 90, 3), np.uint8)}, tiny_faces.bright, team)
    with pytest.raises(WrongUse, match="at least one has to show the person alone"):
        own_faces({"both": both}, tiny_faces.bright, team)


def test_an_audit_tells_recognisable_protected_and_strange_faces_apart(tmp_path: Path, team) -> None:
    photos = [tiny_faces.photo(1, s) for s in range(4)]
    key = enrol("P", photos, team, QUICK)
    fresh, other = tiny_faces.photo(1, 9), tiny_faces.photo(2, 1)
    write_photo(fresh.pixels, tmp_path / "a" / "clean.png")
    write_photo(protect(fresh.pixels, [fresh.box], key.mask)[0], tmp_path / "a" / "masked.png")
    write_photo(other.pixels, tmp_path / "a" / "other.png")
    (tmp_path / "a" / "broken.jpg").write_text("no picture")
    (tmp_path / "a" / "empty.png").write_bytes((tmp_path / "a" / "clean.png").read_bytes()[:0])
    found = {f.path.name: f for f in audit(tmp_path / "a", tiny_faces.bright, key, team)}
    verdicts = {name: f.verdict for name, f in found.items() if isinstance(f, Seen)}
    assert verdicts == {"clean.png": "recognisable", "masked.png": "protected", "other.png": "someone else"}
    assert all(one.same for one in found["masked.png"].restored)
    assert isinstance(found["broken.jpg"], Unread)
    assert "not a picture" in found["broken.jpg"].reason
    without = [f.verdict for f in audit(tmp_path / "a", tiny_faces.bright) if isinstance(f, Seen)]
    assert without == ["a face"] * 3


def test_only_faces_that_a_recogniser_takes_for_the_person_are_theirs(team) -> None:
    key = enrol("P", [tiny_faces.photo(1, s) for s in range(3)], team, QUICK.model_copy(update={"epochs": 1}))
    both = np.concatenate([tiny_faces.portrait(2, 7), tiny_faces.portrait(1, 7)], axis=1)
    (only,) = faces_of(key, both, tiny_faces.bright(both), team)
    assert only[0].left >= 180
    assert set(known_to(key)) == {"tiny1", "tiny2"}
    assert compare(both, only[0], {"tiny2": known_to(key)["tiny2"]}, team)[0].recogniser == "tiny2"


def test_the_split_is_the_published_one() -> None:
    probes, gallery, train = split([f"{i:02d}.jpg" for i in range(20)])
    assert probes == ["02.jpg", "07.jpg"]
    assert gallery == ["03.jpg", "00.jpg", "05.jpg", "06.jpg"]
    assert len(train) == 14
    assert [len(part) for part in split(range(30))] == [3, 6, 21]


def test_a_folder_of_people_is_read_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    home = folder(tmp_path, range(2), 10)
    (home / "p0" / "x.png").write_text("no picture")
    write_photo(np.zeros((50, 50, 3), np.uint8), home / "p1" / "dark.png")
    write_photo(tiny_faces.portrait(9, 0), home / "p9" / "0.png")
    said: list[str] = []
    people = read_people(home, tiny_faces.bright, said.append)
    assert {who: (len(s.probes), len(s.gallery), len(s.train)) for who, s in people.items()} == {
        "p0": (1, 2, 7), "p1": (1, 2, 7)
    }  # fmt: skip
    assert [s.split(":")[0] for s in said] == ["left out"] * 3
    assert "no face found" in said[1]
    assert "1 photos with a face; 10 are needed" in said[2]
    with pytest.raises(WrongUse, match="0 people with 10 photos"):
        read_people(home / "p0", tiny_faces.bright, said.append)


def test_people_are_found_without_a_mask_and_not_with_one(team) -> None:
    galleries = {f"p{n}": [tiny_faces.photo(n, s) for s in range(3)] for n in range(4)}
    key = enrol("p1", [tiny_faces.photo(1, s) for s in range(5, 9)], team, QUICK)
    search = Search(
        "p1", [tiny_faces.photo(1, 20), tiny_faces.photo(1, 21)], galleries, {r.name: observer(r) for r in team}
    )

    def shares(protection, **more) -> dict[int, float]:
        found = list(look_up(search, protection, **more))
        return {s: float(np.mean([o.protected for o in found if o.setting == s])) for s in (1, 2, 3)}

    plain = shares(lambda pixels, box: pixels)
    assert plain == {1: 0, 2: 0, 3: 0}
    hidden = shares(masked_by(key.mask, key.record.settings.margin))
    assert hidden[1] > 0.4
    assert hidden[3] <= hidden[1]  # photos under one mask resemble one another
    noisy = shares(noise_like(masked_by(key.mask, 30)))
    assert noisy[1] < hidden[1]


def test_a_tie_is_the_person_found() -> None:
    assert not Outcome("a", "x", 1, "r", "a", 0.5, 0.5).protected
    assert Outcome("a", "x", 1, "r", "b", 0.4, 0.5).protected


def test_every_person_is_evaluated_by_those_who_taught_the_mask_and_others(tmp_path: Path, team) -> None:
    home = folder(tmp_path, range(2), 10)
    said: list[str] = []
    people = read_people(home, tiny_faces.bright, said.append)
    unseen = {"unseen": observer(tiny_faces.team(tmp_path / "cards", 3)[0])}
    found = list(evaluate(people, team, unseen, QUICK.model_copy(update={"epochs": 2}), said.append))
    assert {(o.person, o.setting, o.recogniser) for o in found} == {
        (p, s, r) for p in ("p0", "p1") for s in (1, 2, 3) for r in ("tiny1", "tiny2", "unseen")
    }
    assert said == ["p0, 1 of 2: a mask from 7 photos", "p1, 2 of 2: a mask from 7 photos"]


def test_noise_to_compare_with_costs_the_same_ssim(team) -> None:
    photo = tiny_faces.photo(1, 1)
    mask = torch.from_numpy(np.random.default_rng(0).uniform(-12, 12, (3, SIZE, SIZE))).float()
    protection = masked_by(mask, 30)
    before = photo.pixels[photo.box.rows, photo.box.columns]
    wanted, given = (compared(before, made(photo.pixels, photo.box)[photo.box.rows, photo.box.columns])[0]
                     for made in (protection, noise_like(protection)))  # fmt: skip
    assert given == pytest.approx(wanted, abs=0.02)


def test_a_team_fails_on_different_people() -> None:
    right = np.ones((10, 4), bool)
    right[[0, 1], 0] = False
    right[[0, 1], 1] = False  # fails where the first does
    right[[2, 3], 2] = False  # fails elsewhere
    right[:, 3] = False  # knows nobody
    ranked = rank_teams(right, ("a", "b", "c", "d"))
    assert {t.members for t in ranked} == {("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")}
    assert ranked[0].members in {("a", "c"), ("b", "c")}
    assert ranked[0].diversity == 1
    assert ranked[-1].members == ("a", "b")
    assert ranked[-1].diversity == 0
    assert ranked[0].accuracy == 0.8
    with pytest.raises(WrongUse, match="a team needs two recognisers that name 90% of the photos rightly: a 80%"):
        rank_teams(right, ("a", "b", "c", "d"), 0.9)


def test_recognisers_are_right_where_people_look_alike_to_themselves(team) -> None:
    people = {
        f"p{n}": Split((tiny_faces.photo(n, 9),), (tiny_faces.photo(n, 1), tiny_faces.photo(n, 2)), ())
        for n in range(3)
    }
    right = named_rightly(people, team)
    assert right.shape == (3, 2)
    assert right.all()


@pytest.mark.parametrize("name", sorted(adversaries.TRANSFORMS))
def test_transforms_keep_the_size_and_are_the_same_each_time(name: str) -> None:
    pixels = tiny_faces.portrait(1, 1)
    made = adversaries.TRANSFORMS[name](pixels)
    assert made.shape == pixels.shape
    assert made.dtype == np.uint8
    assert not np.array_equal(made, pixels)
    assert np.array_equal(made, adversaries.TRANSFORMS[name](pixels))


def test_denoising_by_least_variation_smooths_and_keeps_edges() -> None:
    clean = np.zeros((40, 40, 3), np.uint8) + 60
    clean[:, 20:] = 180
    noisy = (clean + np.random.default_rng(0).normal(0, 8, clean.shape)).clip(0, 255).astype(np.uint8)
    made = adversaries.denoised(12.0)(noisy)
    assert np.abs(made.astype(int) - clean)[:, 5:15].mean() < 0.4 * np.abs(noisy.astype(int) - clean)[:, 5:15].mean()
    assert made[:, 21:].mean() - made[:, :19].mean() > 105


def test_one_pair_of_photos_gives_a_mask_away() -> None:
    photo = tiny_faces.photo(1, 1)
    coarse = torch.from_numpy(np.random.default_rng(0).uniform(-12, 12, (1, 3, 14, 14))).float()
    mask = torch.nn.functional.interpolate(coarse, size=SIZE, mode="bilinear")[0]
    masked = protect(photo.pixels, [photo.box], mask)[0]
    leaked = adversaries.leaked_mask(photo.pixels, masked, photo.box)
    other = tiny_faces.photo(1, 2)
    guarded = protect(other.pixels, [other.box], mask)[0]
    taken_off = protect(guarded, [other.box], -leaked)[0]
    error = np.abs(taken_off.astype(int) - other.pixels)[other.box.rows, other.box.columns].mean()
    assert error < 0.2 * np.abs(guarded.astype(int) - other.pixels)[other.box.rows, other.box.columns].mean()


def test_an_average_guess_finds_the_fine_part_only() -> None:
    fine, broad = torch.full((3, SIZE, SIZE), -8.0), torch.full((3, SIZE, SIZE), -8.0)
    fine[:, ::2] = 8
    broad[:, : SIZE // 2] = 8

    def likeness(mask: torch.Tensor, sought: torch.Tensor) -> float:
        photos = [tiny_faces.photo(1, s) for s in range(3)]
        guess = adversaries.averaged_mask([(protect(p.pixels, [p.box], mask)[0], p.box) for p in photos])
        assert guess.shape == (3, SIZE, SIZE)
        return float(torch.corrcoef(torch.stack([guess.flatten(), sought.flatten()]))[0, 1])

    assert likeness(fine, fine) > 0.3
    assert abs(likeness(torch.zeros_like(fine), fine)) < 0.1
    assert abs(likeness(broad, broad)) < 0.1


def test_boxes_overlap_by_their_shared_area() -> None:
    assert Box(0, 0, 10, 10).overlap(Box(0, 0, 10, 10)) == 1
    assert Box(0, 0, 10, 10).overlap(Box(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert Box(0, 0, 10, 10).overlap(Box(20, 20, 30, 30)) == 0
