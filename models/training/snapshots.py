"""Checkpoints of a training under way: tensors as safetensors, the rest as JSON, each file with its sha256.

A checkpoint holds what a resumed training needs to end with the same bits as an uninterrupted one: trained weights,
the optimiser's moments, the schedule, the random states of Python, numpy and torch for each process, and what hooks
keep. A training that stands on other data, settings, weights, hooks or processes is refused with what differs.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labwright.errors import TrainingRefused
from labwright.models.training.files import new_folder, write_json, write_tensors
from labwright.packages import sha256_of

PREFIX = "step-"
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training after `step` updates."""

    step: int
    identity: Mapping[str, Any]
    """What decides the result: data, settings, base, hooks, processes."""
    values: Mapping[str, Any]
    """JSON values by part."""
    tensors: Mapping[str, Mapping[str, Tensor]]
    """Tensors by part, each part a file."""


def save(folder: Path, snapshot: Snapshot, keep: int) -> Path:
    """Write a checkpoint, then drop the oldest above `keep`.

    Raises:
        DiskFull: it cannot be written; the earlier ones are untouched.
    """
    target = folder / f"{PREFIX}{snapshot.step:08d}"
    with new_folder(target) as scratch:
        hashes = {}
        for part, tensors in snapshot.tensors.items():
            path = scratch / f"{part}.safetensors"
            write_tensors(path, tensors)
            hashes[path.name] = sha256_of(path)
        write_json(
            scratch / STATE,
            {
                "format": 1,
                "step": snapshot.step,
                "identity": snapshot.identity,
                "values": snapshot.values,
                "sha256": hashes,
            },
        )
    for old in list(saved(folder))[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def saved(folder: Path) -> Iterator[Path]:
    """Folders of the checkpoints, newest first; whole ones and damaged ones."""
    yield from sorted((p for p in folder.glob(f"{PREFIX}*") if p.is_dir()), reverse=True)


def load(path: Path) -> Snapshot | None:
    """Read a checkpoint; None when a file is missing or is not the one that was written."""
    from safetensors.torch import load_file

    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        files: dict[str, str] = state["sha256"]
        if any(sha256_of(path / name) != digest for name, digest in files.items()):
            return None
        tensors = {Path(name).stem: load_file(path / name) for name in files}
        return Snapshot(state["step"], state["identity"], state["values"], tensors)
    except (OSError, ValueError, KeyError):
        return None


def newest(folder: Path) -> tuple[Snapshot | None, list[Path]]:
    """The newest whole checkpoint, and the damaged ones that are newer."""
    damaged: list[Path] = []
    for path in saved(folder):
        snapshot = load(path)
        if snapshot is not None:
            return snapshot, damaged
        damaged.append(path)
    return None, damaged


def require_same(found: Mapping[str, Any], wanted: Mapping[str, Any], where: Path) -> None:
    """Refuse a checkpoint of another training.

    Raises:
        TrainingRefused: the identities differ; each difference is named, up to eight.
    """
    old, new = dict(_flat(found)), dict(_flat(json.loads(json.dumps(wanted))))
    differing = [
        f"{key}: {old.get(key, 'absent')} in the checkpoint, {new.get(key, 'absent')} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    if differing:
        more = f"; and {len(differing) - 8} more" if len(differing) > 8 else ""
        raise TrainingRefused(
            f"{where} is of another training ({'; '.join(differing[:8])}{more}); "
            "give what it was started with, or another --out"
        )


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{place}.{key}" if place else str(key))
    else:
        yield place, value


def random_state(device: torch.device) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The random states of this process: what JSON holds, and torch's as tensors."""
    version, numbers, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    values = {
        "python": [version, list(numbers), gauss],
        "numpy": [str(kind), [int(k) for k in np.asarray(keys)], int(position), int(has_gauss), float(cached)],
    }
    tensors = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    return values, tensors


def set_random_state(values: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on from what `random_state` returned."""
    version, numbers, gauss = values["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, position, has_gauss, cached = values["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(tensors["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["cuda"], device)


def optimiser_state(
    optimiser: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter]
) -> dict[str, Tensor]:
    """AdamW's moments and counts as `name.moment`."""
    return {
        f"{name}.{key}": value
        for name, parameter in parameters.items()
        for key, value in optimiser.state.get(parameter, {}).items()
    }


def set_optimiser_state(
    optimiser: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Go on from what `optimiser_state` returned."""
    for key, value in tensors.items():
        name, moment = key.rsplit(".", 1)
        parameter = parameters[name]
        # AdamW counts its steps on the processor, whatever device the moments are on.
        optimiser.state[parameter][moment] = value if moment == "step" else value.to(parameter.device)
