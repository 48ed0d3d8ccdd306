"""Which examples a step sees: a function of seed, epoch and step alone, so that a resumed training goes on exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


def epoch_order(n: int, seed: int, epoch: int, name: str = "") -> list[int]:
    """A permutation of 0..n-1; `name` makes another one for another data set of the same training."""
    entropy = [seed, epoch, *name.encode()]
    return [int(i) for i in np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy))).permutation(n)]


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a training over n examples; the last step of an epoch may be smaller than the others."""

    n: int
    per_step: int
    """Examples of one optimiser step, over all passes and processes."""
    seed: int
    epochs: float
    max_steps: int | None

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one pass over the data."""
        return math.ceil(self.n / self.per_step)

    @property
    def steps(self) -> int:
        """Optimiser steps in all, at least one."""
        wanted = max(1, math.ceil(self.epochs * self.steps_per_epoch - 1e-9))
        return wanted if self.max_steps is None else min(wanted, self.max_steps)

    def rows(self, step: int) -> list[int]:
        """Indices of the examples of a step, counted from 0."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = epoch_order(self.n, self.seed, epoch)
        return order[within * self.per_step : (within + 1) * self.per_step]


@dataclass(frozen=True, slots=True)
class Endless:
    """Batches of a second data set, such as an attack's or an alignment's, reshuffled for ever."""

    n: int
    per_step: int
    seed: int
    name: str

    def rows(self, step: int) -> list[int]:
        """Indices of the examples of a step, counted from 0; a batch may run over the end of an epoch."""
        wanted = range(step * self.per_step, (step + 1) * self.per_step)
        orders = {e: epoch_order(self.n, self.seed, e, self.name) for e in {i // self.n for i in wanted}}
        return [orders[i // self.n][i % self.n] for i in wanted]
