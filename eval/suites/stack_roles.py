"""Are tuned members better at the roles' questions than before, and the ensemble better than the model it is joined with?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from labwright.config import DEFAULT_MODEL, BackendConfig, Config, load_config
from labwright.eval.suites.figures import Row
from labwright.eval.suites.stack_build import Stack
from labwright.eval.suites.stack_names import ALONE, BASE
from labwright.models.ask import Prompt, Session, choose
from labwright.models.calls import CallLog
from labwright.models.training.alignment_data import PROPERTIES
from labwright.workflows.stacks.members import read_rows

Say = Callable[[str], None]
LABELS: Mapping[str, tuple[str, ...]] = {
    "dataset": ("yes", "no"), "operator": ("yes", "no"), "helpfulness": ("1", "2", "3", "4", "5"),
}  # fmt: skip
MOST = 150
"""Held-out questions of a task."""


def configuration(stack: Stack) -> Config:
    """The stack's backends, the untuned base, every member as it ended, and the embedded model alone."""
    config = load_config(stack.config, environment={})
    stages = stack.record["stages"]
    more = {BASE: BackendConfig(kind="local", model=stack.recipe.base)}
    for member in PROPERTIES:
        last = next(s for s in (f"repair-{member}", f"tune-{member}") if s in stages)
        more[f"tuned-{member}"] = BackendConfig(kind="local", model=stages[last]["folder"])
    more[ALONE] = BackendConfig(kind="embedded", model=DEFAULT_MODEL)
    return config.model_copy(update={"backends": {**config.backends, **more}})


def measured_backends(stack: Stack) -> tuple[str, ...]:
    """Names of :func:`configuration` that answer the questions."""
    return (BASE, *(f"tuned-{m}" for m in PROPERTIES), "fused", "ensemble", ALONE)


def questions(stack: Stack) -> list[dict[str, Any]]:
    """Held-out questions that the ensemble was not joined on, at most so many a task."""
    rows = read_rows(Path(stack.record["stages"]["data"]["folder"]) / "held_out.jsonl")
    joined = stack.recipe.ensemble.questions if stack.recipe.ensemble is not None else 0
    closed = [r for r in rows if r["answer"] in ("yes", "no")]
    left = closed[joined:] + [r for r in rows if r["answer"] not in ("yes", "no")]
    found: list[dict[str, Any]] = []
    for task in LABELS:
        found += [r for r in left if r["task"] == task][:MOST]
    return found


@contextmanager
def session_of(config: Config, name: str) -> Iterator[Session]:
    """A session of one backend, whose log is thrown away."""
    from labwright.workflows.backends import OpenBackends

    backend = OpenBackends(config).alone(name)
    with (
        closing(backend),
        tempfile.TemporaryDirectory() as scratch,
        closing(CallLog(Path(scratch) / "c.sqlite")) as log,
    ):
        yield Session(role="search", backend=name, chat=backend.chat, log=log, lease=backend.lease)


def role_row(stack: Stack, name: str, say: Say) -> Row:
    """Which of the held-out questions a backend answers rightly, by task."""
    asked = questions(stack)
    right: dict[str, list[bool]] = {task: [] for task in LABELS}
    with session_of(configuration(stack), name) as session:
        for number, row in enumerate(asked, 1):
            if number % 50 == 1:
                say(f"{name}: question {number} of {len(asked)}")
            labels = LABELS[row["task"]]
            prompt = Prompt(f"role {row['task']}", "", row["system"], row["user"])
            given = choose(session, prompt, labels, fallback=dict.fromkeys(labels, 1 / len(labels)))
            right[row["task"]].append(max(labels, key=lambda label: given.value[label]) == row["answer"])
    return {"kind": "stack_roles", "name": f"{stack.name}:{name}", "stack": stack.name, "backend": name,
            "right": {task: [int(r) for r in values] for task, values in right.items()},
            "usual": {task: _usual([r["answer"] for r in asked if r["task"] == task]) for task in LABELS}}  # fmt: skip


def _usual(answers: Sequence[str]) -> float:
    """Share of the most frequent answer: what always giving it gets."""
    return max(map(answers.count, answers)) / len(answers) if answers else 0.0


def choice_row(stack: Stack, name: str, say: Say) -> Row:
    """Points on the thirty written objectives of the benchmark of choices; no prompt was made for them."""
    from labwright.config import cache_dir
    from labwright.eval.suites.choices_suite import Chooser, load
    from labwright.models.embedding import CachedEncoder
    from labwright.tools.catalogue.catalogue import load_cards

    chooser = Chooser({str(c["id"]): c for c in load_cards()}, CachedEncoder(cache_dir() / "embeddings.sqlite"))
    points = {}
    with session_of(configuration(stack), name) as session:
        for item in load("choices"):
            if item.get("answerable", True):
                say(f"{name}: {item['id']}")
                points[str(item["id"])] = chooser.decide(session, item).points
    return {
        "kind": "stack_choices",
        "name": f"{stack.name}:{name}",
        "stack": stack.name,
        "backend": name,
        "points": points,
    }
