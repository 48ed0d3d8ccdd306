"""The P3-Mask: one additive mask for a person, learned from several photos, that recognisers do not see past.

Chow et al., "Personalized Privacy Protection Mask Against Unauthorized Facial Recognition", ECCV 2024 (arXiv
2407.13975). The mask is shared by all photos of the person, so that it holds for new ones; an ensemble of recognisers
is moved away from the person, so that it holds for recognisers it never saw; a hinge on SSIM keeps it hard to see.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from labwright.errors import WrongUse
from labwright.safety.faces.boxing import MARGIN, SIZE, Face, masked, through_photo
from labwright.safety.faces.likeness import angle, dissimilarity
from labwright.safety.faces.recognisers import Recogniser

LAMBDA_FLOOR, LAMBDA_CEILING = 1 / 129, 129.0


class MaskSettings(BaseModel):
    """Settings of the published optimisation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: float = Field(default=16.0, gt=0, le=64)
    """Greatest change of a pixel, grey levels (epsilon)."""
    rate: float = Field(default=0.001, gt=0, le=0.1)
    """Step of a pixel over 255."""
    epochs: int = Field(default=50, ge=1)
    batch: int = Field(default=4, ge=1)
    dissimilarity: float = Field(default=0.03, gt=0, lt=0.5)
    """DSIM that costs nothing (tau); 0.03 is an SSIM of 0.94."""
    hinge: bool = True
    """False leaves the SSIM term out, for comparison."""
    window: bool = True
    """False lets the mask lie on what fills the square too, for comparison."""
    seed: int = 2023
    margin: int = MARGIN

    @property
    def step(self) -> float:
        """Grey levels that one update moves a pixel."""
        return self.rate * 255


@dataclass(frozen=True, slots=True)
class Epoch:
    """Means over the photos of one epoch."""

    number: int
    angle: float
    """Radians, summed over the team."""
    dissimilarity: float
    loss: float
    weight: float
    """Of the hinge, after the epoch."""


Report = Callable[[Epoch], None]


def silent(epoch: Epoch) -> None:
    """Shows nothing."""


def learn(
    faces: Sequence[Face], team: Sequence[Recogniser], settings: MaskSettings | None = None, report: Report = silent
) -> Tensor:
    """Learn the mask of one person.

    The same faces, team and settings give the same bits on one processor with one number of threads.

    Args:
        faces: boxed faces of the person; the more, the better it holds for photos that are not among them.
        team: recognisers that are moved away from the person.
        settings: of the optimisation.
        report: called after every epoch.

    Returns:
        Shape (3, 112, 112), grey levels within the budget.

    Raises:
        WrongUse: no face, or no recogniser.
    """
    chosen = settings or MaskSettings()
    if not faces or not team:
        raise WrongUse("a mask is learned from at least one photo and one recogniser")
    start = np.random.RandomState(chosen.seed).uniform(-chosen.step, chosen.step, (SIZE, SIZE, 3))
    mask = torch.from_numpy(start.transpose(2, 0, 1)).float()
    clean = [through_photo(f.image[None], f.frame) for f in faces]
    with torch.no_grad():
        known = [[r.embed(c) for r in team] for c in clean]
    order = list(range(len(faces)))
    shuffler = random.Random(chosen.seed)  # noqa: S311  (the order of photos, not a secret)
    weight = 1.0
    for number in range(1, chosen.epochs + 1):
        shuffler.shuffle(order)
        sums = np.zeros(3)
        for at in range(0, len(order), chosen.batch):
            batch = order[at : at + chosen.batch]
            mask.requires_grad_(True)
            changed = torch.cat([_seen(faces[i], mask, chosen) for i in batch])
            moved = sum(angle(r.embed(changed), torch.cat([known[i][k] for i in batch])) for k, r in enumerate(team))
            assert isinstance(moved, Tensor)  # noqa: S101  (sum of a team that is not empty)
            seen = dissimilarity(torch.cat([clean[i] for i in batch]), changed)
            losses = -moved + hinge(seen, weight, chosen)
            (slope,) = torch.autograd.grad(losses.mean(), mask)
            mask = step(mask.detach(), slope, chosen.step, chosen.budget)
            sums += [float(v.detach().sum()) for v in (moved, seen, losses)]
            weight = next_weight(weight, float(seen.detach().mean()), chosen.dissimilarity)
        means = sums / len(order)
        report(Epoch(number, float(means[0]), float(means[1]), float(means[2]), weight))
    return mask.detach()


def _seen(face: Face, mask: Tensor, settings: MaskSettings) -> Tensor:
    if settings.window:
        return masked(face.image[None], mask, face.frame)
    return through_photo((face.image[None] + mask).clamp(0, 255), face.frame)


def hinge(seen: Tensor, weight: float, settings: MaskSettings) -> Tensor:
    """What the visible part of the mask costs: nothing below the limit; shape (n,)."""
    over = (seen - settings.dissimilarity).clamp(min=0)
    return weight * over if settings.hinge else 0 * over


def step(mask: Tensor, slope: Tensor, size: float, budget: float) -> Tensor:
    """One update by the sign of the gradient, kept within the budget."""
    return (mask - size * slope.sign()).clamp(-budget, budget)


def next_weight(weight: float, seen: float, limit: float) -> float:
    """The hinge's weight after a batch of mean DSIM `seen`: halved well below the limit, doubled well above, else 1."""
    if seen <= 0.9 * limit:
        return weight / 2 if weight >= LAMBDA_FLOOR else weight
    if seen >= 1.1 * limit:
        return weight * 2 if weight <= LAMBDA_CEILING else weight
    return 1.0
