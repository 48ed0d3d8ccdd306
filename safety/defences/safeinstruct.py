"""SafeInstruct (Bianchi et al. 2024, arXiv 2309.07875): some safe pairs are mixed into the user's data."""

from __future__ import annotations

import random
from collections.abc import Sequence

from labwright.errors import TrainingRefused
from labwright.models.training.examples import Example


def with_safe_pairs(
    user: Sequence[Example], alignment: Sequence[Example], *, pairs: int, seed: int
) -> tuple[Example, ...]:
    """The user's rows with alignment pairs among them.

    Args:
        user: the upload.
        alignment: pairs that the provider holds.
        pairs: how many of them are drawn, without replacement.
        seed: of the draw and the order.

    Raises:
        TrainingRefused: fewer are held, or none is asked for.
    """
    if not 0 < pairs <= len(alignment):
        raise TrainingRefused(f"safeinstruct: {pairs} alignment pairs are asked for, {len(alignment)} are held")
    draw = random.Random(seed)  # noqa: S311  (an order, not a secret)
    rows = [*user, *draw.sample(list(alignment), pairs)]
    draw.shuffle(rows)
    return tuple(rows)
