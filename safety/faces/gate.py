"""What stands between pictures from outside and a run: faces are looked for before a model or a sandbox sees one.

By default a picture with a face is refused. With `protect` the mask of a key is put on the faces of its person, and a
face that no key fits still stops the picture: a mask protects the one whom it was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labwright.safety.faces.boxing import Box, Pixels
from labwright.safety.faces.detection import Detector
from labwright.safety.faces.keys import MaskKey
from labwright.safety.faces.person import faces_of
from labwright.safety.faces.protection import protect
from labwright.safety.faces.recognisers import GraphRecogniser
from labwright.safety.picture_gate import Looked, looked

MENDING = "crop it, or set [figures] faces in labwright.toml (docs/privacy.md)"
"""What a user can do about a refused picture."""
Holder = tuple[MaskKey, Sequence[GraphRecogniser]]
"""A key, and the recognisers that know its person."""


def face_gate(detector: Detector, holders: Sequence[Holder] = ()) -> Callable[[bytes], Looked]:
    """A gate that lets no bare face through.

    Args:
        detector: finds the faces.
        holders: of the people whose faces may pass under their mask.
    """

    def gate(image: bytes) -> Looked:
        return looked(image, lambda pixels: _judged(pixels, detector(pixels), holders))

    return gate


def _judged(pixels: Pixels, boxes: Sequence[Box], holders: Sequence[Holder]) -> tuple[Pixels | None, int, str]:
    left, masked = list(boxes), 0
    made = pixels
    for key, team in holders:
        own = [box for box, _ in faces_of(key, pixels, left, team)]
        if own:
            made = protect(made, own, key.mask, key.record.settings.margin)[0]
        left = [box for box in left if box not in own]
        masked += len(own)
    if left:
        what = f"{len(left)} of {len(boxes)} faces that no key fits" if holders else f"{_faces(len(boxes))} in it"
        return None, len(boxes), f"{what}; {MENDING}"
    return made, len(boxes), f"{_faces(masked)} under the mask of a key" if masked else ""


def _faces(n: int) -> str:
    return "a face" if n == 1 else f"{n} faces"
