"""Models merged in weight space: what a mixture of experts is compared with.

All work on task vectors, tau_i = W_i - W_base of each alignment i, taken of the whole weight (not of the factors of an
adapter: the product of two mean factors is not the mean product). The arithmetic on them is peft's.

| method | result | source |
|---|---|---|
| average | W_base + mean tau_i | Wortsman et al. 2022, arXiv 2203.05482 |
| task_arithmetic | W_base + scale * sum tau_i | Ilharco et al. 2023, arXiv 2212.04089 |
| ties | keep the largest `density`, elect a sign, scale * mean of what agrees | Yadav et al. 2023, arXiv 2306.01708 |
| dare_linear | keep `density` at random, divide by it; task_arithmetic | Yu et al. 2024, arXiv 2311.03099 |
| dare_ties | keep `density` at random, divide by it; election and mean of ties | as above |

One departure: TIES trims each weight matrix by itself, as peft and mergekit do; the paper trims the whole vector.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from labwright.errors import WrongUse

if TYPE_CHECKING:
    from torch import Tensor

    from labwright.models.checkpoints import Checkpoint
    from labwright.models.h3fusion.variants import Variant

Method = Literal["average", "task_arithmetic", "ties", "dare_linear", "dare_ties"]
METHODS: tuple[Method, ...] = get_args(Method)
SCALES = {"average": 1.0, "task_arithmetic": 0.4, "ties": 1.0, "dare_linear": 0.4, "dare_ties": 1.0}
"""Default scales; 0.4 is the middle of the range (0.3 to 0.5) that the task arithmetic paper found to serve best."""
DENSITIES = {"average": 1.0, "task_arithmetic": 1.0, "ties": 0.2, "dare_linear": 0.5, "dare_ties": 0.5}
"""Default shares kept: 0.2 is that of the TIES paper; DARE's papers drop between a tenth and nine tenths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeSettings:
    """How task vectors become one."""

    method: Method
    scale: float | None = None
    """Factor of the merged task vector; None takes the method's of SCALES. `average` takes 1 alone."""
    density: float | None = None
    """Share of the entries that is kept, above 0 and at most 1; None takes the method's of DENSITIES."""
    seed: int = 0
    """Of what DARE drops."""

    def checked(self) -> tuple[float, float]:
        """Scale and density.

        Raises:
            WrongUse: an unknown method, a density out of range, or a setting that the method has no use for.
        """
        if self.method not in METHODS:
            raise WrongUse(f"--method {self.method!r}: one of {', '.join(METHODS)}")
        scale = SCALES[self.method] if self.scale is None else self.scale
        density = DENSITIES[self.method] if self.density is None else self.density
        if not 0 < density <= 1:
            raise WrongUse(f"density {density:g}: above 0, at most 1")
        if self.method == "average" and scale != 1:
            raise WrongUse("an average has no scale; take task_arithmetic")
        if self.method in ("average", "task_arithmetic") and density != 1:
            raise WrongUse(f"{self.method} keeps every entry; a density is for ties, dare_linear and dare_ties")
        return scale, density


def merge_task_vectors(vectors: Sequence[Tensor], settings: MergeSettings, name: str = "") -> Tensor:
    """The merged task vector of one weight.

    Args:
        vectors: tau_i, all of one shape, float32; zeros where an alignment left the weight alone.
        settings: how.
        name: of the weight; with the seed it decides what DARE drops.

    Returns:
        What is added to the base's weight, float32.

    Raises:
        WrongUse: as `MergeSettings.checked`, or there are fewer than two vectors.
    """
    import torch
    from peft.utils import merge_utils

    scale, density = settings.checked()
    if len(vectors) < 2:
        raise WrongUse(f"{len(vectors)} task vectors; a merge is of two or more")
    tensors, ones = list(vectors), torch.ones(len(vectors))
    if settings.method in ("average", "task_arithmetic"):
        weight = 1 / len(vectors) if settings.method == "average" else scale
        return merge_utils.task_arithmetic(tensors, ones * weight)
    if density == 1:  # peft warns where nothing is dropped, and drops nothing
        plain = {"dare_linear": merge_utils.task_arithmetic}.get(settings.method)
        return scale * (plain(tensors, ones) if plain else _elected(tensors))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(f"{settings.seed}:{name}".encode()))
        merged: Tensor = getattr(merge_utils, settings.method)(tensors, ones, density)
        return scale * merged


def _elected(tensors: list[Tensor]) -> Tensor:
    import torch
    from peft.utils import merge_utils

    stacked = torch.stack(tensors)
    mask = merge_utils.calculate_majority_sign_mask(stacked)
    return merge_utils.disjoint_merge(stacked, mask)


def merge_into(base: Checkpoint, variants: Sequence[Variant], settings: MergeSettings) -> int:
    """Turn the base into the merged model.

    Args:
        base: its weights are changed; sums are made in float32 and rounded once.
        variants: of this base.
        settings: how.

    Returns:
        How many weight tensors changed.

    Raises:
        WrongUse: as `merge_task_vectors`.
    """
    import torch

    settings.checked()
    changed = sorted({name for v in variants for name in v.deltas})
    parameters = dict(base.model.named_parameters())
    for name in changed:
        start = parameters[name]
        zeros = torch.zeros(start.shape)
        tau = merge_task_vectors([v.deltas.get(name, zeros) for v in variants], settings, name)
        with torch.no_grad():
            start.copy_(start.float() + tau.to(start.device))
    return len(changed)


def merge_folder(base: str, sources: Mapping[str, str], settings: MergeSettings, folder: Path) -> dict[str, Any]:
    """Merge the alignments of a base and write the model, its tokenizer, merge.json and a model card.

    Args:
        base: what `load_checkpoint` takes.
        sources: property to adapter or model.
        settings: how.
        folder: empty or absent.

    Returns:
        What merge.json holds.

    Raises:
        WrongUse: the folder is not empty; or as `merge_into`.
        HashMismatch, ModelMissing: as `read_variants`.
    """
    from labwright.models.checkpoints import load_checkpoint
    from labwright.models.h3fusion.variants import read_variants

    scale, density = settings.checked()
    if folder.exists() and any(folder.iterdir()):
        raise WrongUse(f"{folder} is not empty; give another folder")
    dense = load_checkpoint(base)
    variants = read_variants(dense, sources)
    changed = merge_into(dense, variants, settings)
    dense.model.save_pretrained(folder)
    dense.tokenizer.save_pretrained(folder)
    record = {
        **{"method": settings.method, "scale": scale, "density": density, "seed": settings.seed, "changed": changed},
        "base": {"name": dense.path.name, "sha256": dense.facts["sha256"]},
        "alignments": {v.property: dict(v.facts) for v in variants},
    }
    (folder / "merge.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_card(record, folder.name), encoding="utf-8")
    return record


def _card(record: Mapping[str, Any], name: str) -> str:
    made = "; ".join(f"{p} from {f['source']} ({f['kind']})" for p, f in record["alignments"].items())
    return (
        f"# {name}\n\n{record['method']} of {made}, scale {record['scale']:g}, density {record['density']:g}, seed "
        f"{record['seed']}; {record['changed']} weight tensors changed.\n\nBase `{record['base']['name']}`, sha256 "
        f"`{record['base']['sha256']}`. Load it with `AutoModelForCausalLM.from_pretrained`.\n\n"
        "A baseline for fusions. Nobody has judged its answers unless a report beside it says so; it keeps the "
        "limits and the licence of its base, and is not for clinical decisions.\n"
    )
