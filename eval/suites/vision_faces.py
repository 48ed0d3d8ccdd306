"""Masks measured on the photos at hand: one person, each photo held out once, nine strangers in the gallery."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from labwright.eval.suites.rows import Rows
from labwright.safety.faces.adversaries import TRANSFORMS, averaged_mask, leaked_mask
from labwright.safety.faces.boxing import boxed
from labwright.safety.faces.evaluation import Protect, Search, look_up, masked_by, noise_like
from labwright.safety.faces.likeness import psnr
from labwright.safety.faces.mask import MaskSettings, learn
from labwright.safety.faces.photos import Photo
from labwright.safety.faces.protection import protect, restore
from labwright.safety.faces.recognisers import TEAM, GraphRecogniser, Observer

Say = Callable[[str], None]
SETTINGS = MaskSettings(batch=1)
"""The published optimisation; batches of one, for there are two photos to learn from."""
METHODS = ("mask", "noise", "one_photo", "single", "no_hinge")
"""Ours; noise of equal SSIM; a mask of the published photo alone; of one recogniser; without the SSIM term."""
LEAK, AVERAGE = "one pair leaked", "average of photos"


@dataclass(frozen=True, slots=True)
class Bench:
    """What the measurements stand on."""

    own: Sequence[Photo]
    others: Mapping[str, Sequence[Photo]]
    team: Sequence[GraphRecogniser]
    observers: Mapping[str, Observer]
    settings: MaskSettings = SETTINGS


def measure(rows: Rows, bench: Bench, say: Say, *, methods: Sequence[str] = METHODS) -> None:
    """Hold each photo out in turn; rows that are there are not measured again."""
    for number, held in enumerate(bench.own):
        train = [p for i, p in enumerate(bench.own) if i != number]
        mask: Tensor | None = None
        for method in methods:
            if rows.has("faces_done", f"{method}|{held.name}"):
                continue
            say(f"{method}, {held.name} held out")
            if mask is None and method in ("mask", "noise"):
                mask = _learned(rows, bench, "mask", held, train)
            protection = _protection(rows, bench, method, (held, train, mask))
            search = Search("person", [held], {"person": train, **bench.others}, bench.observers)
            _looked_up(rows, method, "none", search, protection)
            if method == "mask":
                assert mask is not None  # noqa: S101  (learned above)
                _photo(rows, bench, held, mask)
                for name, after in _adversaries(held, train, mask):
                    _looked_up(rows, method, name, search, _then(protection, after))
            rows.add("faces_done", f"{method}|{held.name}", {})


def _learned(rows: Rows, bench: Bench, method: str, held: Photo, train: Sequence[Photo]) -> Tensor:
    team = [r for r in bench.team if r.name == TEAM[0]] if method == "single" else list(bench.team)
    settings = bench.settings.model_copy(update={"hinge": method != "no_hinge"})
    started = time.perf_counter()
    mask = learn([boxed(p.pixels, p.box) for p in train], team or list(bench.team[:1]), settings)
    seconds = round(time.perf_counter() - started, 2)
    rows.put_once({"kind": "faces_enrol", "name": f"{method}|{held.name}", "seconds": seconds,
                   "photos": len(train), "epochs": settings.epochs, "largest": float(mask.abs().max()),
                   "team": [r.name for r in team or bench.team[:1]], "strangers": len(bench.others)})  # fmt: skip
    return mask


def _protection(
    rows: Rows, bench: Bench, method: str, material: tuple[Photo, Sequence[Photo], Tensor | None]
) -> Protect:
    held, train, mask = material
    if method == "one_photo":
        return lambda pixels, box: protect(pixels, [box], learn([boxed(pixels, box)], bench.team, bench.settings))[0]
    if mask is None or method in ("single", "no_hinge"):
        mask = _learned(rows, bench, method, held, train)
    plain = masked_by(mask, bench.settings.margin)
    return noise_like(plain) if method == "noise" else plain


def _looked_up(rows: Rows, method: str, adversary: str, search: Search, protection: Protect) -> None:
    for found in look_up(search, protection):
        values = {**asdict(found), "protected": found.protected, "method": method, "adversary": adversary}
        name = f"{method}|{adversary}|{found.photo}|{found.setting}|{found.recogniser}"
        rows.put_once({"kind": "faces_lookup", "name": name, **values})


def _photo(rows: Rows, bench: Bench, held: Photo, mask: Tensor) -> None:
    """How far the held-out photo is changed, how long that takes, and how well it comes back."""
    started = time.perf_counter()
    made, (change,) = protect(held.pixels, [held.box], mask)
    took = time.perf_counter() - started
    back = restore(made, [held.box], mask)
    cosines = {
        name: float(look(held.pixels, held.box) @ look(back, held.box)) for name, look in bench.observers.items()
    }
    window = held.box.rows, held.box.columns
    before, after = (torch.from_numpy(p[window].astype("float32")) for p in (held.pixels, back))
    quality = psnr(before, after)
    values = {"ssim": change.ssim, "psnr": change.psnr, "cut_off": change.cut_off, "protect_ms": round(1000 * took, 1),
              "restored": cosines, "restored_psnr": None if quality == float("inf") else quality}  # fmt: skip
    rows.put_once({"kind": "faces_photo", "name": held.name, **values})


def _adversaries(held: Photo, train: Sequence[Photo], mask: Tensor) -> Iterator[tuple[str, Protect]]:
    """What somebody does to a protected photo: transforms, and a mask that was guessed and is taken off."""
    for name, transform in TRANSFORMS.items():
        yield name, lambda pixels, box, apply=transform: apply(pixels)  # type: ignore[misc]
    guarded = [(protect(p.pixels, [p.box], mask)[0], p.box) for p in train]
    leaked = leaked_mask(train[0].pixels, guarded[0][0], train[0].box)
    for name, guess in ((LEAK, leaked), (AVERAGE, averaged_mask(guarded))):
        yield name, lambda pixels, box, taken=guess: restore(pixels, [box], taken)  # type: ignore[misc]


def _then(protection: Protect, after: Protect) -> Protect:
    return lambda pixels, box: after(protection(pixels, box), box)
