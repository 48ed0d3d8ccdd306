"""A face as recognisers see it: cut out, set into a square, resized; and the way back into the photo.

The geometry of the P3-Mask (Chow et al., ECCV 2024, arXiv 2407.13975): the square is as long as the longer side of
the face and a margin, filled with the mean colour of the face; the face lies in its middle; the whole is resized to
112 x 112.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from labwright.errors import WrongUse

Pixels = NDArray[np.uint8]
"""A photo, shape (height, width, 3), RGB."""
SIZE = 112
MARGIN = 30
LEAST = 30
"""Faces with a shorter side, in pixels, are no faces to a recogniser."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a face is: pixels from the left and the top; the right and the bottom edge are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels from edge to edge."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels from edge to edge."""
        return self.bottom - self.top

    @property
    def rows(self) -> slice:
        """Of the photo."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Of the photo."""
        return slice(self.left, self.right)

    def inside(self, pixels: NDArray[Any]) -> Box:
        """The part of the box that lies on the photo."""
        height, width = pixels.shape[:2]
        return Box(max(self.left, 0), max(self.top, 0), min(self.right, width), min(self.bottom, height))

    def overlap(self, other: Box) -> float:
        """Area of the intersection over that of the union, in [0, 1]."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(wide, 0) * max(high, 0)
        return shared / (self.width * self.height + other.width * other.height - shared)


@dataclass(frozen=True, slots=True)
class Frame:
    """The square around a face, in pixels of the photo."""

    side: int
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def around(cls, box: Box, margin: int = MARGIN) -> Frame:
        """The square of a box: its side, and where the face lies in it."""
        side = max(box.height, box.width) + margin
        return cls(side, (side - box.height) // 2, (side - box.width) // 2, box.height, box.width)

    @property
    def rows(self) -> slice:
        """Of the square, where the face is."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Of the square, where the face is."""
        return slice(self.left, self.left + self.width)

    def window(self) -> Tensor:
        """1 on the face, 0 on what fills the square; shape (1, 1, side, side)."""
        made = torch.zeros(1, 1, self.side, self.side)
        made[..., self.rows, self.columns] = 1.0
        return made


@dataclass(frozen=True, slots=True)
class Face:
    """A boxed face."""

    image: Tensor
    """Shape (3, 112, 112), grey levels 0 to 255."""
    frame: Frame


def boxed(pixels: Pixels, box: Box, margin: int = MARGIN) -> Face:
    """Cut a face out and set it into its square.

    Raises:
        WrongUse: the box lies outside the photo, or a side is shorter than 30 pixels.
    """
    box = box.inside(pixels)
    if min(box.width, box.height) < LEAST:
        raise WrongUse(f"a face of {box.width} x {box.height} pixels is too small; {LEAST} is the least")
    crop = pixels[box.rows, box.columns]
    frame = Frame.around(box, margin)
    square = np.empty((frame.side, frame.side, 3), np.uint8)
    square[:] = crop.reshape(-1, 3).mean(axis=0)
    square[frame.rows, frame.columns] = crop
    small = np.asarray(Image.fromarray(square).resize((SIZE, SIZE)), np.float32)
    return Face(torch.from_numpy(small.transpose(2, 0, 1).copy()), frame)


def resized(images: Tensor, side: int) -> Tensor:
    """Bilinear, half-pixel centres, no antialiasing; shape (n, c, h, w) to (n, c, side, side)."""
    return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False, antialias=False)


def through_photo(image: Tensor, frame: Frame) -> Tensor:
    """A boxed face up to the size it has in its photo and back; shape (1, 3, 112, 112)."""
    return resized(resized(image, frame.side), SIZE)


def masked(image: Tensor, mask: Tensor, frame: Frame) -> Tensor:
    """A boxed face as it will look once the mask was added to its photo: never to what fills the square.

    Args:
        image: shape (1, 3, 112, 112), grey levels.
        mask: shape (3, 112, 112).
        frame: of the face.
    """
    window = frame.window()
    added = resized((image + mask).clamp(0, 255), frame.side)
    return resized(added * window + resized(image, frame.side) * (1 - window), SIZE)
