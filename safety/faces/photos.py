"""Photos in and out: what a mask can be put on, and files that are never overwritten."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from labwright.errors import WrongUse
from labwright.safety.faces.boxing import Box, Pixels
from labwright.safety.pictures import MOST_PIXELS

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MODES = ("RGB", "L", "P", "RGBA", "LA", "1")
_DEPTH = 24  # of IHDR's bit depth, counted from the start of a PNG file


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo and the one face in it that counts."""

    name: str
    pixels: Pixels
    box: Box


def read_photo(path: Path) -> Pixels:
    """A photo, turned upright as its EXIF says; shape (height, width, 3).

    Raises:
        WrongUse: not a picture, animated, more than 8 bits a channel, CMYK, see-through, or more than 50 megapixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below, in our words
            image = Image.open(path)
        with image as opened:
            _refuse(path, opened)
            upright = ImageOps.exif_transpose(opened)
            if _see_through(upright) and upright.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise WrongUse(f"{path}: parts are see-through; flatten it onto a background first")
            return np.array(upright.convert("RGB"), np.uint8)
    except UnidentifiedImageError as error:
        raise WrongUse(f"{path}: not a picture that can be read") from error
    except Image.DecompressionBombError as error:
        raise WrongUse(f"{path}: {error}; scale it down first") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise WrongUse(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _refuse(path: Path, opened: Image.Image) -> None:
    width, height = opened.size
    if width * height > MOST_PIXELS:
        raise WrongUse(f"{path}: {width * height / 1e6:.0f} megapixels, at most {MOST_PIXELS / 1e6:.0f}; scale it down")
    if getattr(opened, "n_frames", 1) > 1:
        raise WrongUse(f"{path}: holds {getattr(opened, 'n_frames', 1)} pictures; save the one that is meant")
    if _deep(path, opened):
        raise WrongUse(f"{path}: more than 8 bits a channel; convert it to 8 bits first, a mask is defined in them")
    if opened.mode not in MODES:
        raise WrongUse(f"{path}: colours are {opened.mode}; convert it to RGB first")


def _deep(path: Path, opened: Image.Image) -> bool:
    if opened.mode.startswith(("I", "F")):
        return True
    if opened.format == "PNG":  # 16-bit colours are opened as 8-bit ones without a word
        with path.open("rb") as file:
            return file.read(_DEPTH + 1)[_DEPTH] > 8
    bits = getattr(opened, "tag_v2", {}).get(258, (8,))
    return any(b > 8 for b in (bits if isinstance(bits, tuple) else (bits,)))


def _see_through(opened: Image.Image) -> bool:
    return "A" in opened.mode or "transparency" in opened.info


def write_photo(pixels: Pixels, path: Path) -> None:
    """Save without loss, as PNG and without the metadata of the original (which may say where it was taken).

    Raises:
        WrongUse: there is a file of that name already, or it is no PNG.
    """
    if path.suffix.lower() != ".png":
        raise WrongUse(f"{path}: saved without loss, so the name ends in .png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            try:
                Image.fromarray(pixels).save(file, "PNG", optimize=True)
            except BaseException:
                os.unlink(path)
                raise
    except FileExistsError as error:
        raise WrongUse(f"{path}: is there already, and is not overwritten") from error


def photos_of(folder: Path) -> list[Path]:
    """Files of a folder and its subfolders whose names end like a picture's, in order.

    Raises:
        WrongUse: there is no such folder, or no picture in it.
    """
    if folder.is_file():
        return [folder]
    found = pictures_below(folder)
    if not found:
        raise WrongUse(f"{folder}: no folder with pictures")
    return found


def pictures_below(folder: Path) -> list[Path]:
    """As `photos_of`, for a folder that may hold none."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
