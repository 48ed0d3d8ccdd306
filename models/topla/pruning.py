"""Which members an ensemble keeps: focal diversity and plurality accuracy of every subset, or a genetic search.

Score of LLM-TOPLA's authors (released code): w1 x focal diversity + w2 x plurality accuracy, less an optional penalty
on size. All of it is computed on rows that choose, never on rows that report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labwright.errors import MetricUndefined
from labwright.models.diversity import Floats, TripleFailures
from labwright.models.extras import require

MOST_EXHAUSTIVE = 16
"""Members up to which every subset is scored."""
CHUNK_CELLS = 4_000_000
"""Votes counted at a time (subsets x rows), to bound memory."""
TOO_SMALL = -99.0
"""Score of fewer than two members in the genetic search, as released."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What counts in a subset's score."""

    diversity: float = 0.5
    accuracy: float = 0.5
    size: float = 0.0
    """Subtracted times |E|/N; 0.1 in the released code's option."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One subset and its score."""

    members: tuple[int, ...]
    diversity: float
    accuracy: float
    score: float


@dataclass(frozen=True, slots=True)
class Pruning:
    """Scores of the subsets that were looked at."""

    subsets: NDArray[np.int8]
    """Shape (m, N), 0/1."""
    diversity: Floats
    accuracy: Floats
    score: Floats

    def best(self, k: int = 5) -> list[Scored]:
        """The k best-scored subsets; of equal ones the smaller, then the one of lower members."""
        sizes = self.subsets.sum(axis=1)
        codes = self.subsets @ (1 << np.arange(self.subsets.shape[1], dtype=np.int64))
        order = np.lexsort((codes, sizes, -np.round(self.score, 12)))[:k]
        return [
            Scored(
                tuple(map(int, np.flatnonzero(self.subsets[i]))),
                float(self.diversity[i]),
                float(self.accuracy[i]),
                float(self.score[i]),
            )
            for i in order
        ]

    def correlation(self) -> dict[str, float]:
        """Pearson's correlation of diversity with accuracy: over all subsets ("all") and within each size.

        Sizes with fewer than three subsets, or without any spread, are left out.
        """
        sizes = self.subsets.sum(axis=1)
        groups = {"all": np.ones(len(sizes), dtype=bool), **{str(s): sizes == s for s in np.unique(sizes)}}
        found = {}
        for name, rows in groups.items():
            x, y = self.diversity[rows], self.accuracy[rows]
            if len(x) >= 3 and x.std() > 0 and y.std() > 0:
                found[name] = float(np.corrcoef(x, y)[0, 1])
        return found


def plurality(predictions: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.int64]:
    """The class that most members say, of equal ones the smallest; shape (n, S) to (n,).

    Args:
        predictions: class of each row by each member, from 0.
        weights: shape (S,); None counts every member once.
    """
    votes = _checked(predictions)
    power = np.ones(votes.shape[1]) if weights is None else np.asarray(weights, dtype=float)
    counts = np.zeros((len(votes), int(votes.max()) + 1))
    for member, weight in enumerate(power):
        counts[np.arange(len(votes)), votes[:, member]] += weight
    return np.asarray(counts.argmax(axis=1))


def all_subsets(n: int) -> NDArray[np.int8]:
    """Every subset of two or more of n members, as 0/1 rows in the order of their binary codes.

    Raises:
        ValueError: n is below 2 or above 16.
    """
    if not 2 <= n <= MOST_EXHAUSTIVE:
        raise ValueError(f"every subset is listed for 2 to {MOST_EXHAUSTIVE} members, not for {n}")
    codes = np.arange(1 << n, dtype=np.int64)
    bits = ((codes[:, None] >> np.arange(n)) & 1).astype(np.int8)
    return np.asarray(bits[bits.sum(axis=1) >= 2])


def subset_accuracy(predictions: ArrayLike, labels: ArrayLike, subsets: NDArray[np.int8]) -> Floats:
    """Plurality accuracy of each subset; shape (m,).

    Rows with the same predictions and label are counted once with their number. A class's standing on a row is its
    votes times the number of classes plus a rank that is higher for smaller classes, so that no two classes are equal
    and the label wins where its standing is the greatest: one product of matrices a class, for all subsets and rows.
    """
    votes, key = _checked(predictions), np.asarray(labels)
    patterns, counts = np.unique(np.column_stack([votes, key]), axis=0, return_counts=True)
    votes, key = patterns[:, :-1], patterns[:, -1]
    classes = int(max(votes.max(), key.max())) + 1

    def standing(c: NDArray[np.int64]) -> NDArray[np.float32]:
        ranks = np.broadcast_to(classes - 1 - c, len(votes))
        return np.vstack([(votes == c[..., None]).T * classes, ranks]).astype(np.float32)

    tables = [standing(np.array([c])) for c in range(classes)]
    of_label = standing(key)
    result = np.empty(len(subsets))
    step = max(1, CHUNK_CELLS // len(votes))
    for start in range(0, len(subsets), step):
        part = subsets[start : start + step]
        chosen = np.column_stack([part, np.ones(len(part))]).astype(np.float32)
        most = chosen @ tables[0]
        for table in tables[1:]:
            np.maximum(most, chosen @ table, out=most)
        result[start : start + step] = ((chosen @ of_label == most) @ counts.astype(float)) / counts.sum()
    return result


def prune_all(
    predictions: ArrayLike, labels: ArrayLike, weights: Weights = Weights(), *, ok: ArrayLike | None = None
) -> Pruning:
    """Score every subset of two or more members.

    Args:
        predictions: shape (n, N): class of each row by each member.
        labels: shape (n,).
        weights: what counts.
        ok: shape (n, N), where being right is more than predicting the label; None compares predictions and labels.

    Raises:
        ValueError: wrong shapes, more than 16 members.
        MetricUndefined: a single class among the labels, fewer rows than members.
    """
    votes, key = _rows(predictions, labels)
    subsets = all_subsets(votes.shape[1])
    return _scored(votes, key, subsets, weights, ok)


def prune_genetic(
    predictions: ArrayLike, labels: ArrayLike, weights: Weights = Weights(), *, seed: int = 0, generations: int = 1000
) -> Pruning:
    """Search subsets by a genetic algorithm with the released settings; returns the distinct subsets it looked at.

    Population 100, 50 parents, steady-state selection, two-point crossover, no mutation, an end after 100 generations
    without gain. Without mutation a gene that the first population lacks is never found; the released code has it so.

    Raises:
        SomethingMissing: the extra `local` is not installed.
    """
    require("local", "a genetic search")
    import pygad

    votes, key = _rows(predictions, labels)
    triples = TripleFailures.of(votes == key[:, None])
    n = votes.shape[1]
    seen: dict[bytes, float] = {}

    def fitness(_: object, solution: NDArray[np.int8], __: int) -> float:
        chosen = np.asarray(solution, dtype=np.int8)
        if chosen.sum() < 2:
            return TOO_SMALL
        if chosen.tobytes() not in seen:
            one = chosen[None, :]
            values = _combined(triples.focal_diversity(one), subset_accuracy(votes, key, one), one, weights)
            seen[chosen.tobytes()] = float(values[0])
        return seen[chosen.tobytes()]

    search = pygad.GA(
        num_generations=generations,
        num_parents_mating=50,
        sol_per_pop=100,
        num_genes=n,
        gene_space=[0, 1],
        gene_type=int,
        fitness_func=fitness,
        parent_selection_type="sss",
        crossover_type="two_points",
        mutation_type=None,
        stop_criteria="saturate_100",
        random_seed=seed,
        suppress_warnings=True,
    )
    search.run()
    if not seen:
        raise MetricUndefined("the genetic search met no subset of two or more members")
    subsets = np.array([np.frombuffer(code, dtype=np.int8) for code in seen])
    return _scored(votes, key, subsets, weights, None)


def _scored(
    votes: NDArray[np.int64],
    key: NDArray[np.int64],
    subsets: NDArray[np.int8],
    weights: Weights,
    ok: ArrayLike | None,
) -> Pruning:
    right = votes == key[:, None] if ok is None else ok
    diversity = TripleFailures.of(right).focal_diversity(subsets)
    accuracy = subset_accuracy(votes, key, subsets)
    return Pruning(subsets, diversity, accuracy, _combined(diversity, accuracy, subsets, weights))


def _combined(diversity: Floats, accuracy: Floats, subsets: NDArray[np.int8], weights: Weights) -> Floats:
    share = subsets.sum(axis=1) / subsets.shape[1]
    return np.asarray(weights.diversity * diversity + weights.accuracy * accuracy - weights.size * share)


def _checked(predictions: ArrayLike) -> NDArray[np.int64]:
    votes = np.asarray(predictions)
    if votes.ndim != 2 or not votes.size or not np.issubdtype(votes.dtype, np.integer) or votes.min() < 0:
        raise ValueError("predictions are a matrix (rows, members) of classes counted from 0; NaN is no class")
    return votes.astype(np.int64)


def _rows(predictions: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    votes, key = _checked(predictions), np.asarray(labels)
    if key.shape != votes.shape[:1] or not np.issubdtype(key.dtype, np.integer):
        raise ValueError(f"labels are a whole number a row; {len(votes)} rows, labels of shape {key.shape}")
    if votes.shape[1] < 2:
        raise MetricUndefined("an ensemble needs at least two members")
    if len(np.unique(key)) < 2:
        raise MetricUndefined("all rows have one label: nothing can be chosen on them")
    if len(votes) < votes.shape[1]:
        raise MetricUndefined(
            f"{len(votes)} rows are fewer than {votes.shape[1]} members: they cannot choose among them"
        )
    return votes, key.astype(np.int64)


def named(best: Sequence[Scored], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Members of scored subsets by name."""
    return [tuple(names[i] for i in one.members) for one in best]
