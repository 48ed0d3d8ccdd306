"""The commands under `labwright eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli_screen import Screen, emit, printable, table

if TYPE_CHECKING:
    from labwright.eval.judge_labels import Annotations
    from labwright.eval.protocol_judge import Judgement
    from labwright.eval.protocol_reading import Reading
    from labwright.eval.run_figures import RunFigures

eval_app = typer.Typer(no_args_is_help=True, help="Judges, protocols and reports, measured.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run folders.")]
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
        typer.echo(printable(f"criterion {name}"))
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
        typer.echo(printable(f"  - means: {reason}"))
    small = [row["name"] for row in result["rows"] if row["small"] and row["size"]]
    if small:
        typer.echo(printable(f"  fewer than 30 items: {', '.join(small)}"))
    for warning in result["warnings"]:
        typer.echo(printable(f"  warning: {warning}"))


def _cell(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    interval = "" if figure["low"] is None else f" [{figure['low']:.2f}, {figure['high']:.2f}]"
    return f"{figure['value']:.3f}{interval}"


@eval_app.command("protocol")
def eval_protocol(
    file: Annotated[Path, typer.Argument(help="A protocol as JSON or Markdown of any system, or a run folder.")],
    objective: Annotated[str, typer.Option(help="What the protocol is for, where the file does not say.")] = "",
    data: Annotated[
        list[str] | None, typer.Option("--known-data", help="A data set that you have verified; repeatable.")
    ] = None,
    tool: Annotated[list[str] | None, typer.Option("--known-tool", help="Likewise a tool; repeatable.")] = None,
    judge: Annotated[bool, typer.Option("--judge/--no-judge", help="Ask the model of the role judge as well.")] = False,
    samples: Annotated[int, typer.Option(min=1, max=10, help="Questions a metric, for --judge.")] = 3,
    config: Annotated[Path | None, typer.Option(help="labwright.toml to use, for --judge.")] = None,
    seed: Annotated[int, typer.Option(help="Orders the questions and their anchors.")] = 0,
    as_json: Json = False,
) -> None:
    """Score a protocol on five metrics, with the evidence for each point lost."""
    from dataclasses import replace

    from labwright.eval.protocol_facts import known
    from labwright.eval.protocol_file import read_protocol
    from labwright.eval.protocol_quality import quality
    from labwright.tools.catalogue.catalogue import all_cards

    reading = read_protocol(file)
    if objective:
        reading = replace(reading, objective=objective)
    judged = _judgements(reading, config, samples, seed) if judge else None
    result = {"file": file.name, **quality(reading, judged, known(all_cards(), data or (), tool or ()))}
    if as_json:
        emit(result)
    else:
        _show_quality(result)


def _judgements(reading: Reading, config: Path | None, samples: int, seed: int) -> dict[str, Judgement]:
    import tempfile

    from labwright.config import load_config
    from labwright.eval.protocol_judge import judge
    from labwright.models.calls import CallLog
    from labwright.workflows.backends import Backends

    with Screen() as screen, tempfile.TemporaryDirectory() as scratch:
        backends = Backends(load_config(config), screen.download, ("judge",))
        try:
            session = backends.session("judge", CallLog(Path(scratch) / "calls.sqlite"), seed)
            screen.say(f"judge: {session.backend}")
            return judge(session, reading, samples=samples)
        finally:
            backends.close()


def _show_quality(result: dict[str, Any]) -> None:
    typer.echo(f"{result['parts']} parts, {result['steps']} steps; 1 to 5, higher is better")
    columns = ("code", "judged", "together")
    rows = [
        (name.replace("_", " "), *("-" if m[c] is None else f"{m[c]:.2f}" for c in columns), len(m["evidence"]))
        for name, m in result["metrics"].items()
    ]
    means = ["-" if result["means"][c] is None else f"{result['means'][c]:.2f}" for c in columns]
    table(("metric", *columns, "faults"), [*rows, ("mean", *means, "")])
    for name, m in result["metrics"].items():
        for fault in m["evidence"]:
            line = f"  -{fault['points']:.2f} {name.replace('_', ' ')}, {fault['where']}: {fault['what']}"
            typer.echo(printable(line))
        for reason in {m["code_reason"], m["judged_reason"]} - {"", "no judge was asked"}:
            typer.echo(printable(f"  {name.replace('_', ' ')}: {reason}"))
    if all(m["judged_reason"] == "no judge was asked" for m in result["metrics"].values()):
        typer.echo("judged: no judge was asked; --judge asks the model of the role judge")


@eval_app.command("report")
def eval_report(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Id, start of an id, or folder; one or more.")],
    out: Out = Path("runs"),
    resamples: Annotated[int, typer.Option(min=1, max=100_000, help="Bootstrap resamples.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    as_json: Json = False,
) -> None:
    """Say how many analyses of finished runs succeeded, at each level, and how far they ran by themselves."""
    from labwright.errors import WrongUse
    from labwright.eval.run_figures import figures_of_run, over_runs, run_document
    from labwright.store import RunStore

    folders = [RunStore.open(out, name).folder for name in names]
    if twice := [folder.name for i, folder in enumerate(folders) if folder in folders[:i]]:
        raise WrongUse(f"run {twice[0]} is named twice; it would count twice")
    runs = [figures_of_run(folder) for folder in folders]
    whole = over_runs(runs, resamples, seed)
    if as_json:
        emit({"runs": [run_document(run) for run in runs], "over_runs": whole})
        return
    for run in runs:
        _show_run(run)
    for workflow, found in whole.items() if len(runs) > 1 else ():
        _show_runs(workflow, found)


def _show_run(run: RunFigures) -> None:
    from labwright.eval.automation import automation_rows
    from labwright.eval.run_figures import run_document

    typer.echo(printable(f"run {run.run}: {run.status}, workflow {run.workflow}"))
    levels = run_document(run)["levels"]
    rows = [(name.replace("_", " "), _of_steps(f), _cell(f)) for name, f in levels.items()]
    table(("level", "dry steps", "share [95 %]"), rows)
    for count, what in ((run.levels.skipped, "skipped"), (run.levels.not_run, "never run")):
        if count:
            typer.echo(f"  failed because {what}: {count}")
    table(("how far it ran by itself", ""), automation_rows(run.automation))
    for fault in run.faults:
        typer.echo(printable(f"  cannot be read: {fault}"))


def _of_steps(figure: dict[str, Any]) -> str:
    return f"{round(figure['value'] * figure['n'])} of {figure['n']}" if figure["n"] else "none planned"


def _show_runs(workflow: str, found: dict[str, Any]) -> None:
    n_objectives, n_runs, n_tasks = (found[name] for name in ("objectives", "runs", "tasks"))
    typer.echo(printable(f"workflow {workflow}: {n_objectives} objectives, {n_runs} runs, {n_tasks} dry steps"))
    rows = [(name.replace("_", " "), _cell(f["macro"]), _cell(f["micro"])) for name, f in found["levels"].items()]
    table(("level", "macro [95 %]", "micro [95 %]"), rows)
    done = found["automation"]
    acts = ", ".join(f"{kind} {n}" for kind, n in done["interventions"].items())
    typer.echo(f"  finished without human action: {done['unaided']} of {done['tasks']}; {acts}")
    typer.echo(f"  repairs: {done['repairs']}")
    typer.echo(f"  papers needing manual download: {done['manual_papers']} of {done['kept_papers']}")
