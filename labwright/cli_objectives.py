"""The command `labwright bench objectives`: workflows compared on objectives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli_screen import Screen, emit, table

if TYPE_CHECKING:
    from labwright.config import Config
    from labwright.eval.suites.objective_table import Table


def bench_objectives(
    workflows: Annotated[str, typer.Option(metavar="A,B", help="Only these workflows.")] = "",
    models: Annotated[
        str, typer.Option(metavar="X,Y", help="Backends of labwright.toml or names of `labwright models list`.")
    ] = "",
    objectives: Annotated[str, typer.Option(metavar="A,B", help="Only these objectives; online ones too.")] = "",
    repeats: Annotated[
        int | None, typer.Option(metavar="N", help="Seeds 0 to N-1; by default two for labwright, one for the others.")
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or ray: tasks of a Ray cluster.")] = "local",
    ray_address: Annotated[str, typer.Option(help="Running cluster; by default one of our own on this machine.")] = "",
    shared: Annotated[Path | None, typer.Option(help="Folder that every machine of the cluster sees.")] = None,
    most_minutes: Annotated[float | None, typer.Option(help="Begin no cell after so many minutes.")] = None,
    parts: Annotated[str, typer.Option(metavar="A,B", help="Any of cells, reference, ray.")] = "cells,reference,ray",
    judge: Annotated[str, typer.Option(metavar="MODEL", help="Judges protocols if it orders known damage.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="One objective, with and without a model.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show the objectives and what was measured.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for objectives.html, .csv, .json, .parquet.")] = None,
    config: Annotated[Path | None, typer.Option(help="labwright.toml to use.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare workflows on objectives; a cell that was measured, here or elsewhere, is not measured again."""
    from labwright.config import load_config
    from labwright.eval.suites.objective_cells import Wanted, names_of
    from labwright.eval.suites.objective_table import Table, checked

    wanted = Wanted(
        objectives=names_of(objectives), workflows=names_of(workflows), models=names_of(models), repeats=repeats
    )
    asked = checked(
        Table(
            wanted=wanted,
            engine=engine,
            ray_address=ray_address,
            shared=shared,
            most_minutes=most_minutes,
            parts=names_of(parts),
            quick=quick,
            judge=judge,
        )
    )
    loaded = load_config(config)
    if listing:
        _list(asked, loaded, as_json)
    else:
        _measure(asked, loaded, out, as_json)


def _measure(asked: Table, config: Config, out: Path | None, as_json: bool) -> None:
    from labwright.eval.suites.objective_page import write_results
    from labwright.eval.suites.objective_table import measure, rows_file, runs_folder
    from labwright.eval.suites.rows import Rows

    with Screen() as screen:
        try:
            document = measure(asked, config, screen.say)
        finally:  # what was measured before an error is shown too
            if out is not None:
                runs = runs_folder() if asked.shared is None else asked.shared / "runs"
                for path in write_results(Rows(rows_file(quick=asked.quick)).all(), out, runs, screen.say):
                    screen.say(str(path))
    if as_json:
        emit(document)
        return
    rows = [(f["name"], f["value"], f["low"], f["high"], f["n"], f["note"]) for f in document["figures"]]
    table(("figure", "value", "low", "high", "n", "note"), rows)


def _list(asked: Table, config: Config, as_json: bool) -> None:
    from labwright.eval.suites.objective_cells import all_listed
    from labwright.eval.suites.objective_table import planned, rows_file
    from labwright.eval.suites.rows import Rows

    done = {r["name"]: r for r in Rows(rows_file(quick=asked.quick)).all() if r["kind"] == "cell"}
    plan = planned(asked, config)
    found: list[dict[str, Any]] = []
    for one in all_listed():
        cells = [cell.name for cell in plan if cell.objective == one.id]
        measured = [r for r in done.values() if r["objective"] == one.id]
        found.append(
            {
                "id": one.id,
                "field": one.field,
                "online": one.online,
                "planned": len(cells),
                "planned_measured": sum(name in done for name in cells),
                "measured": {r["name"]: r["level3_gold"] for r in measured},
            }
        )
    if as_json:
        emit(found)
        return
    head = ("objective", "field", "data", "planned cells measured", "cells in all")
    rows = []
    for o in found:
        done_of = f"{o['planned_measured']} of {o['planned']}"
        rows.append((o["id"], o["field"], "online" if o["online"] else "", done_of, len(o["measured"])))
    table(head, rows)
