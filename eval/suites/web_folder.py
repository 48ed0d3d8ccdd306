"""Folders of runs to measure the web page on: many of the usual size, one protocol of 300 steps, one full of hostile texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright import domain
from labwright.models.calls import CallLog
from labwright.store import RunStore, file_name

LONG_PARTS, LONG_STEPS = 30, 10
ROWS = 200
SENTENCE = "Survival of the two groups was compared by the log-rank test, and adjusted for age and grade. "
OBJECTIVE = domain.Objective(
    text="Which measurements go with relapse-free survival of patients with node-positive breast cancer?",
    conditions="Clinical records and expression profiles of one cohort.",
)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of runs."""

    runs: Path
    usual: list[str]
    """Ids of runs of the usual size that have ended."""
    waiting: str
    """Waits for a review."""
    live: list[str]
    """Runs that somebody seems to carry: their locks are to be held."""
    long: str
    """300 steps."""
    hostile: str


def fill(runs: Path, n: int, live: int, texts: Sequence[str]) -> Folder:
    """Write `n` runs and those with a part to play.

    Args:
        runs: folder, made here.
        n: runs of the usual size.
        live: runs that look as if they went on.
        texts: hostile ones, for one run.
    """
    first = _written(runs / _id(0), "done", parts=4, steps=1)
    usual = [first.id]
    for number in range(1, n):
        folder = runs / _id(number)
        shutil.copytree(first.folder, folder)
        record = first.record().model_copy(
            update={"id": folder.name, "status": "failed" if number % 7 == 0 else "done"}
        )
        RunStore(folder).save_record(record)
        usual.append(folder.name)
    running = [_written(runs / _id(100_000 + k), "running", parts=4, steps=1).id for k in range(live)]
    waiting = _written(runs / _id(200_000), "waiting_for_review", parts=4, steps=1)
    (waiting.folder / "review.wanted").touch()
    long = _written(runs / _id(200_001), "waiting_for_review", parts=LONG_PARTS, steps=LONG_STEPS)
    hostile = _written(runs / _id(200_002), "waiting_for_review", parts=2, steps=1)
    poison(hostile.folder, "\n".join(texts))
    return Folder(runs, usual, waiting.id, running, long.id, hostile.id)


def _id(number: int) -> str:
    return f"20260101-{number // 65_536:06d}-{number % 65_536:06x}"


def _written(folder: Path, status: Any, *, parts: int, steps: int) -> RunStore:
    store = RunStore(folder)
    text, report, refs = _paper(store)
    done = status in ("done", "running")
    protocol = domain.Protocol(
        objective=OBJECTIVE,
        logic="First the cohort, then what goes with relapse.",
        parts=tuple(_part(n, steps, refs) for n in range(1, parts + 1)),
        datasets=(DATASET,),
    )
    store.write(folder / "protocol.json", protocol)
    store.write(folder / "datasets" / f"{DATASET.id}.json", DATASET)
    scores = {"relevance": 4.1, "logic": 3.4}
    reviewed = domain.Review(stage="Plan of the protocol", candidate=0, scores=scores, critique="thin", accepted=True)
    store.write(folder / "reviews.json", [reviewed.model_dump()])
    tasks = [_task(store, part, ended=status == "done") for part in protocol.parts] if done else []
    store.write(folder / "tasks" / "_tasks.json", [task.model_dump() for task in tasks])
    store.write(folder / "config.json", {})
    _log(store)
    record = domain.RunRecord(
        id=store.id,
        objective=OBJECTIVE,
        status=status,
        started_at="2026-01-01T00:00:00+00:00",
        started_by="bench",
        papers=(report.paper,),
        datasets=(DATASET.id,),
        tasks={task.id: 3 for task in tasks if status == "done"},
        evaluated_tokens=6000,
        generated_tokens=len(text) // 10,
        seconds=300.0,
    )
    store.save_record(record)
    return store


DATASET = domain.Dataset(
    id="gbsg2",
    title="German Breast Cancer Study Group 2",
    organism="Homo sapiens",
    assay="clinical records",
    n_samples=686,
    groups={"horTh": {"no": 440, "yes": 246}},
    verified=True,
    verification="organism, assay and 686 samples equal the data",
)


def _paper(store: RunStore) -> tuple[str, domain.Report, tuple[domain.Ref, ...]]:
    text = SENTENCE * 150
    paper = domain.Paper(
        id="one2001", title="Survival in one cohort", abstract=SENTENCE, source="embedded", reason="kept"
    )
    step = domain.ReportStep(
        id="S1",
        details="Compare survival.",
        quotes=(domain.Quote(paper=paper.id, start=0, end=len(SENTENCE) - 1, text=text[: len(SENTENCE) - 1]),),
    )
    part = domain.ReportPart(id="P1", title="Survival", outline="Two groups.", steps=(step,))
    report = domain.Report(paper=paper.id, parts=(part,))
    store.write(store.folder / "papers" / "_screening.json", [paper.model_dump()])
    store.write(store.folder / "papers" / f"{paper.id}.json", paper)
    store.write_text(store.folder / "papers" / f"{paper.id}.txt", text)
    store.write(store.folder / "reports" / f"{paper.id}.json", report)
    store.write(store.folder / "reports" / f"{paper.id}.analysis.json", [])
    return text, report, (domain.Ref(paper=paper.id, part="P1", steps=("S1",)),)


def _part(number: int, steps: int, refs: tuple[domain.Ref, ...]) -> domain.Part:
    made = tuple(
        domain.Step(
            id=f"{number}.{n}",
            details=SENTENCE * 3,
            kind="dry",
            datasets=(DATASET.id,),
            operator="survival_curves",
            parameters={"group_column": "horTh", "seed": n},
            refs=refs,
        )
        for n in range(1, steps + 1)
    )
    return domain.Part(
        id=f"Part {number}", title=f"Survival, {number}", purpose=SENTENCE, outline=SENTENCE * 2, refs=refs, steps=made
    )


def _task(store: RunStore, part: domain.Part, *, ended: bool) -> domain.Task:
    task = domain.Task(
        id=f"{part.id}-dry-experiment-1",
        description=SENTENCE,
        part=part.id,
        step=part.steps[0].id,
        operator="survival_curves",
        parameters={"group_column": "horTh"},
        datasets=(DATASET.id,),
        inputs=(DATASET.id,),
        outputs=(domain.OutputSpec(name="curves.csv", type="table", check="recomputed"),),
    )
    folder = store.folder / "tasks" / file_name(task.id)
    store.write(folder / "task.json", task)
    if not ended:
        return task
    table = "time,survival\n" + "".join(f"{n},{1 - n / ROWS:.4f}\n" for n in range(ROWS))
    store.write_text(folder / "outputs" / "curves.csv", table)
    store.write_text(folder / "script.py", "from labwright.tools.analysis import survival_curves\n" * 20)
    store.write_text(folder / "log.txt", "a line of the log\n" * 200)
    attempt = domain.Attempt(
        number=1,
        script="attempt-1.py",
        origin="operator",
        exit_code=0,
        cause="exit",
        outputs={"curves.csv": "0" * 64},
        checks=(domain.Check(check="recomputed", passed=True),),
        level=3,
    )
    store.write(folder / "result.json", domain.TaskResult(task=task.id, attempts=(attempt,), level=3))
    return task


def _log(store: RunStore) -> None:
    log = CallLog(store.folder / "calls.sqlite")
    for n in range(25):
        call = domain.Call(
            role="design",
            prompt="details",
            prompt_hash="0",
            backend="b",
            kind="ask",
            decided_by="model",
            evaluated_tokens=200,
        )
        log.add(str(n), call, {})
        log.decide(str(n), "model", 2)
    log.close()


FREE = ("text", "title", "abstract", "details", "outline", "purpose", "logic", "critique", "verification", "conditions")


def poison(folder: Path, text: str) -> None:
    """Put a text in the place of every free text of a run."""
    for path in [
        *folder.glob("*.json"),
        *folder.glob("papers/*.json"),
        *folder.glob("reports/*.json"),
        *folder.glob("datasets/*.json"),
    ]:
        path.write_text(json.dumps(_filled(json.loads(path.read_text(encoding="utf-8")), text)), encoding="utf-8")
    for path in folder.glob("papers/*.txt"):
        path.write_text(text, encoding="utf-8")


def _filled(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {k: text if k in FREE and isinstance(v, str) else _filled(v, text) for k, v in value.items()}
    return [_filled(v, text) for v in value] if isinstance(value, list) else value
