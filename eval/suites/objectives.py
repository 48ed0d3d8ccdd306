"""Bundled objectives and how a run is judged against them: a frozen list of outputs and gold properties.

The rate of an objective is (required outputs at level 3 + gold properties that hold) / (both lists). What was
not attempted counts as failed. Gold values come from publications or package documentation, never from a run.
"""

from __future__ import annotations

import csv
import math
import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from labwright.domain import Task, TaskResult
from labwright.errors import RunFailed
from labwright.store import RunStore


def load() -> list[dict[str, Any]]:
    """The bundled objectives, by file name."""
    folder = files("labwright.eval.suites") / "objectives"
    texts = sorted((e.name, e.read_text(encoding="utf-8")) for e in folder.iterdir() if e.name.endswith(".yaml"))
    return [yaml.safe_load(text) for _, text in texts]


def judged(store: RunStore, item: dict[str, Any]) -> dict[str, Any]:
    """The row of one run: its rate against the frozen list, and what it cost."""
    done = _finished(store)
    outputs = {o["id"]: _has_output(done, o) for o in item["required_outputs"]}
    gold = {g["id"]: _holds(store, done, g) for g in item["gold"]}
    record = store.record()
    verdicts = [*outputs.values(), *gold.values()]
    busy = sum(record.seconds_by_kind.get(k, 0.0) for k in ("model", "sandbox", "network", "waiting"))
    return {
        "run": store.id,
        "status": record.status,
        "level3_gold": sum(verdicts) / len(verdicts),
        "outputs": outputs,
        "gold": gold,
        "level3_tasks": sum(level == 3 for level in record.tasks.values()),
        "tasks": dict(record.tasks),
        "datasets": list(record.datasets),
        "papers": list(record.papers),
        "model_share": record.decided.model_share,
        "decided": record.decided.model_dump(),
        "seconds": record.seconds,
        "seconds_by_kind": record.seconds_by_kind,
        "prompt_tokens_evaluated": record.evaluated_tokens,
        "generated_tokens": record.generated_tokens,
        "overhead_share": round(max(0.0, record.seconds - busy) / record.seconds, 4) if record.seconds else 0.0,
        "checkpoint_max_kib": largest_checkpoint(store.folder / "checkpoints.sqlite"),
    }


def _finished(store: RunStore) -> list[tuple[Task, TaskResult, Path]]:
    found = []
    for path in sorted((store.folder / "tasks").glob("*/result.json")):
        task = store.read(path.with_name("task.json"), Task)
        result = store.read(path, TaskResult)
        if result.level == 3:
            found.append((task, result, path.parent / "outputs"))
    return found


def _has_output(done: list[tuple[Task, TaskResult, Path]], wanted: dict[str, Any]) -> bool:
    operators, datasets = _several(wanted["operator"]), _several(wanted["dataset"])
    return any(
        task.operator in operators
        and task.datasets[0] in datasets
        and any(o.type == wanted["type"] for o in task.outputs)
        for task, _, _ in done
    )


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _holds(store: RunStore, done: list[tuple[Task, TaskResult, Path]], gold: dict[str, Any]) -> bool:
    """Whether any verified output meets the property."""
    check = gold["check"]
    if "finding" in check:
        return any(_finding_in(result, check) for _, result, _ in done)
    paths = [folder / check["table"] for _, _, folder in done]
    return any(_table_meets(path, check) for path in paths if path.is_file())


def _finding_in(result: TaskResult, check: dict[str, Any]) -> bool:
    for finding in result.findings:
        if finding["id"] == check["finding"] and isinstance(finding["value"], int | float):
            low, high = check.get("low", float("-inf")), check.get("high", float("inf"))
            if low <= finding["value"] <= high:
                return True
    return False


def _table_meets(path: Path, check: dict[str, Any]) -> bool:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    absent = {check["column"], *check.get("where", {})} - set(rows[0] if rows else ())
    if rows and absent:
        raise RunFailed(f"{path.name} has no column {min(absent)!r}; the objective's gold check is out of date")
    for name, value in check.get("where", {}).items():
        rows = [r for r in rows if _cell_fits(r.get(name, ""), value)]
    head = rows[: check.get("n", len(rows))]
    hits = {str(r[check["column"]]).upper() for r in head} & {str(w).upper() for w in check["any_of"]}
    return bool(len(hits) >= check["min_hits"])


def _cell_fits(cell: str, wanted: Any) -> bool:
    """A cell equals a text, lies on a side of zero ("positive", "negative"), or between `above` and `below`."""
    if isinstance(wanted, dict):
        value = _number(cell)
        return bool(wanted.get("above", -math.inf) <= value <= wanted.get("below", math.inf))
    if wanted in ("positive", "negative"):
        return _number(cell) > 0 if wanted == "positive" else _number(cell) < 0
    return bool(cell == str(wanted))


def _number(cell: str) -> float:
    """A cell's number; what is none lies in no range."""
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan


def largest_checkpoint(path: Path) -> float:
    """Largest checkpoint of a run, KiB."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        largest = db.execute("select max(length(checkpoint) + length(metadata)) from checkpoints").fetchone()[0]
    return round((largest or 0) / 1024, 2)
