"""TOPLA-Weighted on BIG-Bench-Hard, beside what it must beat; only the final score looks at test rows.

A row a method, label set and seed holds for each task how many test rows were right, so that every mean and interval can
be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from labwright.eval.suites.ensemble_data import MEMBERS, RELEASED_BATCH, Labels, Task, bbh
from labwright.eval.suites.rows import Rows
from labwright.models.topla.pruning import plurality
from labwright.models.topla.weighted import Clean, Released, fit, log_softmax

SEEDS = 5
RELEASED_SEED = 9
LABEL_SETS: tuple[Labels, ...] = ("released", "repaired")
Predict = Callable[[Task], NDArray[np.int64]]
"""A task to the option chosen on each test row; learns from the task's training rows only."""


def measure(rows: Rows, say: Callable[[str], None], seeds: int = SEEDS) -> None:
    """Add the rows that are missing; some twenty minutes of one core, most of it the released recipe."""
    for labels in LABEL_SETS:
        for method, seed, predict in _methods(labels, seeds):
            name = f"{labels}/{method}/{seed}"
            if rows.has("bbh", name):
                continue
            say(f"BBH: {name}")
            tasks = bbh(labels)
            right = [[int(ok) for ok in predict(task) == task.test.labels] for task in tasks]
            values = {"labels": labels, "method": method, "seed": seed, "right": _packed(right)}
            rows.add("bbh", name, values)


def _packed(right: list[list[int]]) -> list[str]:
    """A string of 0 and 1 a task, one a test row."""
    return ["".join(map(str, task)) for task in right]


def _methods(labels: Labels, seeds: int) -> Iterator[tuple[str, int, Predict]]:
    for number, name in enumerate(MEMBERS):
        yield f"single {name}", 0, partial(_single, member=number)
    yield "plurality", 0, lambda task: plurality(task.test.predictions)
    tasks = bbh(labels)
    pooled = np.vstack([t.train.predictions == t.train.labels[:, None] for t in tasks]).mean(axis=0)
    yield "vote by train accuracy", 0, lambda task: plurality(task.test.predictions, pooled)
    yield "vote by train accuracy of the task", 0, _vote_by_task
    yield "mean of softmax", 0, lambda task: np.exp(log_softmax(task.test.scores)).mean(axis=1).argmax(axis=1)
    yield "best member of the task", 0, _best_member
    yield "logistic stacking", 0, _logistic
    yield "gradient boosting", 0, _boosting
    for seed in range(seeds):
        yield "clean", seed, partial(_weighted, settings=Clean(seed=seed))
    if labels == "released":
        for seed in (RELEASED_SEED, *range(seeds)):
            yield "released recipe", seed, partial(_weighted, settings=Released(batch=RELEASED_BATCH, seed=seed))


def _single(task: Task, member: int) -> NDArray[np.int64]:
    return np.asarray(task.test.predictions[:, member])


def _train_accuracy(task: Task) -> NDArray[np.float64]:
    return np.asarray((task.train.predictions == task.train.labels[:, None]).mean(axis=0))


def _vote_by_task(task: Task) -> NDArray[np.int64]:
    return plurality(task.test.predictions, _train_accuracy(task))


def _best_member(task: Task) -> NDArray[np.int64]:
    return _single(task, int(_train_accuracy(task).argmax()))


def _weighted(task: Task, settings: Clean | Released) -> NDArray[np.int64]:
    return fit(task.train.scores, task.train.labels, settings).predictions(task.test.scores)


def _inputs(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(log_softmax(scores)).reshape(len(scores), -1))


def _logistic(task: Task) -> NDArray[np.int64]:
    """Multinomial logistic regression on the members' probabilities, its strength by cross-validation on train rows."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = KFold(5, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    search = GridSearchCV(model, {"logisticregression__C": [0.01, 0.05, 0.2, 1.0]}, cv=folds)
    return np.asarray(search.fit(_inputs(task.train.scores), task.train.labels).predict(_inputs(task.test.scores)))


def _boosting(task: Task) -> NDArray[np.int64]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=100, learning_rate=0.05, max_leaf_nodes=8, random_state=0)
    return np.asarray(model.fit(_inputs(task.train.scores), task.train.labels).predict(_inputs(task.test.scores)))
