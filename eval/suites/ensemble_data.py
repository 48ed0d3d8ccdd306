"""Option log-likelihoods of five models on 24 BIG-Bench-Hard tasks, read from LABWRIGHT_TEST_DATA and never copied in.

The released labels of six tasks do not belong to their scores: labels count the sorted gold strings, scores the options
in the harness's order. Five binary tasks are so inverted; object_counting sorts numbers as strings. `repaired` labels
mend those six. For object_counting the two answers that never occur are an estimate: of all pairs, 12 and 14 fit best.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labwright.errors import SomethingMissing

Labels = Literal["released", "repaired"]
MEMBERS = ("Llama-2-70b-chat", "Mixtral-8x7B-Instruct", "gemma-7b", "phi-2", "Mistral-7B")
TASKS = (
    "boolean_expressions",
    "causal_judgement",
    "date_understanding",
    "disambiguation_qa",
    "formal_fallacies",
    "geometric_shapes",
    "hyperbaton",
    "logical_deduction_five_objects",
    "logical_deduction_seven_objects",
    "logical_deduction_three_objects",
    "movie_recommendation",
    "navigate",
    "object_counting",
    "penguins_in_a_table",
    "reasoning_about_colored_objects",
    "ruin_names",
    "salient_translation_error_detection",
    "snarks",
    "sports_understanding",
    "temporal_sequences",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_three_objects",
    "web_of_lies",
)
INVERTED = frozenset({"causal_judgement", "formal_fallacies", "navigate", "sports_understanding", "web_of_lies"})
COUNTED = 19
"""Options of object_counting, the numbers from 0."""
NEVER_SEEN = (12, 14)
RELEASED_BATCH = 4
"""Rows of a batch in the released notebook, in training and in the accuracies that it prints."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one task: scores (n, 5, C) and the index of the right option (n,)."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def predictions(self) -> NDArray[np.int64]:
        """Best-scored option of each member; shape (n, 5)."""
        return np.asarray(self.scores.argmax(axis=2))


@dataclass(frozen=True, slots=True)
class Task:
    """One task, first 80 % of its rows for training and the last 20 % for the final score."""

    name: str
    train: Part
    test: Part


def archive() -> Path:
    """The file of log-likelihoods.

    Raises:
        SomethingMissing: it is not there.
    """
    path = Path(os.environ.get("LABWRIGHT_TEST_DATA", "../shared/data")) / "topla_bbh" / "bbh_option_loglik.npz"
    if not path.is_file():
        raise SomethingMissing(f"{path}: no such file; set LABWRIGHT_TEST_DATA to the folder of the test data")
    return path


@cache
def bbh(labels: Labels) -> tuple[Task, ...]:
    """The 24 tasks with released or repaired labels."""
    with np.load(archive(), allow_pickle=False) as stored:
        return tuple(
            Task(
                name,
                _part(stored[f"train_{n:02d}"], name, labels),
                _part(stored[f"test_{n:02d}"], name, labels),
            )
            for n, name in enumerate(TASKS)
        )


def _part(rows: NDArray[np.float64], task: str, labels: Labels) -> Part:
    options = (rows.shape[1] - 1) // len(MEMBERS)
    key = rows[:, -1].astype(np.int64)
    if labels == "repaired" and task in INVERTED:
        key = 1 - key
    if labels == "repaired" and task == "object_counting":
        sorted_as_text = sorted(str(n) for n in range(COUNTED) if n not in NEVER_SEEN)
        key = np.array([int(sorted_as_text[k]) for k in key])
    return Part(rows[:, :-1].reshape(len(rows), len(MEMBERS), options), key)
