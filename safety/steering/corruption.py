"""Images that say nothing, of the size of a given one: anchors of shift vectors, and conditions of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from labwright.errors import WrongUse

if TYPE_CHECKING:
    from PIL.Image import Image

Corruption = Literal["blank", "noise", "black", "mean_colour"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)


def corrupted(image: Image, kind: Corruption, seed: int = 0) -> Image:
    """An RGB image of the same size without content.

    Args:
        image: any mode.
        kind: white; independent uniform noise a pixel and channel; black; or the mean colour of the image.
        seed: of the noise.

    Raises:
        WrongUse: an unknown kind.
    """
    from PIL import Image as images

    if kind not in CORRUPTIONS:
        raise WrongUse(f"corruption {kind!r}: one of {', '.join(CORRUPTIONS)}")
    shape = (image.height, image.width, 3)
    make: Mapping[Corruption, Callable[[], np.ndarray]] = {
        "blank": lambda: np.full(shape, 255),
        "noise": lambda: np.random.default_rng(seed).integers(0, 256, shape),
        "black": lambda: np.zeros(shape),
        "mean_colour": lambda: np.broadcast_to(np.asarray(image.convert("RGB")).mean(axis=(0, 1)).round(), shape),
    }
    return images.fromarray(make[kind]().astype(np.uint8), mode="RGB")
