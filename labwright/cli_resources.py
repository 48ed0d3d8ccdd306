"""Commands on what runs stand on: data sets, benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from labwright.cli_screen import Screen, emit, printable, table

datasets_app = typer.Typer(no_args_is_help=True, help="The catalogue of data sets.")
bench_app = typer.Typer(no_args_is_help=True, help="Benchmarks; each figure by its name.")
ENSEMBLE_PARTS = "bbh,pruning,pubmedqa,summary"
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@datasets_app.command("list")
def datasets_list(as_json: Json = False) -> None:
    """List the catalogue, and the series that were added."""
    from labwright.tools.catalogue.catalogue import all_cards

    if as_json:
        emit(list(all_cards()))
        return
    rows = [
        (c["id"], c.get("accession", ""), c["kind"], c["n_samples"], c["n_features"], c["title"]) for c in all_cards()
    ]
    table(("id", "accession", "kind", "samples", "features", "title"), rows)


@datasets_app.command("show")
def datasets_show(name: str) -> None:
    """Show one data card as JSON, and where its files are."""
    from labwright.tools.catalogue.catalogue import card, dataset_folder

    emit({**card(name), "folder": str(dataset_folder(name))})


@datasets_app.command("add")
def datasets_add(accession: Annotated[str, typer.Argument(metavar="GSE...")], as_json: Json = False) -> None:
    """Make a GEO series usable: verify it, fetch its series matrix, convert it in the sandbox."""
    from labwright.config import load_config
    from labwright.sandbox.connect import connect
    from labwright.workflows.geo_series import add_series

    config = load_config()
    run_job = connect(config.sandbox).run
    with Screen() as screen:
        added = add_series(accession, run_job, config.literature.max_download_mib, screen.say)
    _added(added, as_json)


@datasets_app.command("import")
def datasets_import(
    card: Annotated[Path, typer.Argument(help="Data card (YAML) with its tables beside it; see docs/own-data.md.")],
    name: Annotated[str, typer.Option(help="Another id than the card's.")] = "",
    named_only: Annotated[bool, typer.Option("--named-only", help="Only runs that name it may use it.")] = False,
    config: Annotated[Path | None, typer.Option(help="labwright.toml to use.")] = None,
    as_json: Json = False,
) -> None:
    """Make tables of your own usable: check them against their card, and convert them in the sandbox."""
    from labwright.config import load_config
    from labwright.sandbox.connect import connect
    from labwright.workflows.added_data import import_tables

    run_job = connect(load_config(config).sandbox).run
    with Screen() as screen:
        _added(import_tables(card, run_job, screen.say, name=name, named_only=named_only), as_json)


@datasets_app.command("remove")
def datasets_remove(name: str) -> None:
    """Take a data set that was added or imported off this machine."""
    from labwright.workflows.added_data import remove

    remove(name)
    typer.echo(f"{name} was removed")


def _added(card: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(card)
    else:
        typer.echo(f"{card['id']}: {card['n_samples']} samples, {card['n_features']} features; {card['title']}")


@datasets_app.command("verify")
def datasets_verify(name: Annotated[str, typer.Argument(metavar="ACCESSION")], as_json: Json = False) -> None:
    """Confirm that a data set exists and is what its card says; GEO accessions are looked up there."""
    from labwright.config import load_config
    from labwright.workflows.verification import verify_accession

    found = verify_accession(name, load_config())
    if as_json:
        emit(found)
    else:
        typer.echo(printable(f"{'verified' if found['verified'] else 'NOT verified'}: {found['detail']}"))
    raise typer.Exit(0 if found["verified"] else 1)


@bench_app.command("run")
def bench_run(
    quick: Annotated[bool, typer.Option("--quick", help="A stated sample, within ten minutes.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the main job."""
    from labwright.eval.suites.run import measure

    with Screen() as screen:
        show_figures(measure(quick=quick, say=screen.say), as_json)


@bench_app.command("judges")
def bench_judges(
    quick: Annotated[bool, typer.Option("--quick", help="The judge rates six procedures on one statement.")] = False,
    model: Annotated[bool, typer.Option("--model/--no-model", help="Ask the judge, or only what needs none.")] = True,
    most_minutes: Annotated[float | None, typer.Option(help="Ask the judge nothing new after so many.")] = None,
    as_json: Json = False,
) -> None:
    """Measure the judge metrics, the protocol metrics and the judge."""
    from labwright.eval.suites.judges import measure

    with Screen() as screen:
        show_figures(measure(quick=quick, model=model, say=screen.say, most_minutes=most_minutes), as_json)


@bench_app.command("sandbox")
def bench_sandbox(
    quick: Annotated[bool, typer.Option("--quick", help="Some attacks, few jobs and pairs; within a minute.")] = False,
    as_json: Json = False,
) -> None:
    """Attack the sandbox, count what is left behind, and time it beside a bare `docker run`."""
    from labwright.eval.suites.sandbox import measure

    with Screen() as screen:
        show_figures(measure(quick=quick, say=screen.say), as_json)


def show_figures(document: dict[str, Any], as_json: bool) -> None:
    """Print a benchmark's document as JSON, or its figures as a table."""
    if as_json:
        emit(document)
    else:
        rows = [(f["name"], f["value"], f["unit"], f["n"], f.get("note", "")) for f in document["figures"]]
        table(("figure", "value", "unit", "n", "note"), rows)


@bench_app.command("retrieval")
def bench_retrieval(
    quick: Annotated[
        bool, typer.Option("--quick", help="Every tenth query, no large index; within ten minutes.")
    ] = False,
    fit: Annotated[
        bool, typer.Option("--fit", help="First choose the fusion's weights again, on train claims.")
    ] = False,
    model: Annotated[bool, typer.Option("--model/--no-model", help="Ask the models, or only what needs none.")] = True,
    as_json: Json = False,
) -> None:
    """Measure search, its speed, and the location of quotes."""
    from labwright.eval.suites.retrieval import measure

    with Screen() as screen:
        show_figures(measure(quick=quick, fit=fit, model=model, say=screen.say), as_json)


@bench_app.command("ensemble")
def bench_ensemble(
    parts: Annotated[str, typer.Option(help="Any of these.", metavar="A,B")] = ENSEMBLE_PARTS,
    as_json: Json = False,
) -> None:
    """Measure learned ensembles, their pruning, and what they must beat; the last two parts ask models for hours."""
    from labwright.eval.suites.ensemble import measure

    with Screen() as screen:
        show_figures(measure(parts.split(","), say=screen.say), as_json)


@bench_app.command("verify")
def bench_verify(suite: str) -> None:
    """Recompute every figure of a committed benchmark from its raw rows."""
    from labwright.eval.suites.verify import verify_suite

    differing = verify_suite(suite)
    for line in differing:
        typer.echo(line, err=True)
    typer.echo(f"{suite}: {'every figure agrees with its raw rows' if not differing else 'figures differ'}")
    raise typer.Exit(1 if differing else 0)


@bench_app.command("publish")
def bench_publish() -> None:
    """Write the page of all figures beside their goals, from the project's root."""
    from labwright.eval.suites.publish import publish

    for path in publish():
        typer.echo(str(path))
