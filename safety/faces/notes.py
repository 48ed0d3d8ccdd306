"""The note beside a protected photo: which key, and where the mask lies. It stays with the holder of the key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from labwright.errors import KeyMissing, WrongUse
from labwright.safety.faces.boxing import Box, Pixels
from labwright.safety.faces.keys import MaskKey
from labwright.safety.faces.photos import write_photo

SUFFIX = ".mask.json"


class Note(BaseModel):
    """What restoring a photo needs besides the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    size: tuple[int, int]
    """Height and width of the photo."""
    boxes: tuple[tuple[int, int, int, int], ...]
    """Left, top, right, bottom, in the order of protecting."""


def write_protected(pixels: Pixels, boxes: Sequence[Box], key: MaskKey, folder: Path, stem: str) -> Path:
    """Write a protected photo and its note; the path of the photo.

    Raises:
        WrongUse: one of the two is there already.
    """
    target = folder / f"{stem}.png"
    note = target.with_name(target.name + SUFFIX)
    if note.exists():
        raise WrongUse(f"{note}: is there already, and is not overwritten")
    write_photo(pixels, target)
    places = tuple((b.left, b.top, b.right, b.bottom) for b in boxes)
    made = Note(key=key.id, size=(pixels.shape[0], pixels.shape[1]), boxes=places)
    note.write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return target


def read_boxes(photo: Path, key: MaskKey, pixels: Pixels) -> list[Box]:
    """Where the mask lies on a photo.

    A photo that was converted since (`x.jpg` of `x.png`) keeps the note of its name.

    Raises:
        KeyMissing: there is no note.
        WrongUse: the note is of another key or of another size, or was changed.
    """
    path = next((p for p in (photo.with_name(photo.name + SUFFIX), photo.with_name(f"{photo.stem}.png{SUFFIX}"))
                 if p.is_file()), None)  # fmt: skip
    if path is None:
        raise KeyMissing(f"{photo}: no {photo.name}{SUFFIX} beside it, which says where the mask lies")
    try:
        note = Note.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise WrongUse(f"{path}: not a note of labwright, or changed by hand") from error
    if note.key != key.id:
        raise WrongUse(f"{photo}: was protected with the key {note.key}; this one is {key.id}")
    if note.size != pixels.shape[:2]:
        height, width = note.size
        raise WrongUse(f"{photo}: was protected at {width} x {height} pixels; the mask does not fit another size")
    boxes = [Box(*edges) for edges in note.boxes]
    if any(b.inside(pixels) != b or b.width < 1 or b.height < 1 for b in boxes):
        raise WrongUse(f"{path}: a box lies outside the photo; the note was changed by hand")
    return boxes
