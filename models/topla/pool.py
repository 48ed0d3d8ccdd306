"""A folder of collected answers as a pool of members: which may take part, one half to choose on, one to report on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labwright.errors import MetricUndefined, WrongUse
from labwright.models.diversity import Floats
from labwright.models.topla.building import (
    CLEAN,
    EVENLY,
    Built,
    Compared,
    build,
    compare,
    majority_share,
    prune,
)
from labwright.models.topla.collected import Collected, load
from labwright.models.topla.pruning import Pruning, Weights
from labwright.models.topla.questions import halves, keys
from labwright.models.topla.recipe import Recipe, read_recipe
from labwright.models.topla.saved import data_hash, save
from labwright.models.topla.saved import load as load_network
from labwright.models.topla.scaling import Scaling, fit_scaling, scaled_out_of_fold
from labwright.models.topla.weighted import Clean

Rows = tuple[Floats, NDArray[np.int64]]
"""Scores (n, S, C) and the index of the right label (n,)."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Members that may take part, with what they said."""

    folder: Path
    members: tuple[str, ...]
    choosing: Rows
    """Set right out of fold."""
    reporting: Rows
    """Set right by what the choosing half says."""
    scalings: dict[str, Scaling]
    """Member to how its probabilities are set right, fitted on the whole choosing half."""
    unscaled: tuple[Floats, Floats]
    """Scores of both halves as the members gave them."""
    excluded: dict[str, str]
    """Who answered but may not take part, to the reason."""
    collected: Collected
    """Of all who answered."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Answers that are allowed."""
        return self.collected.questions[0].labels

    def prune(self, weights: Weights) -> Pruning:
        """Score subsets of the members on the choosing half.

        Raises:
            WrongUse: the choosing half cannot choose.
        """
        try:
            return prune(*self.choosing, weights)
        except MetricUndefined as error:
            raise WrongUse(f"{self.folder}: {error}") from error


def read_pool(folder: Path, *, members: Sequence[str] = (), keep_weak: bool = False) -> Pool:
    """The pool of a folder of `collect`, its questions halved with equal shares of each answer, always the same way.

    Args:
        folder: of `collect`.
        members: who is looked at; all who answered when none are named.
        keep_weak: also those who, on the choosing half, are right no more often than always giving the most frequent
            answer is.

    Raises:
        WrongUse: answers are absent or no numbers, a question occurs twice, or fewer than two members are left.
    """
    collected = load(folder, members)
    (first, key), (second, reported) = _halved(collected, folder)
    choosing = scaled_out_of_fold(first, key)
    accuracy = (choosing.argmax(axis=2) == key[:, None]).mean(axis=0)
    least = majority_share(key)
    excluded = {
        name: f"right on {right:.1%} of the choosing half, no more than the most frequent answer ({least:.1%})"
        for name, right in zip(collected.members, accuracy, strict=True)
        if right <= least and not keep_weak
    }
    kept = [i for i, name in enumerate(collected.members) if name not in excluded]
    if len(kept) < 2:
        why = "".join(f"; {name}: {reason}" for name, reason in excluded.items())
        raise WrongUse(f"{folder}: an ensemble needs at least two members, {len(kept)} can take part{why}")
    names = tuple(collected.members[i] for i in kept)
    scalings = {name: fit_scaling(first[:, i], key) for name, i in zip(names, kept, strict=True)}
    reporting = np.stack([scalings[n].applied(second[:, i]) for n, i in zip(names, kept, strict=True)], axis=1)
    return Pool(
        folder,
        names,
        (choosing[:, kept], key),
        (reporting, reported),
        scalings,
        (first[:, kept], second[:, kept]),
        excluded,
        collected,
    )


def _halved(collected: Collected, folder: Path) -> list[Rows]:
    """The half that chooses and the half that reports, as the members answered."""
    place = {q.id: i for i, q in enumerate(collected.questions)}
    sides = [(collected.scores[[place[q.id] for q in half]], keys(half)) for half in halves(collected.questions)]
    if not all(len(key) for _, key in sides):
        raise WrongUse(f"{folder}: {len(place)} questions cannot be halved; collect more")
    return sides


def compare_pool(pool: Pool, built: Built) -> Compared:
    """Measure an ensemble of the pool on the half that reports."""
    return compare(built, pool.members, pool.choosing, pool.reporting, pool.unscaled[1])


def train_pool(pool: Pool, out: Path, weights: Weights = EVENLY, settings: Clean = CLEAN) -> tuple[Built, Recipe]:
    """Choose and train an ensemble on the choosing half, and write it to a folder.

    Raises:
        WrongUse: the choosing half cannot choose: too few questions, or a single answer.
    """
    try:
        built = build(pool.members, *pool.choosing, weights=weights, settings=settings)
    except MetricUndefined as error:
        raise WrongUse(f"{pool.folder}: {error}") from error
    digest = data_hash(pool.unscaled[0], pool.choosing[1])
    recipe = Recipe(
        members=built.members,
        models={m: pool.collected.models[m] for m in built.members},
        scalings={m: pool.scalings[m] for m in built.members},
        weights=built.weights,
        labels=pool.labels,
        joining=built.joining,
        questions=pool.folder.resolve().name,
        chosen_on=len(pool.choosing[1]),
        data_sha256=digest,
        scored_by={"diversity": weights.diversity, "accuracy": weights.accuracy, "size": weights.size},
        cross_validated=built.cross_validated,
        excluded=pool.excluded,
    )
    save(built.network, out, members=built.members, settings=settings, data_sha256=digest)
    recipe.write(out)
    return built, recipe


def read_trained(pool: Pool, folder: Path, top: int = 5) -> Built:
    """An ensemble as it was trained on this pool, read back.

    Args:
        pool: what it was trained on.
        folder: of `train_pool`.
        top: subsets in the table.

    Raises:
        WrongUse: the pool's answers are not those that it was trained on.
        ModelMissing, HashMismatch: the folder holds no ensemble, or another network.
    """
    recipe = read_recipe(folder)
    pruning = pool.prune(Weights(**recipe.scored_by))
    table = pruning.best(top)
    chosen = tuple(pool.members[i] for i in table[0].members)
    if recipe.data_sha256 != data_hash(pool.unscaled[0], pool.choosing[1]) or chosen != recipe.members:
        raise WrongUse(f"{folder}: trained on other answers than {pool.folder} holds now; train it again")
    return Built(
        members=recipe.members,
        weights=recipe.weights,
        joining=recipe.joining,
        network=load_network(folder, members=recipe.members),
        cross_validated=recipe.cross_validated,
        table=tuple(table),
        correlation=pruning.correlation(),
        pruning=pruning,
    )
