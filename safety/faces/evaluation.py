"""Does a mask protect? Closed-set identification of each photo, by recognisers that the mask knew and others.

Settings: 1, a protected photo is looked up among clean ones; 2, a clean one among protected ones; 3, both are
protected. Masks of this kind are known to be weak in the third: photos under one mask resemble one another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import Tensor

from labwright.errors import WrongUse
from labwright.safety.faces.boxing import Box, Pixels, boxed
from labwright.safety.faces.detection import Detector
from labwright.safety.faces.mask import MaskSettings, learn
from labwright.safety.faces.photos import Photo, pictures_below, read_photo
from labwright.safety.faces.protection import compared
from labwright.safety.faces.protection import protect as put
from labwright.safety.faces.recognisers import Embedding, GraphRecogniser, Observer, observer

SETTINGS = (1, 2, 3)
PROBES, GALLERY = 0.1, 0.3
"""Shares of a person's photos that end the probes, and the gallery; the rest teaches the mask."""
SEED = 2023
LEAST_PEOPLE = LEAST_PHOTOS = 10
"""With fewer, photos are shown one by one, and no rate is."""
Protect = Callable[[Pixels, Box], Pixels]
"""What is measured: a photo and the person's face to the photo that is published."""
Say = Callable[[str], None]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Split:
    """A person's photos by what they are for."""

    probes: tuple[Photo, ...]
    gallery: tuple[Photo, ...]
    train: tuple[Photo, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One photo looked up by one recogniser."""

    person: str
    photo: str
    setting: int
    recogniser: str
    found: str
    """Whose photo was the nearest."""
    likeness: float
    """Cosine to the nearest photo of the person."""
    other: float
    """Cosine to the nearest photo of anybody else."""

    @property
    def protected(self) -> bool:
        """The nearest photo is somebody else's."""
        return self.found != self.person


def split(items: Sequence[Item], seed: int = SEED) -> tuple[list[Item], list[Item], list[Item]]:
    """Probes, gallery and the rest: 10, 20 and 70 of a hundred, shuffled by the seed."""
    order = list(items)
    random.Random(seed).shuffle(order)  # noqa: S311  (a split, not a secret)
    first, second = int(PROBES * len(order)), int(GALLERY * len(order))
    return order[:first], order[first:second], order[second:]


def read_people(folder: Path, detector: Detector, say: Say) -> dict[str, Split]:
    """A folder of folders, one a person; a photo counts by its largest face.

    What cannot be read, or shows no face, is said and left out.

    Raises:
        WrongUse: fewer than two people have a photo for each purpose.
    """
    people: dict[str, Split] = {}
    for home in sorted(p for p in folder.iterdir() if p.is_dir()):
        kept = []
        for path in pictures_below(home):
            try:
                pixels = read_photo(path)
            except WrongUse as error:
                say(f"left out: {error}")
                continue
            boxes = detector(pixels)
            if boxes:
                kept.append(Photo(f"{home.name}/{path.name}", pixels, boxes[0]))
            else:
                say(f"left out: {path}: no face found")
        probes, gallery, train = split(kept)
        if probes and gallery and train:
            people[home.name] = Split(tuple(probes), tuple(gallery), tuple(train))
        else:
            say(f"left out: {home.name}: {len(kept)} photos with a face; {LEAST_PHOTOS} are needed")
    if len(people) < 2:
        raise WrongUse(f"{folder}: {len(people)} people with {LEAST_PHOTOS} photos; a folder for each of at least two")
    return people


def evaluate(
    people: Mapping[str, Split],
    team: Sequence[GraphRecogniser],
    unseen: Mapping[str, Observer],
    settings: MaskSettings,
    say: Say,
) -> Iterator[Outcome]:
    """Learn a mask for each person in turn and look their probes up.

    Args:
        people: of :func:`read_people`.
        team: recognisers that masks are learned against.
        unseen: recognisers that only look.
        settings: of the optimisation.
        say: shows progress.
    """
    observers = {**{r.name: observer(r) for r in team}, **unseen}
    galleries = {who: parts.gallery for who, parts in people.items()}
    for number, (person, parts) in enumerate(people.items(), 1):
        say(f"{person}, {number} of {len(people)}: a mask from {len(parts.train)} photos")
        mask = learn([boxed(p.pixels, p.box, settings.margin) for p in parts.train], team, settings)
        yield from look_up(Search(person, parts.probes, galleries, observers), masked_by(mask, settings.margin))


def masked_by(mask: Tensor, margin: int) -> Protect:
    """The protection that a mask gives."""
    return lambda pixels, box: put(pixels, [box], mask, margin)[0]


@dataclass(frozen=True, slots=True)
class Search:
    """A person's photos to look up, and what they are looked up in."""

    person: str
    """A key of `galleries`."""
    probes: Sequence[Photo]
    galleries: Mapping[str, Sequence[Photo]]
    """Photos that are known, by person."""
    observers: Mapping[str, Observer]
    """Recognisers by name."""


def look_up(
    search: Search, protect: Protect, after: Callable[[Pixels], Pixels] = lambda pixels: pixels
) -> Iterator[Outcome]:
    """Look every probe up in each setting, by each recogniser.

    Args:
        search: the probes and the galleries.
        protect: applied to photos of the person only.
        after: what an adversary does to a protected photo.
    """
    mine = (*search.probes, *search.galleries[search.person])
    hidden = {p.name: after(protect(p.pixels, p.box)) for p in mine}
    for name, look in search.observers.items():
        others = [(who, look(p.pixels, p.box)) for who, photos in search.galleries.items() if who != search.person
                  for p in photos]  # fmt: skip
        clean = {p.name: look(p.pixels, p.box) for p in mine}
        masked = {p.name: look(hidden[p.name], p.box) for p in mine}
        for setting in SETTINGS:
            probing, listed = (masked if setting != 2 else clean), (masked if setting != 1 else clean)
            own = [(search.person, listed[p.name]) for p in search.galleries[search.person]]
            for probe in search.probes:
                (found, likeness), (stranger, other) = (_nearest(probing[probe.name], among) for among in (own, others))
                found = found if likeness >= other else stranger
                yield Outcome(search.person, probe.name, setting, name, found, likeness, other)


def _nearest(probe: Embedding, among: Sequence[tuple[str, Embedding]]) -> tuple[str, float]:
    """Whose photo is the nearest, and its cosine."""
    return max(((who, float(probe @ e)) for who, e in among), key=lambda pair: pair[1])


def noise_like(protect: Protect, seed: int = SEED) -> Protect:
    """Random noise in the face that costs as much SSIM as `protect` does: what a mask must beat."""

    def apply(pixels: Pixels, box: Box) -> Pixels:
        box = box.inside(pixels)
        before = pixels[box.rows, box.columns]
        goal = compared(before, protect(pixels, box)[box.rows, box.columns])[0]
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], before.shape)
        low, high = 0.0, 128.0
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if compared(before, _added(before, middle * signs))[0] > goal else (low, middle)
        made = pixels.copy()
        made[box.rows, box.columns] = _added(before, low * signs)
        return made

    return apply


def _added(before: Pixels, change: np.ndarray) -> Pixels:
    return np.asarray((before + change).round().clip(0, 255), np.uint8)
