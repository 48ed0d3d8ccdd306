"""The commands under `labwright eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli_screen import emit, table

if TYPE_CHECKING:
    from labwright.eval.judge_labels import Annotations

eval_app = typer.Typer(no_args_is_help=True, help="Judges, protocols and reports, measured.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
SHOWN = ("alpha_HH", "alpha_MM", "alpha_HM", "alpha_diff", "alpha_HR", "jsb")


@eval_app.command("judges")
def eval_judges(
    file: Annotated[Path, typer.Argument(help="Labels of people and of a judge: long or wide CSV.")],
    kind: Annotated[str, typer.Option(help="ordinal or categorical; by default what the labels look like.")] = "",
    scale: Annotated[str, typer.Option(help="The labels in order: 1:5, or no,maybe,yes.")] = "",
    form: Annotated[str, typer.Option(help="JS_b as distance or divergence.")] = "distance",
    base: Annotated[str, typer.Option(help="Base of the logarithm: e or 2.")] = "e",
    half: Annotated[
        str, typer.Option(help="Medians between two labels: drop, floor, round_half_up or split.")
    ] = "drop",
    tie: Annotated[str, typer.Option(help="Which of several majorities counts: first or seeded.")] = "first",
    share_bins: Annotated[str, typer.Option(help="Bins of the majority's share, per cent.")] = "0:60,60:80,80:100",
    resamples: Annotated[int, typer.Option(min=0, max=100_000, help="Bootstrap resamples; 0 for none.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap and the random labeller.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for judges.html, .json, .csv and charts.")] = None,
    as_json: Json = False,
) -> None:
    """Say how far a judge may be trusted, by how much people disagree."""
    from labwright.eval.judge_file import read_annotations
    from labwright.eval.judge_page import options_of, write_result

    options = options_of(kind=kind, form=form, base=base, half=half, tie=tie, share_bins=share_bins)
    found = read_annotations(file, kind=options.kind, scale=scale)
    results = {name: _judged(data, options, resamples, seed) for name, data in found.items()}
    document: dict[str, Any] = {"file": file.name, "criteria": results}
    written = write_result(document, out) if out is not None else []
    if as_json:
        emit(document)
        return
    for name, result in results.items():
        _show(name, result)
    for path in written:
        typer.echo(str(path))


def _judged(data: Annotations, options: Any, resamples: int, seed: int) -> dict[str, Any]:
    from labwright.eval.judge_reliability import reliability
    from labwright.eval.judge_table import Settings
    from labwright.eval.perception_chart import chart_data

    settings = Settings(
        kind=data.kind,
        labels=data.labels,
        form=options.form,
        base=options.base,
        resamples=resamples,
        seed=seed,
    )
    result = reliability(data, settings=settings, share_bins=options.share_bins, half=options.half, tie=options.tie)
    chart = chart_data(data, form=options.form, base=options.base, half=options.half, tie=options.tie)
    return {**result, "chart": chart}


def _show(name: str, result: dict[str, Any]) -> None:
    settings = result["settings"]
    if name:
        typer.echo(f"criterion {name}")
    typer.echo(
        f"{result['items']} items, {settings['kind']}, JS_b as {settings['form']} in base {settings['base']}; "
        "HH among people, MM among the judge's labels, HM between both, HR people and a random labeller"
    )
    rows = [
        (row["name"], row["size"], f"{row['proportion']:.1f}", *(_cell(row["figures"][f]) for f in SHOWN))
        for row in result["rows"]
    ]
    table(("stratum", "n", "%", *SHOWN), rows)
    reasons = sorted({f["reason"] for row in result["rows"] for f in row["figures"].values() if f["reason"]})
    for reason in reasons:
        typer.echo(f"  - means: {reason}")
    small = [row["name"] for row in result["rows"] if row["small"] and row["size"]]
    if small:
        typer.echo(f"  fewer than 30 items: {', '.join(small)}")
    for warning in result["warnings"]:
        typer.echo(f"  warning: {warning}")


def _cell(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    interval = "" if figure["low"] is None else f" [{figure['low']:.2f}, {figure['high']:.2f}]"
    return f"{figure['value']:.3f}{interval}"
