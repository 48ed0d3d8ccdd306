"""The steps of a model that sees: pictures of papers before the design, plots of finished tasks at the end.

What it reads in a plot is checked against the data behind it; what it reads in a picture from outside is not.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from labwright.agents.figure_facts import Facts, facts_of
from labwright.agents.figures import ELSE, UNTOLD, Read, outside_fields, read_figure
from labwright.domain import FigureField, FigureReading, Picture, Review, Task, TaskResult
from labwright.store import file_name
from labwright.workflows.materials import Materials
from labwright.workflows.pictures import NAME as PICTURES
from labwright.workflows.pictures import given_in, of_paper, path_of, pictures_in
from labwright.workflows.state import RunState

NAME = "figures.json"
STAGE = "figures"
MOST_LEGEND = 800
"""Characters of a legend that a model is shown; papers write whole methods into some."""


def look(state: RunState, *, m: Materials) -> dict[str, Any]:
    """Read the pictures that came with the objective and with the papers that were read; done once a run."""
    if (m.store.folder / PICTURES).is_file():
        return {}
    papers = m.papers(sorted(state.get("read", [])))
    pictures = [*given_in(m.store), *(picture for paper in papers for picture in of_paper(m, paper))]
    read = [_looked_at(m, picture) for picture in pictures]
    m.store.write(m.store.folder / PICTURES, [p.model_dump(mode="json") for p in read])
    if read:
        m.say(f"{sum(p.visible for p in read)} of {len(read)} pictures of papers and of the objective looked at")
    return {}


def _looked_at(m: Materials, picture: Picture) -> Picture:
    assert m.eyes is not None  # noqa: S101  (the graph has this node only then)
    if not picture.visible:
        return picture
    legend = (f"{picture.label} {picture.legend}".strip() or picture.name)[:MOST_LEGEND]
    image = path_of(m.store, picture).read_bytes()
    read = read_figure(m.eyes, image, m.guard.material(legend), outside_fields(legend))
    return picture.model_copy(update={"fields": tuple(_field(r) for r in read)})


def _field(read: Read, truth: str = "") -> FigureField:
    return FigureField(
        name=read.field,
        read=read.value,
        probability=round(read.probability, 4),
        decided_by=read.decided_by,
        truth=truth,
    )


def seen_by_reviewer(m: Materials) -> str:
    """What the reviewer of a plan is told of the pictures; empty unless the configuration asks for it."""
    if not m.config.figures.reviewed:
        return ""
    lines = [
        f"- {p.origin or 'given'}, {m.guard.read(p.label or p.name)}: {_told(p)}"
        for p in pictures_in(m.store)
        if p.fields
    ]
    return "\n".join(["", "Figures of the sources, as a model read them:", *lines]) if lines else ""


def _told(picture: Picture) -> str:
    return ", ".join(f"{f.name} {f.read}" for f in picture.fields if f.read not in (ELSE, UNTOLD))


def read_figures(state: RunState, *, m: Materials) -> dict[str, Any]:
    """Read the plots of every task of level 3, and keep what was read beside what the data say."""
    assert m.eyes is not None  # noqa: S101  (the graph has this node only then)
    found: list[FigureReading] = []
    for task, facts in _plots(m):
        outputs = m.store.folder / "tasks" / file_name(task) / "outputs"
        image = (outputs / facts.file).read_bytes()
        read = read_figure(m.eyes, image, m.guard.material(facts.legend), facts.fields())
        fields = tuple(_field(r, facts.truth[r.field]) for r in read)
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
