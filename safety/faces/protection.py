"""Put a mask on a photo, and take it off again.

The mask is brought to the size of the face and rounded to whole grey levels before it is added, so that taking it off
gives the very pixels back wherever the sum was not cut off at black or white.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labwright.safety.faces.boxing import MARGIN, Box, Frame, Pixels, resized
from labwright.safety.faces.likeness import WINDOW, psnr, ssim


@dataclass(frozen=True, slots=True)
class Change:
    """How far a face was changed."""

    box: Box
    ssim: float
    """In the face, at the photo's own size."""
    psnr: float
    """dB."""
    cut_off: float
    """Share of the values that stopped at black or white, so that they cannot be restored exactly."""


def offsets(mask: Tensor, box: Box, margin: int = MARGIN) -> NDArray[np.int16]:
    """Whole grey levels that the mask adds to a face; shape (height, width, 3)."""
    frame = Frame.around(box, margin)
    wide = resized(mask[None], frame.side)[0, :, frame.rows, frame.columns]
    return wide.round().to(torch.int16).permute(1, 2, 0).numpy()


def protect(pixels: Pixels, boxes: Sequence[Box], mask: Tensor, margin: int = MARGIN) -> tuple[Pixels, list[Change]]:
    """The photo with the mask on each face, at its full size; what is outside the boxes stays.

    Args:
        pixels: shape (height, width, 3).
        boxes: of the person's face; more than one where a photo shows them twice.
        mask: shape (3, 112, 112), grey levels.
        margin: that the mask was learned with.
    """
    made, changes = pixels.copy(), []
    for box in (b.inside(pixels) for b in boxes):
        before = made[box.rows, box.columns].copy()
        wanted = before.astype(np.int16) + offsets(mask, box, margin)
        after = wanted.clip(0, 255).astype(np.uint8)
        made[box.rows, box.columns] = after
        changes.append(Change(box, *compared(before, after), float((wanted != after).mean())))
    return made, changes


def restore(pixels: Pixels, boxes: Sequence[Box], mask: Tensor, margin: int = MARGIN) -> Pixels:
    """The photo without the mask; `boxes` in the order in which they were protected."""
    made = pixels.copy()
    for box in reversed([b.inside(pixels) for b in boxes]):
        values = made[box.rows, box.columns].astype(np.int16) - offsets(mask, box, margin)
        made[box.rows, box.columns] = values.clip(0, 255).astype(np.uint8)
    return made


def compared(before: Pixels, after: Pixels) -> tuple[float, float]:
    """SSIM and PSNR of two pictures of one shape; SSIM is 1 for equal pictures below its window of 11 pixels."""
    left, right = (torch.from_numpy(p.astype(np.float32)).permute(2, 0, 1)[None] for p in (before, after))
    small = min(before.shape[:2]) < WINDOW
    return (1.0 if small else float(ssim(left, right))), psnr(left, right)
