"""The verdict on a picture from outside, and the two gates that look for no face: the open one and the closed one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labwright.errors import WrongUse
from labwright.safety.pictures import packed, unpacked

Verdict = Literal["passed", "protected", "refused", "unreadable"]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a gate made of a picture."""

    verdict: Verdict
    faces: int | None
    """Faces found; None where nobody looked for them."""
    reason: str
    """Why it was refused, or what was done to it; empty where nothing was."""
    png: bytes | None
    """What may be seen; None where nothing may."""


Gate = Callable[[bytes], Looked]


def looked(image: bytes, judge: Callable[[Pixels], tuple[Pixels | None, int | None, str]]) -> Looked:
    """Unpack a picture and have it judged.

    Args:
        image: as it came.
        judge: gives what may be seen of it (None: nothing), how many faces it holds, and why.
    """
    try:
        pixels = unpacked(image)
    except WrongUse as error:
        return Looked("unreadable", None, str(error), None)
    seen, faces, reason = judge(pixels)
    if seen is None:
        return Looked("refused", faces, reason, None)
    return Looked("passed" if seen is pixels else "protected", faces, reason, packed(seen))


def open_gate(image: bytes) -> Looked:
    """Let every readable picture through; nobody looks for faces."""
    return looked(image, lambda pixels: (pixels, None, ""))


def closed_gate(reason: str) -> Gate:
    """Let nothing through, where faces cannot be looked for."""
    return lambda image: looked(image, lambda pixels: (None, None, reason))


CLOSED = closed_gate("no gate was opened for it")
