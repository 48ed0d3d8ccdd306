"""What the routes of one server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import HTTPException, Request

from labwright.store import RUN_ID, RunStore
from labwright.web.accounts import Accounts
from labwright.web.audit import Audit
from labwright.web.dispatcher import Dispatcher
from labwright.web.gate import csrf_holds
from labwright.web.ledger import Ledger
from labwright.web.live import Watch
from labwright.web.run_list import RunList
from labwright.web.run_views import Views
from labwright.web.sessions import Sessions, Visitor
from labwright.web.settings import Role, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Settings, state and caches."""

    settings: Settings
    ledger: Ledger
    sessions: Sessions
    accounts: Accounts
    audit: Audit
    runs: RunList
    views: Views
    watch: Watch
    queue: Dispatcher

    @classmethod
    def open(cls, settings: Settings) -> Desk:
        """Open the state of a server.

        Raises:
            DiskFull, RunFailed: it cannot be written or read.
        """
        ledger, listed = Ledger(settings.state), RunList(settings.runs)
        return cls(
            settings=settings,
            ledger=ledger,
            sessions=Sessions(ledger),
            accounts=Accounts(ledger),
            audit=Audit(ledger),
            runs=listed,
            views=Views(),
            watch=Watch(),
            queue=Dispatcher(settings.runs, listed),
        )


def desk_of(request: Request) -> Desk:
    """The desk of the application that answers."""
    desk: Desk = request.app.state.desk
    return desk


def visitor_of(request: Request) -> Visitor:
    """Who asks; the gate lets nobody else through."""
    visitor: Visitor = request.state.visitor
    return visitor


def store_of(request: Request, run: str) -> RunStore:
    """The run of an address: an id and nothing else, so no path gets through.

    Raises:
        HTTPException: 404, there is no such run.
    """
    folder = desk_of(request).settings.runs / run
    if not RUN_ID.fullmatch(run) or not (folder / "record.json").is_file():
        raise HTTPException(404, f"no run {run[:40]!r} here")
    return RunStore(folder.resolve())


def must_be(role: Role) -> Callable[[Request], None]:
    """A dependency that lets a role and those above it through."""

    def check(request: Request) -> None:
        visitor = visitor_of(request)
        if not visitor.may(role):
            raise HTTPException(403, f"this takes the role {role}; {visitor.name} is {visitor.role}")

    return check


async def own_form(request: Request) -> None:
    """A dependency of every change: the form, or the header of an API call, carries the session's secret.

    Raises:
        HTTPException: 403, it does not.
    """
    given = request.headers.get("x-csrf-token", "")
    if not given and "form" in request.headers.get("content-type", ""):
        given = str((await request.form()).get("csrf", ""))
    if not csrf_holds(request, given):
        raise HTTPException(403, "the form is not of this session, or the session has ended; open the page again")
