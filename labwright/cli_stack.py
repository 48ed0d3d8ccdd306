"""The commands `labwright models build`, from a recipe to backends (docs/stack.md), and `labwright bench stack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labwright.cli_screen import emit, table
from labwright.cli_training import TrainingScreen


def build(
    recipe: Annotated[Path, typer.Argument(help="Recipe of a stack, such as stacks/biomed.toml.")],
    out: Annotated[Path | None, typer.Option(help="Folder of labwright.toml; stack-NAME by default.")] = None,
    only_estimate: Annotated[
        bool, typer.Option("--estimate", help="Begin nothing; say what it would take: time, memory, disk.")
    ] = False,
    tflops: Annotated[
        float | None, typer.Option(help="Peak of the accelerator, for --estimate; two cores by default.", min=0.01)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Tune, harden, fuse, join and steer models by a recipe; what was built before is checked and used."""
    from labwright.models.extras import require

    require("local", "labwright models build")
    from labwright.workflows.stacks.build import build as built
    from labwright.workflows.stacks.recipe import read_recipe

    read = read_recipe(recipe)
    if only_estimate:
        _estimate(read, tflops, as_json)
        return
    folder = out or Path(f"stack-{read.name}")
    with TrainingScreen() as screen:
        record = built(read, folder, screen.report)
    if as_json:
        emit({"folder": str(folder.resolve()), **record})
        return
    rows = [(name, s["key"][:12], "before" if name in record["reused"] else f"{s['seconds']:.0f} s", s["folder"])
            for name, s in record["stages"].items()]  # fmt: skip
    table(("stage", "key", "built", "folder"), rows)
    typer.echo(f"{folder / 'labwright.toml'}: {', '.join(record['backends'])}")
    typer.echo(f'try it: labwright run "..." --config {folder / "labwright.toml"}')


def _estimate(recipe: object, tflops: float | None, as_json: bool) -> None:
    from dataclasses import asdict

    from labwright.models.memory import parameters_of
    from labwright.workflows.stacks.estimate import as_rows, estimate
    from labwright.workflows.stacks.recipe import Recipe

    assert isinstance(recipe, Recipe)  # noqa: S101  (of read_recipe)
    found = estimate(recipe, parameters_of(recipe.base), peak_tflops=tflops)
    if as_json:
        emit({**asdict(found), "seconds": found.seconds, "memory_gib": found.memory_gib})
        return
    table(("stage", "tokens", "minutes", "GiB"), as_rows(found))
    typer.echo(
        f"{found.parameters / 1e6:.0f} million weights: about {found.seconds / 3600:.1f} hours of training, "
        f"{found.memory_gib:.1f} GiB of memory, {found.disk_gib:.1f} GiB of disk"
    )


def bench_stack(
    parts: Annotated[str, typer.Option(metavar="A,B", help="Any of roles, choices, harm, runs; empty for all.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Build a hardened and an unhardened stack and measure both: hours."""
    from labwright.cli_resources import show_figures
    from labwright.cli_screen import Screen
    from labwright.eval.suites.stack import measure

    with Screen() as screen:
        show_figures(measure(parts=[p for p in parts.split(",") if p], say=screen.say), as_json)
