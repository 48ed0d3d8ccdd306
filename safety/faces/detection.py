"""Where faces are in a photo: dlib's two detectors together."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from PIL import Image

from labwright.models.weights import Progress, pull, silent
from labwright.safety.faces.boxing import LEAST, Box, Pixels

SAME = 0.3
"""Two boxes with this much in common are one face."""
LEAST_SCORE = 0.3
"""Of a frontal face by gradients. From 0 on they take 6 of 70 plots of labwright's analyses for faces, from 0.3 on
none; the faces of six public photos score 0.37 and more."""
LONGEST = 1600
"""Longer sides are shrunk to it before the nets look; a face of 30 pixels in 1,600 is the smallest that counts."""


class Detector(Protocol):
    """Finds faces."""

    def __call__(self, pixels: Pixels) -> list[Box]:
        """Boxes of the faces in a photo (height, width, 3), the largest first."""
        ...


class DlibDetector:
    """Frontal faces by gradients, turned ones by a net: a face is what either finds.

    What must not be missed is asked for twice: a false box costs a look, a missed face costs somebody's privacy.
    """

    def __init__(self, progress: Progress = silent) -> None:
        import dlib

        folder = pull("dlib-faces", progress=progress)
        self._frontal: Any = dlib.get_frontal_face_detector()
        self._net: Any = dlib.cnn_face_detection_model_v1(str(folder / "mmod_human_face_detector.dat"))

    def __call__(self, pixels: Pixels) -> list[Box]:
        """Boxes of the faces in a photo (height, width, 3), the largest first."""
        shrunk, scale = _shrunk(pixels)
        # One doubling finds faces from 40 pixels on; where the photo is large already, it would only cost.
        doublings = 1 if max(shrunk.shape) <= LONGEST // 2 else 0
        found = [_box(r, scale) for r in self._frontal.run(shrunk, 1, LEAST_SCORE)[0]]
        found += [_box(r.rect, scale) for r in self._net(shrunk, doublings)]
        kept: list[Box] = []
        for box in sorted((b.inside(pixels) for b in found), key=lambda b: -b.width * b.height):
            if min(box.width, box.height) >= LEAST and all(box.overlap(k) < SAME for k in kept):
                kept.append(box)
        return kept


def _shrunk(pixels: Pixels) -> tuple[Pixels, float]:
    height, width = pixels.shape[:2]
    scale = max(1.0, max(height, width) / LONGEST)
    if scale == 1.0:
        return np.ascontiguousarray(pixels), scale
    size = round(width / scale), round(height / scale)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)), scale


def _box(found: Any, scale: float) -> Box:
    edges = found.left(), found.top(), found.right() + 1, found.bottom() + 1
    left, top, right, bottom = (round(e * scale) for e in edges)
    return Box(left, top, right, bottom)
