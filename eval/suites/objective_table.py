"""`labwright bench objectives`: every workflow on every objective, measured cell by cell; what is there stays.

The raw rows are the memory of the table: a cell that has one is not measured again, on this machine or another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from labwright.config import DEFAULT_MODEL, Config, cache_dir
from labwright.errors import RunFailed, WrongUse
from labwright.eval.suites import document as about
from labwright.eval.suites.cell_work import KIND, Broken, RunCell, Say, Work
from labwright.eval.suites.figures import Row
from labwright.eval.suites.local_engine import measure_here, width_of
from labwright.eval.suites.objective_cells import NO_MODEL, OURS, Cell, Wanted, all_listed, cells
from labwright.eval.suites.objective_figures import figures_of
from labwright.eval.suites.parts import within
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.shared_results import SharedResults
from labwright.models.weights import manifest

RAW = Path("docs/benchmarks/raw")
ENGINES = ("local", "ray")
PARTS = ("cells", "reference", "ray")
"""The table; the scores of doing nothing and of the reference scripts; the Ray engine measured."""
QUICK = {"workflows": (OURS, "rules_only"), "repeats": 1}
"""What --quick measures, on the first objective."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Options of the command, checked by `checked`."""

    wanted: Wanted = field(default_factory=Wanted)
    engine: str = "local"
    ray_address: str = ""
    shared: Path | None = None
    """Folder that the machines of a Ray cluster share."""
    most_minutes: float | None = None
    """No cell is begun after so many minutes; those that run are let finish."""
    parts: tuple[str, ...] = PARTS
    quick: bool = False
    judge: str = ""
    """Backend or embedded model that judges the protocols, once it has ordered known damage; empty for none."""


def checked(table: Table) -> Table:
    """`table` when its options go together.

    Raises:
        WrongUse: they do not.
    """
    for what, given, known in (("--engine", (table.engine,), ENGINES), ("--parts", table.parts, PARTS)):
        for name in given:
            if name not in known:
                raise WrongUse(f"{what} {name!r}: one of {', '.join(known)}")
    within(table.most_minutes)
    if table.engine == "ray":
        from labwright.eval.suites.ray_engine import check_installed, checked_address

        check_installed()
        checked_address(table.ray_address)
        if table.shared is None:
            raise WrongUse("--engine ray needs --shared DIR, a folder that every machine of the cluster sees")
    elif table.ray_address or table.shared is not None:
        raise WrongUse("--ray-address and --shared belong to --engine ray")
    return table


def known_models(config: Config) -> tuple[str, ...]:
    """Names that can play the roles: backends of the configuration, then embedded models that chat."""
    return tuple(dict.fromkeys([*config.backends, *(n for n, e in manifest().items() if e.use == "generation")]))


def rows_file(*, quick: bool) -> Path:
    """The raw rows; those of a sample stand apart."""
    return RAW / f"objectives{'-quick' if quick else ''}.jsonl"


def planned(table: Table, config: Config) -> list[Cell]:
    """The cells of a table.

    Raises:
        WrongUse: as for `cells`.
    """
    name, backend = config.backend_of("design")
    default = name if name in config.backends else backend.model
    wanted = table.wanted
    if table.quick and wanted == Wanted():
        wanted = Wanted(objectives=(all_listed()[0].id,), **QUICK)  # type: ignore[arg-type]
    return cells(wanted, all_listed(), known_models(config), default or DEFAULT_MODEL)


def measure(table: Table, config: Config, say: Say, run: RunCell | None = None) -> dict[str, Any]:
    """Measure what is missing of a table and return the document of all rows.

    Args:
        table: what to measure and how.
        config: where backends and their models are named.
        say: shows progress.
        run: carries out a cell; by default, runs of labwright.

    Raises:
        WrongUse: options do not go together, or name what does not exist.
        SomethingMissing: engine, model, key or ray is missing; rows that came before are kept.
        RunFailed: cells gave no row; all others were measured.
    """
    checked(table)
    todo = planned(table, config)
    if table.judge and table.judge not in known_models(config):
        raise WrongUse(f"--judge {table.judge!r}: no such model; one of {', '.join(known_models(config))}")
    rows = Rows(rows_file(quick=table.quick))
    rows.path.parent.mkdir(parents=True, exist_ok=True)
    if note := rows.mend():
        say(note)
    may_start = within(table.most_minutes)
    broken: list[Broken] = []
    if "cells" in table.parts:
        work = _work(rows, config, (say, may_start, run))
        width = width_of(embedded=any(_is_embedded(cell.model, config) for cell in todo))
        broken = measure_cells(todo, rows, table, work, width)
    if table.judge and may_start():
        from labwright.eval.suites.objective_judging import measure_judge

        measure_judge(rows, table.judge, config, say, may_start)
    if "reference" in table.parts and may_start():
        _reference(rows, say)
    if "ray" in table.parts and may_start():
        from labwright.eval.suites.ray_figures import measure_ray

        measure_ray(rows, quick=table.quick, say=say)
    if broken:
        lost = "; ".join(f"{b.cell.name}: {b.error}" for b in broken[:5])
        raise RunFailed(f"{len(broken)} cells gave no row and are measured the next time: {lost}")
    return document(rows.all(), quick=table.quick)


def document(rows: Sequence[Row], *, quick: bool) -> dict[str, Any]:
    """The document of figures.md from raw rows."""
    command = "labwright bench objectives" + (" --quick" if quick else "")
    return about.document("objectives", command, figures_of(rows, rows_file(quick=quick).as_posix()))


def runs_folder() -> Path:
    """Folder of the benchmark's run folders on this machine."""
    return Path(os.environ.get("LABWRIGHT_BENCH_RUNS", str(cache_dir() / "bench"))).resolve()


def _work(rows: Rows, config: Config, how: tuple[Say, Callable[[], bool], RunCell | None]) -> Work:
    say, may_start, run = how
    if run is None:
        from labwright.eval.suites.objective_runs import run_cell

        run = partial(run_cell, config=config)
    commit = about.commit()[:12]

    def keep(row: Row) -> None:
        """A worker outside a checkout does not know the commit; what it ran is what was sent to it."""
        row = {**row, "commit": row.get("commit") or commit}
        if rows.put_once(row):
            say(f"{row['name']}: {row['level3_gold']:.2f}{' FAILED: ' + row['failed'] if row['failed'] else ''}")
        else:
            say(f"{row['name']}: its row is there already")

    return Work(run=run, runs=runs_folder(), keep=keep, say=say, may_start=may_start)


def _is_embedded(model: str, config: Config) -> bool:
    return model != NO_MODEL and (model not in config.backends or config.backends[model].kind == "embedded")


def measure_cells(todo: Sequence[Cell], rows: Rows, table: Table, work: Work, width: int) -> list[Broken]:
    """Measure the cells that have no row, `width` at once on one machine."""
    if table.shared is not None:
        _collect(todo, table.shared, work)
    done = {r["name"] for r in rows.all() if r["kind"] == KIND}
    missing = [cell for cell in todo if cell.name not in done]
    work.say(f"{len(todo) - len(missing)} of {len(todo)} cells are measured already")
    if not missing:
        return []
    broken = measure_here(missing, work, width) if table.engine == "local" else _on_ray(missing, table, work, width)
    left = len(missing) - len(broken) - sum(r["name"] in {c.name for c in missing} for r in rows.all())
    if left > 0:
        work.say(f"the time is up: {left} cells are left for the next time")
    return broken


def _on_ray(missing: Sequence[Cell], table: Table, work: Work, width: int) -> list[Broken]:
    from labwright.eval.suites.ray_engine import Cluster, measure_on_ray

    if table.shared is None:
        raise WrongUse("--engine ray needs --shared DIR")
    from labwright.eval.suites.cluster_literature import fetch_literature, hand_literature

    shared = table.shared.resolve()
    hand_literature(shared)
    try:
        cluster = Cluster(shared=shared, address=table.ray_address, workers=width, cores_per_cell=2)
        return measure_on_ray(missing, work, cluster)
    finally:
        fetch_literature(shared)


def _collect(todo: Sequence[Cell], shared: Path, work: Work) -> None:
    """Keep rows that workers wrote after the last table had ended."""
    results = SharedResults(shared)
    for cell in todo:
        row = results.get(cell)
        if row is not None:
            work.keep(row)


def _reference(rows: Rows, say: Say) -> None:
    if rows.has_kind("reference") and rows.has_kind("noop"):
        return
    from labwright.eval.suites.reference import reference_rows

    say("reference scripts, and what doing nothing scores")
    for row in reference_rows(say):
        rows.put_once({"commit": about.commit()[:12], **row})
