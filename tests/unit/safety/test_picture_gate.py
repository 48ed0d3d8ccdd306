"""Pictures from outside: what is unpacked and how, what each gate lets through."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tiny_faces
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labwright.errors import WrongUse
from labwright.safety.faces.gate import face_gate
from labwright.safety.faces.mask import MaskSettings
from labwright.safety.faces.person import enrol
from labwright.safety.faces.protection import restore
from labwright.safety.picture_gate import closed_gate, open_gate
from labwright.safety.pictures import packed, unpacked


def saved(image: Image.Image, form: str = "PNG", **more: object) -> bytes:
    kept = io.BytesIO()
    image.save(kept, form, **more)
    return kept.getvalue()


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (saved(Image.new("RGB", (4, 2), (10, 20, 30))), [10, 20, 30]),
        (saved(Image.new("RGBA", (4, 2), (0, 0, 0, 0))), [255, 255, 255]),
        (saved(Image.new("L", (4, 2), 7)), [7, 7, 7]),
        (saved(Image.new("I;16", (4, 2), 0x7F00)), [127, 127, 127]),
        (saved(Image.new("CMYK", (4, 2), (0, 0, 0, 255)), "JPEG"), [0, 0, 0]),
        (saved(Image.new("RGB", (4, 2), "red"), "GIF", save_all=True, append_images=[Image.new("RGB", (4, 2))]), [255, 0, 0]),
    ],
)  # fmt: skip
def test_every_kind_of_picture_is_seen_as_a_reader_sees_it(image: bytes, expected: list[int]) -> None:
    pixels = unpacked(image)
    assert pixels.shape == (2, 4, 3)
    assert pixels[0, 0].tolist() == expected


def test_a_picture_is_upright_and_says_nothing_of_where_it_was_taken() -> None:
    exif = Image.Exif()
    exif[274], exif[271] = 6, "A camera"
    made = packed(unpacked(saved(Image.new("RGB", (4, 2)), "JPEG", exif=exif)))
    shown = Image.open(io.BytesIO(made))
    assert shown.size == (2, 4)
    assert not shown.getexif()
    assert b"camera" not in made


def wide() -> bytes:
    return saved(Image.new("1", (10_000, 6_000)))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", "not a picture"),
        (b"<svg onload='x'/>", "not a picture"),
        (saved(Image.new("RGB", (40, 40), "red"))[:-30], "damaged picture"),
        (wide(), "60 megapixels, at most 50"),
    ],
)
def test_what_is_no_picture_is_told_in_a_line(image: bytes, message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        unpacked(image)
    looked = open_gate(image)
    assert (looked.verdict, looked.png) == ("unreadable", None)
    assert message in looked.reason


FORMS = [
    saved(Image.effect_noise((24, 16), 40).convert("RGB"), form)
    for form in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")
]


@given(st.sampled_from(FORMS), st.data())
@settings(max_examples=300, deadline=None)
def test_a_file_with_wrong_bytes_is_a_picture_or_is_refused(image: bytes, more: st.DataObject) -> None:
    broken = bytearray(image)
    for place in more.draw(st.lists(st.integers(0, len(image) - 1), min_size=1, max_size=12)):
        broken[place] = more.draw(st.integers(0, 255))
    looked = open_gate(bytes(broken[: more.draw(st.integers(1, len(image)))]))
    assert (looked.png is None) == (looked.verdict == "unreadable")
    assert looked.reason.count("\n") == 0


def test_the_open_and_the_closed_gate() -> None:
    image = saved(Image.new("RGB", (4, 2)))
    passed, stopped = open_gate(image), closed_gate("no detector")(image)
    assert (passed.verdict, passed.faces, passed.png) == ("passed", None, packed(unpacked(image)))
    assert (stopped.verdict, stopped.reason, stopped.png) == ("refused", "no detector", None)


def test_a_bare_face_stops_a_picture() -> None:
    gate = face_gate(tiny_faces.bright)
    one, none = gate(packed(tiny_faces.portrait(1, 1))), gate(packed(np.zeros((90, 90, 3), np.uint8)))
    assert (one.verdict, one.faces, one.png) == ("refused", 1, None)
    assert one.reason.startswith("a face in it; crop it, or set [figures] faces")
    assert (none.verdict, none.faces) == ("passed", 0)
    both = np.concatenate([tiny_faces.portrait(2, 7), tiny_faces.portrait(1, 7)], axis=1)
    assert gate(packed(both)).reason.startswith("2 faces in it")


def test_a_face_passes_under_the_mask_of_its_own_key_alone(tmp_path: Path) -> None:
    team = tiny_faces.team(tmp_path / "cards", 1, 2)
    key = enrol("Ada", [tiny_faces.photo(1, s) for s in range(3)], team, MaskSettings(epochs=2, batch=4, rate=0.008))
    gate = face_gate(tiny_faces.bright, [(key, team)])
    own = tiny_faces.portrait(1, 5)
    looked = gate(packed(own))
    assert (looked.verdict, looked.faces, looked.reason) == ("protected", 1, "a face under the mask of a key")
    assert looked.png is not None
    seen = unpacked(looked.png)
    assert (seen != own).any()
    assert (restore(seen, [tiny_faces.FACE], key.mask, key.record.settings.margin) == own).mean() > 0.99
    both = np.concatenate([tiny_faces.portrait(2, 7), tiny_faces.portrait(1, 7)], axis=1)
    stopped = gate(packed(both))
    assert (stopped.verdict, stopped.png) == ("refused", None)
    assert stopped.reason.startswith("1 of 2 faces that no key fits")
