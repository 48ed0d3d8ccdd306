"""Coming in: the one-time link, the login, the way out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from labwright.web.desk import desk_of, own_form, visitor_of
from labwright.web.pages import page
from labwright.web.sessions import COOKIE, SESSION_S, Kind

router = APIRouter(include_in_schema=False)


@router.get("/enter")
def enter(request: Request, token: str = "") -> Response:
    """Take the one-time link and begin a session."""
    desk = desk_of(request)
    if desk.accounts.all() or not desk.sessions.use_link(token):
        desk.audit.add("", "link refused", address=_address(request))
        why = "This link is unknown, older than an hour, or used. `labwright serve --link` makes another one."
        return page(request, "login.html", code=403, why=why, users=bool(desk.accounts.all()))
    return _let_in(request, desk.settings.user, "link")


@router.get("/login")
def login(request: Request) -> Response:
    """The form to log in with, or where the link comes from."""
    return page(request, "login.html", why="", users=bool(desk_of(request).accounts.all()))


@router.post("/login")
def log_in(request: Request, name: Annotated[str, Form()] = "", password: Annotated[str, Form()] = "") -> Response:
    """Begin a session of a named user."""
    desk = desk_of(request)
    if not desk.accounts.check(name, password, _address(request)):
        desk.audit.add(name[:64], "login refused", address=_address(request))
        return page(request, "login.html", code=403, why="Name or password is wrong.", users=True)
    return _let_in(request, name, "user")


@router.post("/logout", dependencies=[Depends(own_form)])
def log_out(request: Request) -> Response:
    """End the session."""
    desk, visitor = desk_of(request), visitor_of(request)
    desk.sessions.end(visitor.session)
    desk.audit.add(visitor.name, "logged out", address=_address(request))
    gone = RedirectResponse("/login", 303)
    gone.delete_cookie(COOKIE)
    return gone


def _let_in(request: Request, name: str, kind: Kind) -> Response:
    desk = desk_of(request)
    token = desk.sessions.begin(name, kind)
    desk.audit.add(name, "logged in", detail=kind, address=_address(request))
    answer = RedirectResponse("/runs", 303)
    secure = desk.settings.https
    answer.set_cookie(COOKIE, token, max_age=int(SESSION_S), httponly=True, samesite="strict", secure=secure)
    return answer


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
