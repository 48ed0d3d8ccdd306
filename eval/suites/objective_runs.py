"""One cell of the table of objectives: a run of one workflow, judged against the objective's frozen lists.

Benchmark mode: the literature is shared (`shared_literature`), and each run may spend `ALLOWANCE` on models; what it
has not decided by then, rules decide, in every workflow alike.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from labwright.config import DEFAULT_MODEL, ROLES, AllowanceConfig, BackendConfig, Config
from labwright.domain import RunRecord, TaskResult
from labwright.errors import DiskFull, SandboxBroken, SomethingMissing
from labwright.eval.execution import artefacts_of, verdicts
from labwright.eval.objective_file import ObjectiveFile
from labwright.eval.protocol_file import read_protocol
from labwright.eval.protocol_findings import METRICS
from labwright.eval.protocol_quality import code_scores
from labwright.eval.protocol_reading import text_of
from labwright.eval.suites import document, objectives
from labwright.eval.suites.objective_cells import NO_MODEL, Cell
from labwright.eval.suites.shared_literature import shared_literature
from labwright.store import RunStore, file_name, list_runs
from labwright.workflows.baselines import Workflow
from labwright.workflows.control import Options, resume, start

ALLOWANCE = AllowanceConfig(prompt_tokens=4000, generated_tokens=800)
"""Tokens of one run after the shared literature."""
Say = Callable[[str], None]


def run_cell(cell: Cell, runs: Path, say: Say, config: Config | None = None) -> dict[str, Any]:
    """Carry one cell out and judge it.

    A run that was interrupted, with its machine or its worker, is carried on.

    Args:
        cell: objective, workflow, model, seed.
        runs: folder of the benchmark's runs; a cell's runs are in a folder of its own below it.
        say: shows progress.
        config: where the cell's model may be a backend's name; the embedded models need none.

    Returns:
        The raw row. A run that failed is a row with its error, and scores what it had finished.

    Raises:
        SomethingMissing: engine, model or key is missing: nothing was measured.
        DiskFull, SandboxBroken: likewise; the next time carries the run on.
    """
    asked = next(o for o in objectives.load() if o.id == cell.objective)
    playing = played_by(DEFAULT_MODEL if cell.model == NO_MODEL else cell.model, config or Config())
    folder, digest = shared_literature(asked, _reader(cell), playing, runs, say)
    home = runs / "cells" / file_name(cell.name)
    failed = ""
    try:
        _carry(cell, asked, playing.model_copy(update={"allowance": ALLOWANCE}), (home, folder), say)
    except (SomethingMissing, DiskFull, SandboxBroken):
        raise
    except Exception as error:  # noqa: BLE001  (a workflow that breaks down has failed; leaving it out would flatter it)
        failed = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    made = list_runs(home)
    head = {"kind": "cell", "name": cell.name, "commit": document.commit()[:12], "literature": digest}
    about = {"field": asked.field, "objective": cell.objective, "workflow": cell.workflow}
    row = {**head, **about, "model": cell.model, "seed": cell.seed, "failed": failed}
    if not made:
        return {**row, **_nothing(asked)}
    return {**row, **judged(home / made[-1].id, made[-1], asked)}


def played_by(model: str, config: Config) -> Config:
    """The configuration in which one model plays every role: a backend of the configuration, or an embedded model."""
    if model in config.backends:
        return config.model_copy(update={"roles": dict.fromkeys(ROLES, model)})
    backend = BackendConfig(kind="embedded", model=model)
    return config.model_copy(update={"backends": {"embedded": backend}, "roles": dict.fromkeys(ROLES, "embedded")})


def _reader(cell: Cell) -> str:
    return DEFAULT_MODEL if cell.model == NO_MODEL else cell.model


def _carry(cell: Cell, asked: ObjectiveFile, config: Config, places: tuple[Path, Path], say: Say) -> None:
    home, literature = places
    options = Options(seed=cell.seed, workflow=cast("Workflow", cell.workflow), literature=literature, say=say)
    begun = [r for r in list_runs(home)[-1:] if r.status != "done"]
    if begun:
        resume(RunStore.open(home, begun[-1].id), options)
    else:
        start(asked.asked, config, home, options)


def judged(folder: Path, record: RunRecord, asked: ObjectiveFile) -> dict[str, Any]:
    """What the row says of a run: its rate against the frozen lists, its levels, its quality, and what it cost."""
    store = RunStore(folder)
    found = verdicts(asked, artefacts_of(folder))
    results = [store.read(p, TaskResult) for p in sorted((folder / "tasks").glob("*/result.json"))]
    return {
        "run": f"{folder.parent.name}/{folder.name}",
        "status": record.status,
        "outputs": found.outputs,
        "gold": found.gold,
        "level3_gold": found.rate,
        "tasks": {r.task: r.level for r in results},
        "levels": {**{str(n): sum(r.level >= n for r in results) for n in (1, 2, 3)}, "n": len(results)},
        "repairs": sum(max(0, len(r.attempts) - 1) for r in results),
        "interventions": record.decided.person,
        "datasets": list(record.datasets),
        **protocol_quality(folder),
        "judge": "",
        "calls_valid": record.tool_calls_valid,
        "calls_total": record.tool_calls,
        "prompt_tokens_evaluated": record.evaluated_tokens,
        "generated_tokens": record.generated_tokens,
        "seconds": record.seconds,
        "seconds_by_kind": record.seconds_by_kind,
        "usd": record.usd,
        "model_share": record.decided.model_share,
    }


def protocol_quality(folder: Path) -> dict[str, Any]:
    """The protocol as a judge is shown it, and the code-checked part of the five metrics; empty where there is none."""
    if not (folder / "protocol.json").is_file():
        return {"protocol": "", "quality": {}}
    reading = read_protocol(folder)
    scores = {s.metric: s.score for s in code_scores(reading)}
    quality = {metric: {"code": scores[metric], "judged": None} for metric in METRICS}
    return {"protocol": text_of(reading), "quality": quality}


def _nothing(asked: ObjectiveFile) -> dict[str, Any]:
    """The row of a cell that did not even make a run folder: every entry of the lists is missing."""
    return {
        "run": "",
        "status": "failed",
        "outputs": {o.id: False for o in asked.required_outputs},
        "gold": {g.id: False for g in asked.gold},
        "level3_gold": 0.0,
        "tasks": {},
        "levels": {"1": 0, "2": 0, "3": 0, "n": 0},
        "repairs": 0,
        "interventions": 0,
        "datasets": [],
        "protocol": "",
        "quality": {},
        "judge": "",
        "calls_valid": 0,
        "calls_total": 0,
        "prompt_tokens_evaluated": 0,
        "generated_tokens": 0,
        "seconds": 0.0,
        "seconds_by_kind": {},
        "usd": 0.0,
        "model_share": None,
    }
