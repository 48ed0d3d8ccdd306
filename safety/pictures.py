"""Pictures of strangers, unpacked with care: a model is shown what came out of here, never the file that came in."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from labwright.errors import WrongUse

MOST_PIXELS = 50_000_000
"""A picture with more is refused before it is unpacked."""
DEEP = "I;16"
"""Begins the modes of 16-bit greys."""
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
)
"""What reading a file raises that is not what its head says; readers of many formats agree on no class."""


def unpacked(image: bytes) -> NDArray[np.uint8]:
    """A picture as it is seen: upright, its first frame, on white where it is see-through, 8 bits; (height, width, 3).

    Raises:
        WrongUse: it is no picture, is damaged, or has more than 50 megapixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is refused below, in our words
            with Image.open(io.BytesIO(image)) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    size = opened.width * opened.height / 1e6
                    raise WrongUse(f"{size:.0f} megapixels, at most {MOST_PIXELS / 1e6:.0f}")
                return np.array(_plain(ImageOps.exif_transpose(opened)), np.uint8)
    except UnidentifiedImageError as error:
        raise WrongUse("not a picture that can be read") from error
    except Image.DecompressionBombError as error:
        raise WrongUse(f"more than {MOST_PIXELS / 1e6:.0f} megapixels") from error
    except DAMAGED as error:
        raise WrongUse(f"a damaged picture ({type(error).__name__})") from error


def _plain(image: Image.Image) -> Image.Image:
    if image.mode.startswith(DEEP):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return image.convert("RGB")


def packed(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels as a PNG that holds nothing else: no place, no camera, no names."""
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "PNG")
    return kept.getvalue()
