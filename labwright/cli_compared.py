"""What `labwright run --check` and `labwright show --against` print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from labwright.cli_screen import emit, table

if TYPE_CHECKING:
    from labwright.config import Config
    from labwright.store import RunStore


def check_run(config: Config, workflow: str, out: Path, as_json: bool) -> None:
    """Print what a run would need and take; exit code 4 when something is missing."""
    from labwright.store import list_runs
    from labwright.workflows.doctor import lacking
    from labwright.workflows.estimates import estimate, models_of_config

    lacks = lacking(config, workflow)
    took = estimate(list_runs(out), workflow, models_of_config(config))
    if as_json:
        emit({"lacking": lacks, "estimate": None if took is None else took.model_dump(mode="json")})
    else:
        table(("part", "state", "detail"), [(f["part"], f["state"], f["detail"]) for f in lacks])
        typer.echo("no run of this kind has ended here; no estimate" if took is None else took.sentence)
    if any(f["state"] == "missing" for f in lacks):
        raise typer.Exit(4)


def show_difference(store: RunStore, other: RunStore, as_json: bool) -> None:
    """Print what differs between two runs."""
    from dataclasses import asdict

    from labwright.eval.comparison import compare_runs

    found = compare_runs(other.folder, store.folder)
    if as_json:
        emit(asdict(found))
        return
    rows = [(p.name, p.first, p.second) for p in (*found.facts, *found.analyses, *found.findings) if p.differs]
    table(("what differs", other.id, store.id), rows)
