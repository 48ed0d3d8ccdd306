"""The command `labwright bench vision`."""

from __future__ import annotations

from typing import Annotated

import typer


def bench_vision(
    parts: Annotated[
        str, typer.Option(metavar="A,B", help="Any of steering, overhead, faces, figures, real; empty for all.")
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="One seed, few pairs of times.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Measure steering of models that see, and masks that keep faces from being recognised."""
    from labwright.cli_resources import show_figures
    from labwright.cli_screen import Screen
    from labwright.eval.suites.vision import measure

    with Screen() as screen:
        show_figures(measure(quick=quick, parts=[p for p in parts.split(",") if p], say=screen.say), as_json)
