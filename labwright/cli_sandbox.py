"""Commands on the sandbox that analysis code runs in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labwright.cli_screen import Screen, emit, table

if TYPE_CHECKING:
    from labwright.config import SandboxConfig
    from labwright.sandbox.contract import Job, Limits

sandbox_app = typer.Typer(no_args_is_help=True, help="Where analysis code runs.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Runtime = Annotated[str | None, typer.Option(help="OCI runtime by its name in the engine, such as runsc.")]


@sandbox_app.command("build")
def sandbox_build() -> None:
    """Build the image that analyses run in, and list its parts in a bill of materials."""
    from labwright.sandbox.connect import build_image

    info, bill = build_image(lambda text: typer.echo(text, err=True))
    typer.echo(f"{info.tag} {info.id}")
    typer.echo(f"{bill.path} sha256:{bill.sha256}")


@sandbox_app.command("doctor")
def sandbox_doctor(runtime: Runtime = None, as_json: Json = False) -> None:
    """Prove every limit by running against it, and say what the engine offers; exit 4 when one does not hold."""
    from labwright.lease import compute_lease

    chosen = _chosen(runtime)
    with compute_lease(), Screen() as screen:
        if chosen.backend == "bubblewrap":
            from labwright.sandbox.connect import connect

            # The probe is all the proof that this backend has; what it leaves open is in the policy.
            emit(connect(chosen).policy())
        else:
            _prove(chosen, screen, as_json)


def _prove(chosen: SandboxConfig, screen: Screen, as_json: bool) -> None:
    from dataclasses import asdict

    from labwright.sandbox.connect import connect_engine
    from labwright.sandbox.doctor import examine

    sandbox = connect_engine(chosen.runtime)
    found = examine(sandbox, lambda o: screen.say(f"{'held' if o.held else 'NOT HELD'}  {o.name}"))
    holds = all(f.proven for f in found)
    if as_json:
        emit({"holds": holds, "limits": [asdict(f) for f in found], "policy": sandbox.policy()})
    else:
        rows = [(f.limit, f.asked, f.seen, "yes" if f.proven else "NO") for f in found]
        table(("limit", "asked", "seen", "proven"), rows)
        offered = {key.replace("_", " "): value for key, value in asdict(sandbox.engine).items() if key != "id"}
        table(("engine", ""), [(k, ", ".join(v) if isinstance(v, tuple) else v) for k, v in offered.items()])
    raise typer.Exit(0 if holds else 4)


def _chosen(runtime: str | None) -> SandboxConfig:
    """`[sandbox]` of the configuration, with the runtime of the command line before it."""
    from labwright.config import load_config

    return load_config(overrides={("sandbox", "runtime"): runtime}).sandbox


@sandbox_app.command("exec")
def sandbox_exec(
    scripts: Annotated[list[Path], typer.Argument(help="Python scripts, each a job of its own.")],
    inputs: Annotated[list[Path] | None, typer.Option("--input", help="File or folder under /in; repeatable.")] = None,
    out: Annotated[
        Path, typer.Option(help="Empty folder for the outputs; with several scripts, a folder in it for each.")
    ] = Path("sandbox-out"),
    runtime: Runtime = None,
) -> None:
    """Run Python scripts in the sandbox, as many at once as the machine carries."""
    from dataclasses import asdict

    from labwright.errors import WrongUse
    from labwright.lease import compute_lease
    from labwright.sandbox.connect import connect, limits_of, queue_for

    chosen = _chosen(runtime)
    jobs = {script.stem: _job(script, inputs or [], limits_of(chosen)) for script in scripts}
    if len(jobs) < len(scripts):
        raise WrongUse("two scripts have the same name, and so the same folder for their outputs; rename one")
    with compute_lease(), queue_for(connect(chosen)) as queue:
        lined_up = [queue.submit(job, out / name if len(jobs) > 1 else out) for name, job in jobs.items()]
        results = [future.result() for future in lined_up]
    told = [asdict(result) for result in results]
    emit(told[0] if len(told) == 1 else dict(zip(jobs, told, strict=True)))
    raise typer.Exit(0 if all(result.ok for result in results) else 1)


def _job(script: Path, inputs: list[Path], limits: Limits) -> Job:
    from labwright.errors import WrongUse
    from labwright.sandbox.contract import Job

    try:
        text = script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{script}: cannot be read as UTF-8 text: {error}") from error
    return Job(script=text, inputs={path.name: path.resolve() for path in inputs}, limits=limits, run_id=script.stem)


@sandbox_app.command("attack")
def sandbox_attack(
    only: Annotated[list[str] | None, typer.Argument(help="Names of attacks; all of them when none is given.")] = None,
    runtime: Runtime = None,
    as_json: Json = False,
) -> None:
    """Attack the sandbox from within and show what held; exit 1 when something went through or was left behind."""
    from dataclasses import asdict

    from labwright.lease import compute_lease
    from labwright.sandbox.attacks import leftovers, suite
    from labwright.sandbox.connect import connect_engine

    chosen = suite.chosen(only or ())
    with compute_lease(), Screen() as screen:
        sandbox = connect_engine(_chosen(runtime).runtime)
        outcomes = suite.run(sandbox, chosen, lambda o: screen.say(f"{'held' if o.held else 'NOT HELD'}  {o.name}"))
        left = leftovers.leftovers(sandbox)
    if as_json:
        emit({"policy": sandbox.policy(), "attacks": [asdict(o) for o in outcomes], "leftovers": left})
    else:
        rows = [(o.name, "held" if o.held else "NOT HELD", o.stopped_by, o.figure) for o in outcomes]
        table(("attack", "", "stopped by", "figure"), rows)
        typer.echo(f"{sum(o.held for o in outcomes)} of {len(outcomes)} held, {sandbox.policy()['isolation']}")
        typer.echo("left behind: " + ", ".join(f"{count} {kind}" for kind, count in left.items()))
    raise typer.Exit(0 if all(o.held for o in outcomes) and not any(left.values()) else 1)
