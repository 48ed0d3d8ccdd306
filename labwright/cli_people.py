"""Commands of persons on a run: decide about its protocol, comment on it, pause or cancel it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labwright.cli_screen import Screen, emit, printable, table

if TYPE_CHECKING:
    from labwright.store import RunStore

Run = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or the start of it.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run folders.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]
RUNS = Path("runs")


def review(
    name: Run,
    approve: Annotated[bool, typer.Option("--approve", help="Go on with the protocol as it is.")] = False,
    edit: Annotated[Path | None, typer.Option(help="Go on with this edited protocol.json.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="With --edit: keep the edit and go on waiting.")] = False,
    send_back: Annotated[str, typer.Option(help="Have it designed again, with the reasons.")] = "",
    reject: Annotated[str, typer.Option(help="End the run, with the reason.")] = "",
    out: Out = RUNS,
    as_json: Json = False,
) -> None:
    """Decide about the protocol of a run that was started with --review."""
    from labwright.errors import WrongUse
    from labwright.store import RunStore, user_name
    from labwright.workflows import decisions

    if sum((approve, edit is not None, bool(send_back), bool(reject))) != 1:
        raise WrongUse("labwright review takes one of --approve, --edit FILE, --send-back TEXT and --reject TEXT")
    if hold and edit is None:
        raise WrongUse("--hold goes with --edit FILE")
    store, by = RunStore.open(out, name), user_name()
    if reject:
        decisions.reject(store, reject, by=by)
    elif send_back:
        decisions.send_back(store, send_back, by=by)
        _carry_on(store)
    else:
        if edit is not None:
            decisions.save_edit_file(store, edit, by=by)
        if not hold:
            if approve:
                decisions.approve(store, by=by)
            else:
                decisions.release(store)
            _carry_on(store)
    _show(store, as_json)


def comment(
    name: Run,
    text: Annotated[str, typer.Argument(help="The comment; without one, the comments are listed.")] = "",
    part: Annotated[str, typer.Option(help="Id of the part that it is about.")] = "",
    step: Annotated[str, typer.Option(help="Id of the step of that part.")] = "",
    settle: Annotated[str, typer.Option(metavar="ID", help="Say that this comment is dealt with.")] = "",
    out: Out = RUNS,
    as_json: Json = False,
) -> None:
    """Comment on a protocol, or list its comments."""
    from labwright.store import RunStore, user_name
    from labwright.workflows.comments import add_comment, comments, settle_comment

    store, by = RunStore.open(out, name), user_name()
    if settle:
        settle_comment(store, settle, by=by)
    if text:
        add_comment(store, text, part=part, step=step, by=by)
    found = comments(store)
    if as_json:
        emit([c.model_dump(mode="json") for c in found])
        return
    rows = [
        (c.id, c.at, c.by, " ".join((c.part, c.step)), "settled" if c.settled_at else "open", c.text) for c in found
    ]
    table(("id", "at", "by", "about", "state", "text"), rows)


def pause(name: Run, reason: Reason = "", out: Out = RUNS) -> None:
    """Stop a run that another process carries; `labwright resume` goes on."""
    from labwright.store import RunStore, user_name
    from labwright.workflows.stopping import ask_to_stop

    store = RunStore.open(out, name)
    ask_to_stop(store, "pause", by=user_name(), reason=reason)
    typer.echo(f"run {store.id} will stop; what is finished is kept")


def cancel(name: Run, reason: Reason = "", out: Out = RUNS) -> None:
    """End a run; what is finished is kept, and the report says that it was cancelled."""
    from labwright.store import RunStore, user_name
    from labwright.workflows.stopping import ask_to_stop

    store = RunStore.open(out, name)
    ask_to_stop(store, "cancel", by=user_name(), reason=reason)
    typer.echo(f"run {store.id} will end; what is finished is kept")


def _carry_on(store: RunStore) -> None:
    from labwright.workflows.control import Options, resume

    with Screen() as screen:
        resume(store, Options(say=screen.say, on_stage=screen.on_stage, progress=screen.download))


def _show(store: RunStore, as_json: bool) -> None:
    from labwright.store import described

    record = store.record()
    if as_json:
        emit(described(store))
    else:
        typer.echo(printable(f"run {record.id}: {record.status}{': ' + record.message if record.message else ''}"))
