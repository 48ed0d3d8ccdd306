"""`labwright bench run`: the main job, measured (docs/benchmarks/README.md names every figure)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labwright.config import Config, cache_dir
from labwright.errors import EngineMissing, LabwrightError
from labwright.eval.objective_file import ObjectiveFile
from labwright.eval.suites import choices_suite, kills, objectives
from labwright.eval.suites import document as about
from labwright.eval.suites.figures import Row, figures_of
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run_row import judged
from labwright.models.calls import CallLog
from labwright.models.embedding import CachedEncoder
from labwright.store import RunStore
from labwright.tools.catalogue.catalogue import load_cards
from labwright.workflows.backends import Backends
from labwright.workflows.control import Options, start

RAW = Path("docs/benchmarks/raw")
SEEDS = {"metastasis_signature": (0, 1, 2), "er_status_breast": (0, 1, 2)}
"""Objectives that are run with three seeds; the others with one."""
QUICK_CHOICES = 6
KILLS = 20
Say = Callable[[str], None]


def measure(*, quick: bool, say: Say) -> dict[str, Any]:
    """Run the suite and return its document; rows that are there already are not measured again.

    Args:
        quick: one objective with one seed, six choice objectives, three kills.
        say: shows progress.
    """
    RAW.mkdir(parents=True, exist_ok=True)
    name = "run-quick" if quick else "run"
    rows = Rows(RAW / f"{name}.jsonl")
    _objectives(rows, quick, say)
    _choices(rows, quick, say)
    _kills(rows, quick, say)
    return document(name, rows.all(), quick=quick)


def document(name: str, rows: Sequence[Row], *, quick: bool) -> dict[str, Any]:
    """The document of figures.md from raw rows."""
    command = "labwright bench run" + (" --quick" if quick else "")
    return about.document("run", command, figures_of(rows, f"docs/benchmarks/raw/{name}.jsonl"))


def _objectives(rows: Rows, quick: bool, say: Say) -> None:
    wanted = objectives.bundled()
    for item in wanted[:1] if quick else wanted:
        for seed in (0,) if quick else SEEDS.get(item.id, (0,)):
            name = f"{item.id}:{seed}"
            if not rows.has("objective", name):
                say(f"objective {name}")
                rows.add("objective", name, _run_objective(item, seed, say))


def _run_objective(item: ObjectiveFile, seed: int, say: Say) -> dict[str, Any]:
    runs = Path(os.environ.get("LABWRIGHT_BENCH_RUNS", str(cache_dir() / "bench")))
    before = set(runs.glob("*"))
    failed = ""
    try:
        start(item.asked, Config(), runs, Options(seed=seed, say=say))
    except EngineMissing:
        raise  # nothing was measured: a row would call the missing engine a failed objective
    except LabwrightError as error:
        failed = f"{type(error).__name__}: {error}"
    made = sorted(set(runs.glob("*")) - before)
    if not made:
        return {"failed": failed, "level3_gold": 0.0, "outputs": []}
    return {"failed": failed, **judged(RunStore(made[-1]), item)}


def _choices(rows: Rows, quick: bool, say: Say) -> None:
    encode = CachedEncoder(cache_dir() / "embeddings.sqlite")
    chooser = choices_suite.Chooser({c["id"]: c for c in load_cards()}, encode)
    items = choices_suite.load("choices")
    items = items[:: max(1, len(items) // QUICK_CHOICES)] if quick else items
    for item in items:
        if not rows.has("choice_rules", item["id"]):
            rows.add("choice_rules", item["id"], _outcome(chooser.decide(None, item), item))
    missing = [i for i in items if not rows.has("choice_model", i["id"])]
    if not missing:
        return
    backends = Backends(Config())
    try:
        with tempfile.TemporaryDirectory() as scratch:
            session = backends.session("search", CallLog(Path(scratch) / "calls.sqlite"), 0)
            for item in missing:
                say(f"choices of {item['id']}")
                rows.add("choice_model", item["id"], _outcome(chooser.decide(session, item), item))
    finally:
        backends.close()


def _outcome(outcome: choices_suite.Outcome, item: dict[str, Any]) -> dict[str, Any]:
    return {
        "answerable": item.get("answerable", True),
        "dataset": outcome.dataset,
        "refused": outcome.refused,
        "operators": outcome.operators,
        "papers": outcome.papers,
        "dataset_points": outcome.dataset_points,
        "operator_points": outcome.operator_points,
        "paper_points": outcome.paper_points,
    }


def _kills(rows: Rows, quick: bool, say: Say) -> None:
    name = "smollm2"
    if not rows.has("kills", name):
        say("kills and resumes")
        rows.add("kills", name, kills.measure(3 if quick else KILLS, say))
