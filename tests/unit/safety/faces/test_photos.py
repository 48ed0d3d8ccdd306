"""Photos in and out: what is turned, what is refused, what is never overwritten."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labwright.errors import WrongUse
from labwright.safety.faces.photos import photos_of, read_photo, write_photo


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20))
    image.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[274] = 6  # taken with the camera turned: to be shown turned by 90 degrees to the right
    image.save(tmp_path / "a.png", exif=exif)
    pixels = read_photo(tmp_path / "a.png")
    assert pixels.shape == (40, 20, 3)
    assert pixels[5, 10].tolist() == [255, 0, 0]
    assert pixels[35, 10].tolist() == [0, 0, 0]


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGB", "RGBA", "LA"])
def test_kinds_of_colour_that_hold_the_same_picture(tmp_path: Path, mode: str) -> None:
    Image.new("L", (12, 10), 255).convert(mode).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").tolist() == np.full((10, 12, 3), 255).tolist()


def png16(path: Path) -> None:
    """A PNG of 16-bit colours, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(4 * 6) for _ in range(4))
    head = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def wide_png(path: Path) -> None:
    """The head of a picture of 120 megapixels."""
    head = struct.pack(">IIBBBBB", 12000, 10000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
        + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    )  # fmt: skip


def animated(path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def see_through(path: Path) -> None:
    Image.new("RGBA", (8, 8), (1, 2, 3, 100)).save(path)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.png", png16, "more than 8 bits a channel"),
        ("a.png", lambda p: Image.new("I;16", (8, 8)).save(p), "more than 8 bits a channel"),
        ("a.tif", lambda p: Image.new("F", (8, 8)).save(p), "more than 8 bits a channel"),
        ("a.jpg", lambda p: Image.new("CMYK", (8, 8)).save(p), "colours are CMYK; convert it to RGB"),
        ("a.gif", animated, "holds 2 pictures"),
        ("a.png", animated, "holds 2 pictures"),
        ("a.png", see_through, "see-through"),
        ("a.png", wide_png, "120 megapixels, at most 50"),
        ("a.jpg", lambda p: p.write_text("<svg onload='x'>"), "not a picture"),
        ("a.jpg", lambda p: p.write_bytes(b""), "not a picture"),
        ("a.png", lambda p: p.mkdir(), "cannot be read"),
    ],
)
def test_pictures_that_no_mask_fits(tmp_path: Path, name: str, make, message: str) -> None:
    path = tmp_path / name
    make(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(WrongUse, match=message) as wrong:
            read_photo(path)
    assert str(path) in str(wrong.value)


def test_a_picture_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(WrongUse, match=r"a\.png: cannot be read"):
        read_photo(path)


def test_saving_loses_nothing_and_overwrites_nothing(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    write_photo(pixels, tmp_path / "new" / "a.png")
    assert np.array_equal(read_photo(tmp_path / "new" / "a.png"), pixels)
    with pytest.raises(WrongUse, match=r"a\.png: is there already"):
        write_photo(pixels + 1, tmp_path / "new" / "a.png")
    assert np.array_equal(read_photo(tmp_path / "new" / "a.png"), pixels)
    with pytest.raises(WrongUse, match=r"ends in \.png"):
        write_photo(pixels, tmp_path / "a.jpg")


def test_pictures_of_a_folder_in_order(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a.webp", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.relative_to(tmp_path).as_posix() for p in photos_of(tmp_path)] == ["a.webp", "b/1.png", "b/2.JPG"]
    assert photos_of(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    with pytest.raises(WrongUse, match="no folder with pictures"):
        photos_of(tmp_path / "absent")
