"""Commands of the web page: serving it, and its users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labwright.cli_screen import emit, printable, table

if TYPE_CHECKING:
    from labwright.web.accounts import Accounts
    from labwright.web.ledger import Ledger

users_app = typer.Typer(no_args_is_help=True, help="Named users of the web page.")
Out = Annotated[Path, typer.Option("--out", help="Folder of the run folders.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
RoleOf = Annotated[str, typer.Option("--role", help="reader, reviewer or owner.")]
RUNS = Path("runs")
ALL_PARTS = "load,browser,api,kills,drive"


def serve(
    out: Out = RUNS,
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback need accounts.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = 8765,
    config: Annotated[Path | None, typer.Option(help="labwright.toml that runs are started with.")] = None,
    names: Annotated[
        list[str] | None, typer.Option("--name", help="Further host name of the page; repeatable.")
    ] = None,
    https: Annotated[bool, typer.Option("--https", help="A proxy serves the page through HTTPS.")] = False,
    proxy_header: Annotated[str, typer.Option(help="Header in which a reverse proxy says who asks.")] = "",
    proxy_from: Annotated[str, typer.Option(help="Address that the proxy connects from.")] = "",
    proxy_role: Annotated[str, typer.Option(help="Role of a name without an account.")] = "reader",
    benchmarks: Annotated[Path, typer.Option(help="Folder of benchmark documents.")] = Path("docs/benchmarks"),
    link: Annotated[bool, typer.Option("--link", help="Print another one-time link for the running server.")] = False,
) -> None:
    """Serve the web page: submit an objective, watch it, review the protocol, read the results."""
    from labwright.errors import WrongUse
    from labwright.models.extras import require

    require("web", "labwright serve")
    from labwright.web.desk import Desk
    from labwright.web.serving import entry
    from labwright.web.serving import serve as listen
    from labwright.web.settings import ROLES, Proxy, Settings

    if bool(proxy_header) != bool(proxy_from):
        raise WrongUse("--proxy-header and --proxy-from go together: the header of anybody else is not believed")
    if proxy_role not in ROLES:
        raise WrongUse(f"--proxy-role {proxy_role!r}: one of {', '.join(ROLES)}")
    settings = Settings(
        runs=out.resolve(),
        config=config.resolve() if config is not None else None,
        benchmarks=benchmarks.resolve(),
        host=host,
        port=port,
        hosts=tuple(names or ()),
        https=https,
        proxy=Proxy(header=proxy_header, address=proxy_from, role=proxy_role) if proxy_header else None,
    )
    if link:
        typer.echo(entry(Desk.open(settings), port))
        return
    listen(settings, lambda address: typer.echo(f"labwright serves {out} at {address}", err=True))


@users_app.command("list")
def users_list(out: Out = RUNS, as_json: Json = False) -> None:
    """List the users and their roles."""
    rows = [(account.name, account.role, account.made_at) for account in _accounts(out).all()]
    if as_json:
        emit([dict(zip(("name", "role", "made_at"), row, strict=True)) for row in rows])
    else:
        table(("name", "role", "made"), rows)


@users_app.command("add")
def users_add(name: str, role: RoleOf = "reader", out: Out = RUNS) -> None:
    """Add a user; asks for the password, or reads it from standard input."""
    _accounts(out).add(name, _password(), role)
    typer.echo(f"{printable(name)} is {role}")


@users_app.command("change")
def users_change(
    name: str,
    role: RoleOf = "",
    password: Annotated[bool, typer.Option("--password", help="Ask for another password; ends the sessions.")] = False,
    out: Out = RUNS,
) -> None:
    """Give a user another role or password."""
    from labwright.errors import WrongUse

    if not role and not password:
        raise WrongUse("labwright users change takes --role ROLE or --password")
    accounts = _accounts(out)
    accounts.change(name, role=role or None, password=_password() if password else None)
    typer.echo(f"{printable(name)} is {accounts.role(name)}")


@users_app.command("remove")
def users_remove(name: str, out: Out = RUNS) -> None:
    """Take a user out; the sessions end."""
    _accounts(out).remove(name)
    typer.echo(f"{printable(name)} is gone")


@users_app.command("audit")
def users_audit(
    out: Out = RUNS, most: Annotated[int, typer.Option(min=1, max=100_000)] = 100, as_json: Json = False
) -> None:
    """Show who did what through the page, newest first."""
    from dataclasses import asdict

    from labwright.web.audit import Audit

    entries = Audit(_ledger(out)).newest(most)
    if as_json:
        emit([asdict(entry) for entry in entries])
    else:
        rows = [(e.at, e.who, e.act, e.about, e.detail) for e in entries]
        table(("at", "who", "act", "about", "detail"), rows)


def _ledger(out: Path) -> Ledger:
    from labwright.models.extras import require

    require("web", "labwright users")
    from labwright.web.ledger import Ledger

    return Ledger(out.resolve() / ".web")


def _accounts(out: Path) -> Accounts:
    ledger = _ledger(out)
    from labwright.web.accounts import Accounts

    return Accounts(ledger)


def _password() -> str:
    import sys

    if sys.stdin.isatty():
        return str(typer.prompt("password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


def bench_web(
    parts: Annotated[str, typer.Option(help="Any of load, browser, api, kills, drive.", metavar="A,B")] = ALL_PARTS,
    quick: Annotated[bool, typer.Option("--quick", help="60 runs, 10 streams, 3 kills.")] = False,
    pictures: Annotated[Path | None, typer.Option(help="Folder for pictures of the pages.")] = None,
    as_json: Json = False,
) -> None:
    """Measure the page: times, memory, accessibility, hostile texts, generated requests, kills, a way through it."""
    from labwright.models.extras import require

    require("web", "labwright bench web")
    from labwright.cli_resources import show_figures
    from labwright.cli_screen import Screen
    from labwright.eval.suites.web import measure

    with Screen() as screen:
        show_figures(measure(parts.split(","), quick=quick, pictures=pictures, say=screen.say), as_json)
