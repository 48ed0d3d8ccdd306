"""Keys on disk, and the notes beside photos."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tiny_faces
import torch

from labwright.errors import KeyMissing, WrongUse
from labwright.safety.faces.boxing import Box
from labwright.safety.faces.keys import MAGIC, MaskKey, load_key, make_key, save_key
from labwright.safety.faces.mask import MaskSettings
from labwright.safety.faces.notes import read_boxes, write_protected
from labwright.safety.faces.photos import read_photo
from labwright.safety.faces.protection import protect, restore

PHRASE = "a long enough phrase"


def key(seed: int = 0) -> MaskKey:
    mask = torch.from_numpy(np.random.default_rng(seed).uniform(-16, 16, (3, 112, 112))).float()
    return make_key(mask, "Ada Lovelace", MaskSettings(), ("facenet",), {"facenet": [0.6, 0.8]})


def test_a_key_comes_back_as_it_was(tmp_path: Path) -> None:
    made = key()
    save_key(made, tmp_path / "k", PHRASE)
    again = load_key(tmp_path / "k", PHRASE)
    assert torch.equal(again.mask, made.mask)
    assert again.record == made.record
    assert again.id == made.id != key(1).id
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600


def test_a_key_does_not_say_whose_it_is_but_knows_its_name(tmp_path: Path) -> None:
    made = key()
    assert made.of(" ada lovelace")
    assert not made.of("Ada")
    assert made.record.person != key().record.person  # another salt
    save_key(made, tmp_path / "k", PHRASE)
    raw = (tmp_path / "k").read_bytes()
    for secret in (b"Ada", b"facenet", made.record.person.encode(), PHRASE.encode()):
        assert secret not in raw


def test_two_files_of_one_key_share_no_salt(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_key(key(), tmp_path / name, PHRASE)
    heads = [json.loads((tmp_path / n).read_bytes().removeprefix(MAGIC).split(b"\n")[0]) for n in ("a", "b")]
    assert heads[0]["salt"] != heads[1]["salt"]
    assert heads[0]["nonce"] != heads[1]["nonce"]


def test_a_key_is_not_overwritten_and_a_phrase_is_long(tmp_path: Path) -> None:
    save_key(key(), tmp_path / "k", PHRASE)
    before = (tmp_path / "k").read_bytes()
    with pytest.raises(WrongUse, match="is there already"):
        save_key(key(1), tmp_path / "k", PHRASE)
    assert (tmp_path / "k").read_bytes() == before
    with pytest.raises(WrongUse, match="at least 8 characters"):
        save_key(key(), tmp_path / "short", "1234567")
    assert not (tmp_path / "short").exists()


def test_a_wrong_phrase_a_changed_byte_and_a_cut_file(tmp_path: Path) -> None:
    path = tmp_path / "k"
    save_key(key(), path, PHRASE)
    raw = path.read_bytes()
    with pytest.raises(WrongUse, match="passphrase is wrong, or the file was changed"):
        load_key(path, PHRASE + ".")
    end_of_head = raw.index(b"\n", len(MAGIC)) + 1
    for spoilt in (raw[:-1], raw[: end_of_head + 5], raw[:end_of_head], raw[:-1] + bytes([raw[-1] ^ 1]), raw + b"x"):
        path.write_bytes(spoilt)
        with pytest.raises(WrongUse, match="passphrase is wrong, or the file was changed or cut short"):
            load_key(path, PHRASE)
    for spoilt in (b"", b"junk", raw[:10], raw[: len(MAGIC)], raw[: len(MAGIC) + 30], MAGIC + b"{}\n"):
        path.write_bytes(spoilt)
        with pytest.raises(WrongUse, match="not a key of labwright, or cut short"):
            load_key(path, PHRASE)
    with pytest.raises(KeyMissing, match="privacy enrol"):
        load_key(tmp_path / "absent", PHRASE)


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"cost": 2**30}, {"cost": 1}, {"cost": 40000}, {"salt": "QUJD"}, {"block": 64}]
)
def test_a_head_that_asks_for_something_else_is_refused_before_its_cost_is_paid(tmp_path: Path, change) -> None:
    path = tmp_path / "k"
    save_key(key(), path, PHRASE)
    head, _, rest = path.read_bytes().removeprefix(MAGIC).partition(b"\n")
    path.write_bytes(MAGIC + json.dumps(json.loads(head) | change).encode() + b"\n" + rest)
    with pytest.raises(WrongUse, match="settings that this labwright does not use"):
        load_key(path, PHRASE)


def test_a_note_brings_a_photo_back(tmp_path: Path) -> None:
    photo, held = tiny_faces.photo(1, 1), key()
    masked = protect(photo.pixels, [photo.box], held.mask)[0]
    path = write_protected(masked, [photo.box], held, tmp_path, "me")
    assert sorted(os.listdir(tmp_path)) == ["me.png", "me.png.mask.json"]
    assert read_boxes(path, held, masked) == [photo.box]
    assert np.array_equal(restore(read_photo(path), read_boxes(path, held, masked), held.mask), photo.pixels)
    assert read_boxes(tmp_path / "me.jpg", held, masked) == [photo.box]  # converted since


def test_notes_that_do_not_fit(tmp_path: Path) -> None:
    photo, held = tiny_faces.photo(1, 1), key()
    path = write_protected(photo.pixels, [photo.box], held, tmp_path, "me")
    with pytest.raises(WrongUse, match="is there already"):
        write_protected(photo.pixels, [photo.box], held, tmp_path, "me")
    with pytest.raises(WrongUse, match=f"protected with the key {held.id}; this one is {key(1).id}"):
        read_boxes(path, key(1), photo.pixels)
    with pytest.raises(WrongUse, match="another size"):
        read_boxes(path, held, photo.pixels[:-1])
    with pytest.raises(KeyMissing, match=r"no you\.png\.mask\.json beside it"):
        read_boxes(tmp_path / "you.png", held, photo.pixels)
    note = tmp_path / "me.png.mask.json"
    held_note = json.loads(note.read_text())
    for boxes in ([[0, 0, 9999, 50]], [[-5, 0, 50, 50]], [[50, 50, 50, 90]]):
        note.write_text(json.dumps(held_note | {"boxes": boxes}))
        with pytest.raises(WrongUse, match="outside the photo"):
            read_boxes(path, held, photo.pixels)
    for spoilt in ("", "[]", json.dumps(held_note | {"extra": 1})):
        note.write_text(spoilt)
        with pytest.raises(WrongUse, match="not a note of labwright"):
            read_boxes(path, held, photo.pixels)


def test_boxes_are_written_in_their_order(tmp_path: Path) -> None:
    photo, held = tiny_faces.photo(1, 1), key()
    boxes = [Box(0, 0, 60, 60), Box(30, 30, 90, 95)]
    path = write_protected(photo.pixels, boxes, held, tmp_path, "two")
    assert read_boxes(path, held, photo.pixels) == boxes
