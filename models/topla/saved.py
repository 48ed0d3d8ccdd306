"""A trained ensemble as a folder: weights in safetensors, everything else in JSON; and how calibrated it is.

The members, their order, the data's hash and the preprocessing are part of the ensemble: other members, or the same
ones in another order, would give numbers without meaning, so they are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labwright.errors import HashMismatch, ModelMissing
from labwright.models.topla.weighted import (
    Clean,
    Preprocessing,
    Released,
    Weighted,
    clean_network,
    released_network,
)

FORMAT = 1
WEIGHTS, ABOUT = "weighted.safetensors", "ensemble.json"


def data_hash(scores: ArrayLike, labels: ArrayLike) -> str:
    """sha256 of training rows: shape, scores as float64 and labels as int64, little-endian."""
    given, key = np.asarray(scores, dtype="<f8"), np.asarray(labels, dtype="<i8")
    digest = hashlib.sha256(repr(given.shape).encode())
    digest.update(np.ascontiguousarray(given).tobytes())
    digest.update(np.ascontiguousarray(key).tobytes())
    return digest.hexdigest()


def save(made: Weighted, folder: Path, *, members: Sequence[str], settings: Released | Clean, data_sha256: str) -> None:
    """Write an ensemble; whole or not at all.

    Args:
        made: the trained network.
        folder: made if it is not there.
        members: names in the order of the scores.
        settings: what it was trained with.
        data_sha256: see `data_hash`.

    Raises:
        ValueError: a name a member is needed, and no two may be equal.
    """
    from safetensors.torch import save_file

    if len(members) != made.members or len(set(members)) != len(members):
        raise ValueError(f"{made.members} distinct names of members are needed, not {', '.join(members)}")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in made.network.state_dict().items()}
    scratch = folder / f"{WEIGHTS}.new"
    save_file(tensors, scratch)
    about = {
        "format": FORMAT,
        "mode": made.mode,
        "members": list(members),
        "options": made.options,
        "settings": asdict(settings),
        "preprocessing": {
            "raw": made.preprocessing.raw,
            "mean": made.preprocessing.mean.tolist(),
            "scale": made.preprocessing.scale.tolist(),
        },
        "data_sha256": data_sha256,
        "weights_sha256": hashlib.sha256(scratch.read_bytes()).hexdigest(),
    }
    scratch.replace(folder / WEIGHTS)
    (folder / f"{ABOUT}.new").write_text(json.dumps(about, indent=1), encoding="utf-8")
    (folder / f"{ABOUT}.new").replace(folder / ABOUT)


def load(folder: Path, *, members: Sequence[str]) -> Weighted:
    """Read an ensemble for the given members.

    Raises:
        ModelMissing: no ensemble is there, it is of another format, or it was trained for other members.
        HashMismatch: the weights are not those that were saved.
    """
    from safetensors.torch import load as tensors_of

    about = _about(folder)
    if about["members"] != list(members):
        raise ModelMissing(
            f"{folder}: trained for {', '.join(about['members'])}, in this order, not for {', '.join(members)}; "
            "train it again with `labwright models ensemble train`"
        )
    raw = (folder / WEIGHTS).read_bytes()
    if hashlib.sha256(raw).hexdigest() != about["weights_sha256"]:
        raise HashMismatch(f"{folder / WEIGHTS}: not the weights that {ABOUT} names; train the ensemble again")
    kept = about["preprocessing"]
    preprocessing = Preprocessing(kept["raw"], np.array(kept["mean"]), np.array(kept["scale"]))
    inputs = len(members) * about["options"] * (1 if kept["raw"] else 2)
    build = released_network if about["mode"] == "released" else clean_network
    network = build(inputs, about["options"], about["settings"]["hidden"])
    network.load_state_dict(tensors_of(raw))
    return Weighted(network.eval(), preprocessing, about["mode"], len(members), about["options"])


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ModelMissing(f"{path}: no ensemble there; make one with `labwright models ensemble train`") from error
    if about.get("format") != FORMAT:
        raise ModelMissing(f"{path}: format {about.get('format')} is not {FORMAT}; train the ensemble again")
    return about


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be taken at their word."""

    error: float
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599): mean distance of confidence and accuracy over
    equal-width bins, weighted by their rows; in [0, 1]."""
    bins: tuple[tuple[float, float, int], ...]
    """Mean confidence, accuracy and number of rows of each bin that has any, for the reliability plot."""
    log_loss: float
    """Mean negative log-probability of the right option, nats."""
    n: int


def calibration(probabilities: NDArray[np.float64], labels: ArrayLike, bins: int = 10) -> Calibration:
    """Calibration on rows of known label.

    Args:
        probabilities: shape (n, C).
        labels: shape (n,): index of the right option.
        bins: equal widths of confidence.

    Raises:
        ValueError: no rows, or shapes that do not fit.
    """
    key = np.asarray(labels)
    if not len(key) or probabilities.shape[:1] != key.shape:
        raise ValueError(f"{probabilities.shape} probabilities do not fit {key.shape} labels")
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == key
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    filled = [
        (float(confidence[place == b].mean()), float(right[place == b].mean()), int((place == b).sum()))
        for b in range(bins)
        if (place == b).any()
    ]
    error = sum(abs(c - a) * n for c, a, n in filled) / len(key)
    chosen = np.clip(probabilities[np.arange(len(key)), key], 1e-12, 1.0)
    return Calibration(float(error), tuple(filled), float(-np.log(chosen).mean()), len(key))
