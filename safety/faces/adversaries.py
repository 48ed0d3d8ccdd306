"""What somebody who knows of masks may do to a protected photo before recognising it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from labwright.safety.faces.boxing import MARGIN, SIZE, Box, Frame, Pixels, boxed, resized

Adversary = Callable[[Pixels], Pixels]
SEED = 2023
EDGE = 16
"""Pixels around a face that smoothing looks at."""


def jpeg(quality: int) -> Adversary:
    """Saved as JPEG and opened again."""

    def apply(pixels: Pixels) -> Pixels:
        kept = io.BytesIO()
        Image.fromarray(pixels).save(kept, "JPEG", quality=quality)
        return np.array(Image.open(kept).convert("RGB"))

    return apply


def blur(sigma: float) -> Adversary:
    """Gaussian blur, sigma in pixels."""
    return lambda pixels: _byte(ndimage.gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0)))


def median(size: int) -> Adversary:
    """Median of a square of so many pixels."""
    return lambda pixels: np.asarray(ndimage.median_filter(pixels, (size, size, 1)), np.uint8)


def fewer_levels(bits: int) -> Adversary:
    """So many bits a channel."""
    width = 2 ** (8 - bits)
    return lambda pixels: (pixels // width * width + width // 2).astype(np.uint8)


def halved(pixels: Pixels) -> Pixels:
    """To half the size and back."""
    image = Image.fromarray(pixels)
    small = image.resize((max(image.width // 2, 1), max(image.height // 2, 1)), Image.Resampling.BICUBIC)
    return np.array(small.resize(image.size, Image.Resampling.BICUBIC))


def noise(deviation: float) -> Adversary:
    """Normal noise, in grey levels."""

    def apply(pixels: Pixels) -> Pixels:
        added = np.random.default_rng(SEED).normal(0, deviation, pixels.shape)
        return _byte(pixels + added)

    return apply


def shifted(by: int) -> Adversary:
    """Moved by so many pixels to the right and down, so that the face is cut out elsewhere."""
    return lambda pixels: np.pad(pixels, ((by, 0), (by, 0), (0, 0)), "edge")[: pixels.shape[0], : pixels.shape[1]]


def denoised(weight: float, rounds: int = 60) -> Adversary:
    """Least total variation (Chambolle 2004), each channel alone; the greater the weight, the smoother."""

    def apply(pixels: Pixels) -> Pixels:
        values = pixels.astype(np.float32)
        dual = np.zeros((2, *values.shape), np.float32)
        for _ in range(rounds):
            slope = _gradient(values / weight + _against(dual))
            length = np.sqrt((slope**2).sum(axis=0, keepdims=True))
            dual = (dual - 0.25 * slope) / (1 + 0.25 * length)
        return _byte(values + weight * _against(dual))

    return apply


def _gradient(values: np.ndarray) -> np.ndarray:
    made = np.zeros((2, *values.shape), np.float32)
    made[0, :-1], made[1, :, :-1] = np.diff(values, axis=0), np.diff(values, axis=1)
    return made


def _against(dual: np.ndarray) -> np.ndarray:
    """The negative divergence, adjoint to the gradient."""
    made = np.zeros(dual.shape[1:], np.float32)
    made[:-1] -= dual[0, :-1]
    made[1:] += dual[0, :-1]
    made[:, :-1] -= dual[1, :, :-1]
    made[:, 1:] += dual[1, :, :-1]
    return made


def _byte(values: np.ndarray) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)


TRANSFORMS: dict[str, Adversary] = {
    "jpeg 95": jpeg(95),
    "jpeg 75": jpeg(75),
    "jpeg 50": jpeg(50),
    "blur 1": blur(1.0),
    "blur 2": blur(2.0),
    "median 3": median(3),
    "4 bits": fewer_levels(4),
    "half size": halved,
    "noise 8": noise(8.0),
    "shift 6": shifted(6),
    "total variation": denoised(12.0),
}
"""Attacks that need the photo alone."""


def averaged_mask(photos: Sequence[tuple[Pixels, Box]], margin: int = MARGIN) -> Tensor:
    """Guess a person's mask from protected photos alone: the mean of what smoothing takes away; shape (3, 112, 112).

    It finds the fine part of a mask, and none of its broad shades.
    """
    smooth = denoised(12.0)
    taken = []
    for pixels, box in photos:
        cut = Box(box.left - EDGE, box.top - EDGE, box.right + EDGE, box.bottom + EDGE).inside(pixels)
        face = Box(box.left - cut.left, box.top - cut.top, box.right - cut.left, box.bottom - cut.top)
        near = pixels[cut.rows, cut.columns]  # smoothing a whole photo for its face would take a minute
        taken.append(boxed(near, face, margin).image - boxed(smooth(near), face, margin).image)
    return torch.stack(taken).mean(dim=0)


def leaked_mask(clean: Pixels, protected: Pixels, box: Box, margin: int = MARGIN) -> Tensor:
    """The mask from one photo that is known with it and without: all but what was cut off; shape (3, 112, 112).

    One such pair undoes the protection of every photo of that person. A mask that is shared by design is weak here.
    """
    box = box.inside(clean)
    frame = Frame.around(box, margin)
    difference = protected[box.rows, box.columns].astype(np.float32) - clean[box.rows, box.columns]
    square = torch.zeros(1, 3, frame.side, frame.side)
    square[0, :, frame.rows, frame.columns] = torch.from_numpy(difference).permute(2, 0, 1)
    return resized(square, SIZE)[0]
