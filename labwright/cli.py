"""The command `labwright`. Heavy modules are imported inside the commands that need them.

Logs and progress go to stderr; stdout holds the result, with --json one JSON document and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from labwright.cli_compared import check_run, show_difference
from labwright.cli_corpus import corpus_app
from labwright.cli_ensemble import ensemble_app
from labwright.cli_eval import eval_app
from labwright.cli_evidence import evidence, quote
from labwright.cli_fusion import bench_fusion, fuse, merge
from labwright.cli_models import models_app
from labwright.cli_objectives import bench_objectives
from labwright.cli_people import cancel, comment, pause, review
from labwright.cli_privacy import privacy_app
from labwright.cli_resources import bench_app, datasets_app
from labwright.cli_safety import attack, bench_safety, harden
from labwright.cli_sandbox import sandbox_app
from labwright.cli_screen import Screen, emit, printable, table
from labwright.cli_stack import bench_stack, build
from labwright.cli_steering import steer_app
from labwright.cli_summary import draft, summary
from labwright.cli_training import align
from labwright.cli_vision import bench_vision
from labwright.cli_web import bench_web, serve, users_app
from labwright.errors import LabwrightError
from labwright.interrupts import heed_signals

if TYPE_CHECKING:
    from labwright.store import RunStore
    from labwright.workflows.control import Options

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(corpus_app, name="corpus")
app.add_typer(datasets_app, name="datasets")
app.add_typer(models_app, name="models")
app.add_typer(sandbox_app, name="sandbox")
app.add_typer(bench_app, name="bench")
app.add_typer(eval_app, name="eval")
app.command()(evidence)
bench_app.command("objectives")(bench_objectives)
bench_app.command("fusion")(bench_fusion)
bench_app.command("safety")(bench_safety)
bench_app.command("vision")(bench_vision)
bench_app.command("stack")(bench_stack)
bench_app.command("web")(bench_web)
models_app.add_typer(ensemble_app, name="ensemble")
ensemble_app.command("draft")(draft)
ensemble_app.command("summary")(summary)
models_app.command("fuse")(fuse)
models_app.command("merge")(merge)
models_app.command("align")(align)
models_app.command("attack")(attack)
models_app.command("harden")(harden)
models_app.add_typer(steer_app, name="steer")
models_app.command("build")(build)
app.command()(quote)
for act in (review, comment, pause, cancel):
    app.command()(act)
app.command()(serve)
app.add_typer(users_app, name="users")
app.add_typer(privacy_app, name="privacy")

Out = Annotated[Path, typer.Option("--out", help="Folder of the run folders.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
RUNS = Path("runs")
INTERRUPTED = 130


@app.command()
def run(
    objective: Annotated[str, typer.Argument(help="The research question; @FILE reads it from a file.")],
    conditions: Annotated[str, typer.Option(help="Samples, data, money and compute at hand.")] = "",
    requirements: Annotated[str, typer.Option(help="Hard constraints.")] = "",
    config: Annotated[Path | None, typer.Option(help="labwright.toml to use.")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="Picture to read; its legend is the .txt beside it. Repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Permutes options and samples text.")] = 0,
    review: Annotated[bool, typer.Option("--review", help="Stop after the design, for a person.")] = False,
    budget_tokens: Annotated[int | None, typer.Option(help="Stop after so many tokens.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Begin nothing; say what is missing and what such runs took here.")
    ] = False,
    workflow: Annotated[
        str, typer.Option(help="labwright, or one to compare with: rules_only, one_shot, react and others.")
    ] = "labwright",
    out: Out = RUNS,
    as_json: Json = False,
) -> None:
    """Take an objective to a protocol, executed analyses and a report."""
    from labwright.config import load_config
    from labwright.domain import Objective
    from labwright.errors import WrongUse
    from labwright.store import user_name
    from labwright.workflows.baselines import WORKFLOWS
    from labwright.workflows.control import Options, start
    from labwright.workflows.pictures import given

    if workflow not in WORKFLOWS:
        raise WrongUse(f"--workflow {workflow!r}: one of {', '.join(WORKFLOWS)}")
    loaded = load_config(config, overrides={("budget", "tokens"): budget_tokens})
    asked = Objective(text=_text(objective), conditions=conditions, requirements=requirements)
    with Screen() as screen:  # what a run would refuse is refused by a check in the same words
        pictures = tuple(given(image or [], loaded, screen.download))
    if check:
        check_run(loaded, workflow, out, as_json)
        return
    with Screen() as screen:
        options = Options(
            by=user_name(),
            seed=seed,
            review=review,
            workflow=workflow,
            pictures=pictures,
            say=screen.say,
            on_stage=screen.on_stage,
            progress=screen.download,
        )
        store = start(asked, loaded, out, options)
    _result(store, as_json)


def _text(argument: str) -> str:
    from labwright.errors import WrongUse

    if not argument.startswith("@"):
        return argument
    try:
        return Path(argument[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{argument[1:]}: cannot be read as UTF-8 text: {error}") from error


@app.command()
def resume(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or the start of it.")],
    budget_tokens: Annotated[int | None, typer.Option(help="New limit on tokens.")] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="New limit on seconds.")] = None,
    only_queued: Annotated[bool, typer.Option("--only-queued", help="Leave it alone unless it is queued.")] = False,
    out: Out = RUNS,
    as_json: Json = False,
) -> None:
    """Carry a stopped run on; nothing that was finished is done again."""
    from labwright.workflows import control

    store = _open(out, name)
    budget: dict[str, float | None] = {"tokens": budget_tokens, "seconds": budget_seconds}
    _with_screen(lambda options: control.resume(store, options, budget=budget, only_queued=only_queued))
    _result(store, as_json)


@app.command()
def runs(out: Out = RUNS, as_json: Json = False) -> None:
    """List the runs."""
    from labwright.store import list_runs

    records = list_runs(out)
    if as_json:
        emit([r.model_dump(mode="json") for r in records])
        return
    rows = [
        (
            r.id,
            r.status,
            f"{sum(v == 3 for v in r.tasks.values())}/{len(r.tasks)}",
            f"{r.seconds:.0f}",
            r.objective.text[:60],
        )
        for r in records
    ]
    table(("run", "status", "level 3", "seconds", "objective"), rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="RUN")],
    archive: Annotated[Path | None, typer.Option(metavar="FILE.zip", help="Also write everything into it.")] = None,
    against: Annotated[str, typer.Option(metavar="RUN", help="Show what differs from this run.")] = "",
    out: Out = RUNS,
    as_json: Json = False,
) -> None:
    """Show one run: how it ended, its tasks, where the report is."""
    store = _open(out, name)
    if archive is not None:
        from labwright.workflows.archive import write_archive

        with archive.open("wb") as stream:
            write_archive(store, stream)
    if against:
        show_difference(store, _open(out, against), as_json)
    else:
        _result(store, as_json)


@app.command()
def search(
    query: str,
    source: Annotated[
        list[str] | None, typer.Option(help="embedded, pubmed, pmc, europepmc or a corpus; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 10,
    as_json: Json = False,
) -> None:
    """Search the literature."""
    from labwright.config import cache_dir, load_config
    from labwright.models.embedding import CachedEncoder
    from labwright.tools.sources import deduplicate
    from labwright.workflows.literature_sources import check_retractions, open_sources

    def note(text: str) -> None:
        typer.echo(text, err=True)

    names = source or ["embedded"]
    encode = CachedEncoder(cache_dir() / "embeddings.sqlite")
    opened = open_sources(names, encode, load_config().index, note)
    found = deduplicate([p for s in opened for p in s.search(query, limit)])[:limit]
    papers = check_retractions(found, names, note)
    if as_json:
        emit([p.model_dump(mode="json") for p in papers])
    else:
        rows = [(p.id, p.year or "", p.retraction.words, p.title) for p in papers]
        table(("id", "year", "retraction", "title"), rows)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is here and what is missing, with the command that supplies it."""
    from labwright.config import load_config
    from labwright.workflows.doctor import findings

    found = findings(load_config().sandbox)
    if as_json:
        emit(found)
    else:
        table(("part", "state", "detail"), [(f["part"], f["state"], f["detail"]) for f in found])
    if any(f["state"] == "missing" for f in found):
        raise typer.Exit(4)


def _open(out: Path, name: str) -> RunStore:
    from labwright.store import RunStore

    return RunStore.open(out, name)


def _with_screen(work: Callable[[Options], None]) -> None:
    from labwright.workflows.control import Options

    with Screen() as screen:
        work(Options(say=screen.say, on_stage=screen.on_stage, progress=screen.download))


def _result(store: RunStore, as_json: bool) -> None:
    from labwright.store import described

    if as_json:
        emit(described(store))
        return
    record, report = store.record(), store.folder / "report.html"
    typer.echo(printable(f"run {record.id}: {record.status}{': ' + record.message if record.message else ''}"))
    for task, level in record.tasks.items():
        typer.echo(printable(f"  {task}: level {level} of 3"))
    typer.echo(
        f"  {record.seconds:.0f} s, {record.evaluated_tokens} prompt tokens evaluated, "
        f"{record.generated_tokens} generated, {record.calls} calls"
    )
    if record.status == "waiting_for_review":
        typer.echo(f"  read {store.folder / 'protocol.md'}, then `labwright review {record.id} --approve`")
    typer.echo(f"  report: {report}")


def main() -> None:
    """Entry point: errors become one line and the exit code of their class."""
    heed_signals()
    try:
        # Without its standalone mode, click returns the code of an Exit, and of an interrupt, and raises the rest.
        code = app(standalone_mode=False) or 0
    except LabwrightError as error:
        typer.echo(printable(f"labwright: {error}"), err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        typer.echo(printable(f"labwright: {error.filename or 'the machine'}: {error.strerror or error}"), err=True)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  (the process edge)
        _click_error(error)
    if code == INTERRUPTED:
        typer.echo("labwright: interrupted; what was finished is saved", err=True)
    sys.exit(code)


def _click_error(error: Exception) -> NoReturn:
    show = getattr(error, "format_message", None)
    if show is None:
        raise error
    typer.echo(printable(f"labwright: {show().rstrip('.')}; see `labwright --help`"), err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
