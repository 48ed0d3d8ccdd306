"""The raw row of one run of `labwright bench run`: its score on the objective, and what it cost."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from labwright.eval.execution import artefacts_of, verdicts
from labwright.eval.objective_file import ObjectiveFile
from labwright.store import RunStore


def judged(store: RunStore, item: ObjectiveFile) -> dict[str, Any]:
    """The row of one run.

    Raises:
        RunFailed: the run folder is damaged, or the objective is out of date.
    """
    found = verdicts(item, artefacts_of(store.folder))
    record = store.record()
    busy = sum(record.seconds_by_kind.get(k, 0.0) for k in ("model", "sandbox", "network", "waiting"))
    return {
        "run": store.id,
        "status": record.status,
        "level3_gold": found.rate,
        "outputs": found.outputs,
        "gold": found.gold,
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


def largest_checkpoint(path: Path) -> float:
    """Largest checkpoint of a run, KiB."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        largest = db.execute("select max(length(checkpoint) + length(metadata)) from checkpoints").fetchone()[0]
    return round((largest or 0) / 1024, 2)
