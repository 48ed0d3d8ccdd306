"""What a folder of pictures gives away: which faces are in it, and which of them are recognisable or protected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labwright.errors import WrongUse
from labwright.safety.faces.boxing import Box, Pixels
from labwright.safety.faces.detection import Detector
from labwright.safety.faces.keys import MaskKey
from labwright.safety.faces.person import Likeness, compare, known_to
from labwright.safety.faces.photos import photos_of, read_photo
from labwright.safety.faces.protection import restore
from labwright.safety.faces.recognisers import GraphRecogniser

Verdict = Literal["a face", "recognisable", "protected", "someone else"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One face of a folder."""

    path: Path
    box: Box
    verdict: Verdict
    likeness: tuple[Likeness, ...] = ()
    """To the person of the key, as the photo stands."""
    restored: tuple[Likeness, ...] = ()
    """The same with the key's mask taken off."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that could not be looked at."""

    path: Path
    reason: str


def audit(
    folder: Path, detector: Detector, key: MaskKey | None = None, team: Sequence[GraphRecogniser] = ()
) -> Iterator[Seen | Unread]:
    """Look at every picture of a folder; one without a face gives nothing.

    Args:
        folder: a folder, or one picture.
        detector: finds the faces.
        key: of a person; without one a face is just a face, which whoever knows it recognises.
        team: recognisers that compare a face with the key's person.

    Raises:
        WrongUse: no folder, or no picture in it.
    """
    for path in photos_of(folder):
        try:
            pixels = read_photo(path)
        except WrongUse as error:
            yield Unread(path, str(error))
            continue
        for box in detector(pixels):
            yield Seen(path, box, "a face") if key is None else judged(path, pixels, box, key, team)


def judged(path: Path, pixels: Pixels, box: Box, key: MaskKey, team: Sequence[GraphRecogniser]) -> Seen:
    """A face beside the person of a key.

    Recognisable where any recogniser sees the person; protected where none does and, with the mask taken off, at least
    half of them do; someone else in all other cases.
    """
    known = known_to(key)
    standing = tuple(compare(pixels, box, known, team))
    if any(one.same for one in standing):
        return Seen(path, box, "recognisable", standing)
    clean = restore(pixels, [box], key.mask, key.record.settings.margin)
    without = tuple(compare(clean, box, known, team))
    verdict: Verdict = "protected" if 2 * sum(one.same for one in without) >= len(without) else "someone else"
    return Seen(path, box, verdict, standing, without)
