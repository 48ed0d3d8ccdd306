"""A person: learned from their photos, found again in others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labwright.errors import WrongUse
from labwright.safety.faces.boxing import Box, Pixels, boxed
from labwright.safety.faces.detection import Detector
from labwright.safety.faces.keys import MaskKey, make_key
from labwright.safety.faces.mask import MaskSettings, Report, learn, silent
from labwright.safety.faces.photos import Photo
from labwright.safety.faces.recognisers import Embedding, GraphRecogniser, observer


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much a face is like a person, to one recogniser."""

    recogniser: str
    cosine: float
    threshold: float

    @property
    def same(self) -> bool:
        """The recogniser takes the face for the person's."""
        return self.cosine >= self.threshold


def own_faces(photos: Mapping[str, Pixels], detector: Detector, team: Sequence[GraphRecogniser]) -> list[Photo]:
    """One face a photo: the only one, or the one most like those of the photos that show one.

    Args:
        photos: by name.
        detector: finds the faces.
        team: recognisers that compare them.

    Raises:
        WrongUse: a photo shows no face, or none shows one alone.
    """
    found = {name: detector(pixels) for name, pixels in photos.items()}
    empty = [name for name, boxes in found.items() if not boxes]
    if empty:
        raise WrongUse(f"{empty[0]}: no face found; a photo shows one of 30 pixels or more, or leave it out")
    alone = [Photo(n, photos[n], b[0]) for n, b in found.items() if len(b) == 1]
    if not alone:
        raise WrongUse("every photo shows several faces; at least one has to show the person alone")
    known = likeness_of(alone, team)
    chosen = []
    for name, boxes in found.items():
        best = max(boxes, key=lambda b: sum(m.cosine for m in compare(photos[name], b, known, team)))
        chosen.append(Photo(name, photos[name], best))
    return chosen


def likeness_of(photos: Sequence[Photo], team: Sequence[GraphRecogniser]) -> dict[str, Embedding]:
    """What each recogniser makes of a person: the mean of their photos, of length 1."""
    made = {}
    for recogniser in team:
        look = observer(recogniser)
        mean = np.mean([look(p.pixels, p.box) for p in photos], axis=0)
        made[recogniser.name] = np.asarray(mean / np.linalg.norm(mean), np.float32)
    return made


def compare(
    pixels: Pixels, box: Box, known: Mapping[str, Embedding], team: Sequence[GraphRecogniser]
) -> list[Likeness]:
    """How much a face is like a person, to each recogniser that knows them."""
    return [
        Likeness(r.name, float(observer(r)(pixels, box) @ known[r.name]), r.card.threshold)
        for r in team
        if r.name in known
    ]


def enrol(
    person: str, photos: Sequence[Photo], team: Sequence[GraphRecogniser], settings: MaskSettings,
    report: Report = silent,
) -> MaskKey:  # fmt: skip
    """Learn the mask of a person and make their key.

    Args:
        person: their name, of which the key keeps a salted hash.
        photos: of :func:`own_faces`.
        team: recognisers that the mask is learned against.
        settings: of the optimisation.
        report: called after every epoch.
    """
    faces = [boxed(p.pixels, p.box, settings.margin) for p in photos]
    mask = learn(faces, team, settings, report)
    likeness = {name: [round(float(v), 6) for v in vector] for name, vector in likeness_of(photos, team).items()}
    return make_key(mask, person, settings, tuple(r.source for r in team), likeness)


def known_to(key: MaskKey) -> dict[str, Embedding]:
    """What recognisers make of the key's person without a mask."""
    return {name: np.asarray(vector, np.float32) for name, vector in key.record.likeness.items()}


def faces_of(
    key: MaskKey, pixels: Pixels, boxes: Sequence[Box], team: Sequence[GraphRecogniser]
) -> list[tuple[Box, list[Likeness]]]:
    """The boxes in which at least one recogniser sees the key's person."""
    known = known_to(key)
    compared = [(b, compare(pixels, b, known, team)) for b in boxes]
    return [(b, each) for b, each in compared if any(one.same for one in each)]
