"""The step that reads figures: plots of finished tasks, by a model that sees, checked against the data behind them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from labwright.agents.figure_facts import Facts, facts_of
from labwright.agents.figures import read_figure
from labwright.domain import FigureField, FigureReading, Review, Task, TaskResult
from labwright.store import file_name
from labwright.workflows.materials import Materials
from labwright.workflows.state import RunState

NAME = "figures.json"
STAGE = "figures"


def read_figures(state: RunState, *, m: Materials) -> dict[str, Any]:
    """Read the plots of every task of level 3, and keep what was read beside what the data say."""
    assert m.eyes is not None  # noqa: S101  (the graph has this node only then)
    found: list[FigureReading] = []
    for task, facts in _plots(m):
        outputs = m.store.folder / "tasks" / file_name(task) / "outputs"
        image = (outputs / facts.file).read_bytes()
        read = read_figure(m.eyes, image, m.guard.material(facts.legend), facts.fields())
        fields = tuple(
            FigureField(name=r.field, read=r.value, probability=round(r.probability, 4), decided_by=r.decided_by,
                        truth=facts.truth[r.field])
            for r in read
        )  # fmt: skip
        sha256 = hashlib.sha256(image).hexdigest()
        found.append(FigureReading(task=task, file=facts.file, sha256=sha256, legend=facts.legend, fields=fields))
        m.say(
            f"{task}: {facts.file} read, {sum(f.agrees is True for f in fields)} of {len(fields)} fields as in the data"
        )
    m.store.write(m.store.folder / NAME, [f.model_dump(mode="json") for f in found])
    if found and m.config.figures.reviewed:
        _reviewed(m, found)
    return {}


def _plots(m: Materials) -> list[tuple[str, Facts]]:
    raw = json.loads((m.store.folder / "tasks" / "_tasks.json").read_text(encoding="utf-8"))
    found = []
    for task in (Task.model_validate(t) for t in raw):
        folder = m.store.folder / "tasks" / file_name(task.id)
        result = folder / "result.json"
        if result.is_file() and m.store.read(result, TaskResult).level == 3:
            found += [
                (task.id, facts) for facts in facts_of(task.operator, folder / "outputs", m.cards[task.datasets[0]])
            ]
    return found


def _reviewed(m: Materials, found: list[FigureReading]) -> None:
    """Add a review: how far a model that sees reads from the plots what the data say; told once."""
    path = m.store.folder / "reviews.json"
    reviews = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    if any(r.get("stage") == STAGE for r in reviews):
        return
    scores, odd = {}, []
    for one in found:
        checked = [f for f in one.fields if f.agrees is not None]
        scores[f"{one.task}: {one.file}"] = round(1 + 4 * sum(f.agrees is True for f in checked) / len(checked), 3)
        odd += [f"{one.file}: {f.name} read as {f.read}, the data say {f.truth}" for f in checked if not f.agrees]
    made = Review(stage=STAGE, candidate=0, scores=scores, critique="; ".join(odd) or "every field as in the data",
                  accepted=not odd, chosen=True, reviewer=m.eyes.backend if m.eyes is not None else "")  # fmt: skip
    m.store.write(path, [*reviews, made.model_dump(mode="json")])
