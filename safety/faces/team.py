"""Which recognisers a mask is learned against: those that fail on different people (focal diversity)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from labwright.errors import WrongUse
from labwright.models.diversity import focal_diversity
from labwright.safety.faces.evaluation import Split
from labwright.safety.faces.recognisers import GraphRecogniser, observer


@dataclass(frozen=True, slots=True)
class Team:
    """Recognisers, and how they did on people that the mask is not for."""

    members: tuple[str, ...]
    diversity: float
    """Focal diversity of their failures, in [0, 1]."""
    accuracy: float
    """Least share of photos that a member names rightly."""


def named_rightly(people: Mapping[str, Split], recognisers: Sequence[GraphRecogniser]) -> NDArray[np.bool_]:
    """Whether each recogniser finds each probe's person nearest in the gallery; shape (probes, recognisers).

    Args:
        people: at least two; the person whom a mask is for is not among them.
        recognisers: at least two, to be compared.
    """
    columns = []
    for recogniser in recognisers:
        look = observer(recogniser)
        gallery = [(who, look(p.pixels, p.box)) for who, parts in people.items() for p in parts.gallery]
        right = []
        for who, parts in people.items():
            for probe in parts.probes:
                seen = look(probe.pixels, probe.box)
                right.append(max(gallery, key=lambda pair: float(seen @ pair[1]))[0] == who)
        columns.append(right)
    return np.array(columns, dtype=bool).T


def rank_teams(right: NDArray[np.bool_], names: Sequence[str], least_accuracy: float = 0.5) -> list[Team]:
    """Every team of two or more whose members are all accurate enough, the most diverse first.

    Of equal diversity the larger team comes first.

    Args:
        right: of :func:`named_rightly`.
        names: of the recognisers.
        least_accuracy: of every member.

    Raises:
        WrongUse: fewer than two recognisers are accurate enough.
    """
    accuracy = right.mean(axis=0)
    able = [i for i, share in enumerate(accuracy) if share >= least_accuracy]
    if len(able) < 2:
        each = ", ".join(f"{n} {a:.0%}" for n, a in zip(names, accuracy, strict=True))
        raise WrongUse(f"a team needs two recognisers that name {least_accuracy:.0%} of the photos rightly: {each}")
    teams = [
        Team(tuple(names[i] for i in chosen), focal_diversity(right[:, chosen]), float(accuracy[list(chosen)].min()))
        for size in range(2, len(able) + 1)
        for chosen in combinations(able, size)
    ]
    return sorted(teams, key=lambda t: (-t.diversity, -len(t.members), t.members))
