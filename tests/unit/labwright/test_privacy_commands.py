"""`labwright privacy`, from photos to a key, to masked photos and back, with recognisers of a few thousand weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_faces
from typer.testing import CliRunner

from labwright.cli import app
from labwright.errors import LabwrightError
from labwright.safety.faces import detection
from labwright.safety.faces.photos import read_photo, write_photo

PHRASE = "a long enough phrase"


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "DlibDetector", lambda progress: tiny_faces.bright)
    monkeypatch.setenv("LABWRIGHT_KEY_PASSPHRASE", PHRASE)


@pytest.fixture
def cards(tmp_path: Path) -> str:
    return ",".join(str(tiny_faces.card(tmp_path / "cards", seed)) for seed in (1, 2))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for shot in range(4):
        write_photo(tiny_faces.portrait(1, shot), tmp_path / "mine" / f"{shot}.png")
    return tmp_path / "mine"


def labwright(*arguments: object, ends: int = 0) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == ends, done.output
    return done.stdout


def enrol(photos: Path, out: Path, cards: str, *more: object) -> str:
    return labwright("privacy", "enrol", "Ada", photos, "--out", out, "--team", cards, "--epochs", 8, *more)


def test_a_person_is_enrolled_protected_audited_and_restored(tmp_path: Path, photos: Path, cards: str) -> None:
    key = tmp_path / "ada.key"
    made = json.loads(enrol(photos, key, cards, "--json"))
    assert len(made["photos"]) == 4
    assert all(0.5 < row["SSIM"] < 1 for row in made["photos"])
    assert set(made["photos"][0]) == {"photo", "SSIM", "PSNR", "to tiny1", "to tiny2"}
    new = tmp_path / "new"
    write_photo(tiny_faces.portrait(1, 9), new / "holiday.png")
    before = (new / "holiday.png").read_bytes()
    assert "recognisable" in labwright("privacy", "audit", new, "--key", key, ends=1)
    done = json.loads(labwright("privacy", "protect", new, "--key", key, "--out", tmp_path / "out", "--json"))
    assert [Path(row["photo"]).name for row in done] == ["holiday.png"]
    assert (new / "holiday.png").read_bytes() == before
    masked = read_photo(tmp_path / "out" / "holiday.png")
    assert not np.array_equal(masked, tiny_faces.portrait(1, 9))
    back = labwright("privacy", "restore", tmp_path / "out", "--key", key, "--out", tmp_path / "back")
    assert back.strip() == str(tmp_path / "back" / "holiday.png")
    assert np.array_equal(read_photo(tmp_path / "back" / "holiday.png"), tiny_faces.portrait(1, 9))


def test_an_audit_without_a_key_counts_every_face(tmp_path: Path, photos: Path) -> None:
    found = json.loads(labwright("privacy", "audit", photos, "--json", ends=1))
    assert [f["verdict"] for f in found] == ["a face"] * 4
    write_photo(np.zeros((60, 60, 3), np.uint8), tmp_path / "none" / "a.png")
    assert json.loads(labwright("privacy", "audit", tmp_path / "none", "--json")) == []
    (tmp_path / "none" / "b.jpg").write_text("no picture")
    assert "not read" in labwright("privacy", "audit", tmp_path / "none", ends=1)


def test_what_is_refused(tmp_path: Path, photos: Path, cards: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "ada.key"
    enrol(photos, key, cards, "--seed", 5)

    def refused(code: int, message: str, *arguments: object) -> None:
        with pytest.raises(LabwrightError, match=message) as error:
            labwright("privacy", *arguments)
        assert error.value.exit_code == code

    refused(2, "key is not overwritten", "enrol", "Ada", photos, "--out", key, "--team", cards)
    stranger = tmp_path / "other" / "them.png"
    write_photo(tiny_faces.portrait(2, 0), stranger)
    refused(2, "1 faces, none taken for the person's", "protect", stranger, "--key", key, "--out", tmp_path / "o")
    labwright("privacy", "protect", stranger, "--key", key, "--out", tmp_path / "o", "--any-face")
    refused(2, "is there already", "protect", stranger, "--key", key, "--out", tmp_path / "o", "--any-face")
    write_photo(tiny_faces.portrait(2, 0), tmp_path / "twice" / "them.png")
    refused(
        2,
        "two photos are called 'them'",
        "protect",
        stranger,
        tmp_path / "twice",
        "--key",
        key,
        "--out",
        tmp_path / "p",
    )
    refused(4, r"no them\.png\.mask\.json beside it", "restore", stranger, "--key", key, "--out", tmp_path / "r")
    refused(2, "one of facenet, faceres", "enrol", "Ada", photos, "--out", tmp_path / "k", "--team", "vgg")
    refused(2, "named once each", "enrol", "Ada", photos, "--out", tmp_path / "k", "--team", f"{cards},{cards}")
    monkeypatch.setenv("LABWRIGHT_KEY_PASSPHRASE", "another phrase")
    refused(2, "passphrase is wrong", "restore", tmp_path / "o", "--key", key, "--out", tmp_path / "r")
    monkeypatch.delenv("LABWRIGHT_KEY_PASSPHRASE")
    refused(4, "set LABWRIGHT_KEY_PASSPHRASE", "restore", tmp_path / "o", "--key", key, "--out", tmp_path / "r")


def test_cards_that_are_wrong(tmp_path: Path, photos: Path) -> None:
    good = tiny_faces.card(tmp_path / "cards", 1)
    for text, message in (
        ("name = [", "cannot be read as TOML"),
        (good.read_text().replace("threshold", "limit"), "threshold: Field required.*docs/privacy.md"),
        (good.read_text().replace("size = 32", "size = 3"), "size: .*greater than or equal to 32"),
        (good.read_text().replace('"tiny1.json"', '"absent.json"'), r"absent\.json: cannot be read"),
        (good.read_text().replace('"out"', '"nowhere"'), "no node 'nowhere'"),
    ):
        card = tmp_path / "cards" / "bad.toml"
        card.write_text(text)
        with pytest.raises(LabwrightError, match=message):
            enrol(photos, tmp_path / "k", str(card))
    assert not (tmp_path / "k").exists()


def test_people_of_a_folder_are_evaluated_and_too_few_give_no_rate(tmp_path: Path, cards: str) -> None:
    for person in range(2):
        for shot in range(10):
            write_photo(tiny_faces.portrait(person, shot), tmp_path / "people" / f"p{person}" / f"{shot}.png")
    unseen = tiny_faces.card(tmp_path / "cards", 3)
    arguments = ("audit", tmp_path / "people", "--evaluate", "--team", cards, "--unseen", unseen, "--epochs", 1)
    found = json.loads(labwright("privacy", *arguments, "--json"))
    assert found["people"] == 2
    assert len(found["outcomes"]) == 2 * 3 * 3
    assert {(r["recogniser"], r["box"]) for r in found["rates"]} == {
        ("tiny1", "white box"), ("tiny2", "white box"), ("tiny3", "black box")
    }  # fmt: skip
    assert all(r["interval"] is None and r["photos"] == 2 for r in found["rates"])
    assert "2 people are too few for a rate" in labwright("privacy", *arguments)


def test_a_team_is_chosen_on_other_people(tmp_path: Path, photos: Path) -> None:
    for person in (3, 4):
        for shot in range(10):
            write_photo(tiny_faces.portrait(person, shot), tmp_path / "others" / f"p{person}" / f"{shot}.png")
    cards = ",".join(str(tiny_faces.card(tmp_path / "cards", seed)) for seed in (1, 2, 3))
    made = json.loads(enrol(photos, tmp_path / "k", cards, "--people", tmp_path / "others", "--json"))
    told = [name.removeprefix("to ") for name in made["photos"][0] if name.startswith("to ")]
    assert 2 <= len(told) <= 3
    assert set(told) <= {"tiny1", "tiny2", "tiny3"}


def test_the_gate_of_a_run_can_be_tried_on_files(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "labwright.toml").write_text(
        '[backends.eyes]\nkind = "scripted"\nscript = "x"\n[figures]\nbackend = "eyes"\n'
    )
    write_photo(np.zeros((60, 60, 3), np.uint8), tmp_path / "dark.png")
    given = (
        "privacy",
        "gate",
        tmp_path / "dark.png",
        "--config",
        tmp_path / "labwright.toml",
        "--out",
        tmp_path / "seen",
    )
    (row,) = json.loads(labwright(*given, "--json"))
    assert (row["name"], row["verdict"], row["faces"]) == ("dark.png", "passed", 0)
    assert read_photo(tmp_path / "seen" / f"{row['id']}.png").shape == (60, 60, 3)
    with pytest.raises(LabwrightError, match="is not overwritten"):
        labwright(*given)
    with pytest.raises(LabwrightError, match=r"0\.png: refused: a face in it"):
        labwright(*given[:2], photos / "0.png", *given[2:])


@pytest.mark.parametrize("only", [[], ["--check"]])
def test_a_picture_that_nobody_would_look_at_begins_no_run(tmp_path: Path, photos: Path, only: list[str]) -> None:
    asked = "Which genes predict relapse in breast cancer?"
    with pytest.raises(LabwrightError, match="no model would look at it"):
        labwright("run", asked, "--image", photos / "0.png", "--out", tmp_path / "runs", *only)
    assert not (tmp_path / "runs").exists()
