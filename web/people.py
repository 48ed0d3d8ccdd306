"""Users and the log of what was done; for owners."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from labwright.web.desk import desk_of, must_be, own_form, visitor_of
from labwright.web.pages import page
from labwright.web.settings import ROLES

router = APIRouter(include_in_schema=False, dependencies=[Depends(must_be("owner"))])
Field = Annotated[str, Form()]


@router.get("/users")
def users(request: Request) -> Response:
    """The users, and who did what."""
    desk = desk_of(request)
    return page(request, "users.html", users=desk.accounts.all(), entries=desk.audit.newest(200), roles=ROLES)


@router.post("/users", dependencies=[Depends(own_form)])
def add(request: Request, name: Field = "", password: Field = "", role: Field = "reader") -> Response:
    """Add a user."""
    desk = desk_of(request)
    desk.accounts.add(name, password, role)
    return _done(request, "added a user", name, role)


@router.post("/users/{name}/change", dependencies=[Depends(own_form)])
def change(request: Request, name: str, role: Field = "", password: Field = "") -> Response:
    """Give a user another role, or another password, which ends the user's sessions."""
    desk_of(request).accounts.change(name, role=role or None, password=password or None)
    return _done(request, "changed a user", name, role + (" password" if password else ""))


@router.post("/users/{name}/remove", dependencies=[Depends(own_form)])
def remove(request: Request, name: str) -> Response:
    """Take a user out."""
    desk_of(request).accounts.remove(name)
    return _done(request, "removed a user", name, "")


def _done(request: Request, act: str, about: str, detail: str) -> Response:
    desk_of(request).audit.add(visitor_of(request).name, act, about=about, detail=detail)
    return RedirectResponse("/users", 303)
