"""Shift vectors of CMRM (Liu et al. 2024, arXiv 2410.09047): where an image moves a model's hidden states.

For a prompt x and a meaningless image img', delta^l = h^l(x) - h^l(x, img') at the last prompt token, at the output of
decoder layer l: text minus corrupted, the direction that pulls a state with an image back to one without. The sign is
fixed here and nowhere else. A vector of a layer is an aggregate of the deltas of anchor prompts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from labwright.errors import HashMismatch, MetricUndefined, ModelMissing, WrongUse

if TYPE_CHECKING:
    from torch import Tensor

Aggregate = Literal["mean", "pc_unit", "pc_sigma", "pc_mean", "pc_mean_abs", "pc_uncentred"]
AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)
"""`mean` of the deltas (default), or their first principal component: of length 1, or scaled by the deviation (n - 1)
of the projections, by their mean, or by the mean of the centred ones' absolute values; or of the uncentred deltas,
scaled by the mean projection. Which one the paper prints is not settled; centring removes the mean, which is wanted."""
WEIGHTS, FACTS = "shift.safetensors", "shift.json"


@dataclass(frozen=True, slots=True)
class ShiftVectors:
    """One vector a decoder layer, and what they were taken from."""

    layers: Mapping[int, Tensor]
    """Layer, from 0, to (d,) float32."""
    model: str
    """Name and hash of the model; another one refuses them."""
    aggregate: str
    corruption: str
    """Kind of the meaningless image."""
    n_anchor: int
    """Prompts."""
    sigma: Mapping[int, float] = field(default_factory=dict)
    """Layer to the deviation (n - 1) of the projections on the first principal component."""
    lengths: Mapping[int, float] = field(default_factory=dict)
    """Layer to the mean length of the anchors' own shifts; at the sample level a longer one is shortened to it."""

    def save(self, folder: Path) -> None:
        """Write shift.safetensors and shift.json."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({str(layer): v.contiguous() for layer, v in self.layers.items()}, folder / WEIGHTS)
        facts = {
            "model": self.model, "aggregate": self.aggregate, "corruption": self.corruption, "n_anchor": self.n_anchor,
            "sigma": {str(layer): s for layer, s in self.sigma.items()},
            "lengths": {str(layer): n for layer, n in self.lengths.items()},
        }  # fmt: skip
        (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, model: str = "") -> ShiftVectors:
        """Read what `save` wrote.

        Args:
            folder: of the vectors.
            model: they must be of this one; empty takes them as they are.

        Raises:
            ModelMissing: there are none.
            HashMismatch: damaged, or of another model.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not (folder / WEIGHTS).is_file() or not (folder / FACTS).is_file():
            raise ModelMissing(f"{folder}: no shift vectors; `labwright models steer extract` makes them")
        try:
            facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            layers = {int(name): v for name, v in load_file(folder / WEIGHTS).items()}
            sigma, lengths = (
                {int(layer): float(x) for layer, x in facts[name].items()} for name in ("sigma", "lengths")
            )
            about = facts["model"], facts["aggregate"], facts["corruption"], int(facts["n_anchor"])
            found = cls(layers, *about, sigma, lengths)
        except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise HashMismatch(f"{folder}: damaged shift vectors: {error}; extract them again") from error
        if model and found.model != model:
            raise HashMismatch(
                f"{folder}: shift vectors of {found.model}, not of {model}; extract them from this model"
            )
        return found


def aggregate(deltas: Tensor, how: Aggregate = "mean") -> Tensor:
    """One vector of the deltas of a layer.

    Args:
        deltas: (n, d), text minus corrupted, one row an anchor.
        how: of AGGREGATES.

    Returns:
        (d,), pointing the way of the mean of the deltas.

    Raises:
        WrongUse: an unknown aggregate.
        MetricUndefined: no delta, or a single one where a component is asked for.
    """
    if how not in AGGREGATES:
        raise WrongUse(f"aggregate {how!r}: one of {', '.join(AGGREGATES)}")
    if not len(deltas):
        raise MetricUndefined("no shift vector of no anchor")
    mean = deltas.mean(dim=0)
    if how == "mean":
        return mean
    component = principal(deltas, centred=how != "pc_uncentred")
    along = deltas @ component
    scales = {
        "pc_unit": 1.0,
        "pc_sigma": float(along.std()) if len(deltas) > 1 else 0.0,
        "pc_mean": float(along.mean()),
        "pc_mean_abs": float((along - along.mean()).abs().mean()),
        "pc_uncentred": float(along.mean()),
    }
    return component * scales[how]


def principal(deltas: Tensor, *, centred: bool) -> Tensor:
    """First right singular vector of the deltas, of length 1; the sign is such that the mean projects on it at >= 0.

    Raises:
        MetricUndefined: fewer than two deltas, or they do not differ.
    """
    import torch

    mean = deltas.mean(dim=0)
    rows = deltas - mean if centred else deltas
    if len(deltas) < 2 or not bool(rows.any()):
        raise MetricUndefined("a principal component needs two anchors whose shifts differ; use the mean")
    component: Tensor = torch.linalg.svd(rows.double(), full_matrices=False).Vh[0].to(deltas.dtype)
    return component if float(component @ mean) >= 0 else -component


def deviation(deltas: Tensor) -> float:
    """Deviation (n - 1) of the projections on the first principal component; 0 where there is none."""
    try:
        return float((deltas @ principal(deltas, centred=True)).std())
    except MetricUndefined:
        return 0.0
