"""What every request goes through: host, size, session, origin; and the headers of every answer.

Covered: other web sites that make a browser send requests (Host and Origin are compared, forms carry the session's
secret), frames, scripts and styles in what strangers wrote (the policy allows own files only), large and slow
bodies. Not covered: another user of this machine who can read this user's files.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labwright.web.accounts import Accounts
from labwright.web.ledger import hashed
from labwright.web.sessions import COOKIE, Sessions, Visitor
from labwright.web.settings import Role, Settings

OPEN = ("/static/", "/enter", "/login", "/health")
"""What is answered without a session."""
UPLOADS = ("/runs", "/api/uploads")
READ_S = 30.0
"""A piece of a body has to come within so many seconds."""
SAFE = ("GET", "HEAD", "OPTIONS")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class TooSlow(Exception):
    """A body that does not come."""


class TooLarge(Exception):
    """A body above the limit."""


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings, sessions: Sessions, accounts: Accounts) -> None:
        self._app, self._settings = app, settings
        self._sessions, self._accounts = sessions, accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sender = _with_headers(send, scope["path"])
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, sender)
            return
        began = False

        async def told(message: Message) -> None:
            nonlocal began
            began = True
            await sender(message)

        try:
            await self._app(scope, _limited(receive, self._most(scope)), told)
        except (TooLarge, TooSlow) as error:
            if not began:
                status = 413 if isinstance(error, TooLarge) else 408
                await refused(scope["path"], str(error), status)(scope, receive, sender)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path = scope["path"]
        host = headers.get("host", "").rsplit(":", 1)[0] if "]" not in headers.get("host", "") else _bracketed(headers)
        if host.lower() not in self._settings.names:
            return PlainTextResponse("this server does not go by that name; see `labwright serve --name`\n", 400)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._most(scope):
            return refused(path, f"more than {self._most(scope) // 2**20} MiB are not taken here", 413)
        if scope["method"] not in SAFE and not _same_origin(headers):
            return refused(path, "the request comes from another web site", 403)
        if path.startswith(OPEN):
            return None
        visitor = self.visitor(scope, headers)
        if visitor is None:
            return self._stranger(path)
        scope.setdefault("state", {})["visitor"] = visitor
        return None

    def visitor(self, scope: Scope, headers: Headers) -> Visitor | None:
        """Who asks; None when nobody says so credibly."""
        proxy = self._settings.proxy
        if proxy is not None:
            name = headers.get(proxy.header, "").strip()
            if not name or (scope.get("client") or ("",))[0] != proxy.address:
                return None
            role = self._accounts.role(name) or proxy.role
            return Visitor(name[:64], role, self._sessions.csrf_of(name), "proxy")
        token = _cookie(headers)
        session = self._sessions.find(token) if token else None
        if session is None:
            return None
        own = self._role(session.name, session.kind)
        return None if own is None else Visitor(session.name, own, session.csrf, session.kind, hashed(token))

    def _role(self, name: str, kind: str) -> Role | None:
        """Role of a session's holder now; a link counts while there are no accounts."""
        if kind == "link":
            return None if self._accounts.all() else "owner"
        return self._accounts.role(name)

    def _stranger(self, path: str) -> Response:
        if path.startswith("/api/"):
            return refused(path, "log in first; `labwright serve` prints the link", 401)
        return RedirectResponse("/login", 303)

    def _most(self, scope: Scope) -> int:
        uploads = scope["method"] == "POST" and scope["path"] in UPLOADS
        return self._settings.most_upload_bytes if uploads else self._settings.most_form_bytes


def refused(path: str, why: str, status: int) -> Response:
    """One clear line, in the form that the caller reads."""
    if path.startswith("/api/"):
        return JSONResponse({"error": why}, status)
    return PlainTextResponse(f"labwright: {why}\n", status)


def csrf_holds(request: Request, given: str) -> bool:
    """Whether a form or a request carries the secret of its session."""
    visitor: Visitor = request.state.visitor
    return hmac.compare_digest(given.encode(), visitor.csrf.encode())


def _bracketed(headers: Headers) -> str:
    return headers["host"].split("]")[0] + "]"


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _same_origin(headers: Headers) -> bool:
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    return origin is None or origin.split("://", 1)[-1].lower() == headers.get("host", "").lower()


def _limited(receive: Receive, most: int) -> Receive:
    taken = 0
    whole = False

    async def limited() -> Message:
        nonlocal taken, whole
        if whole:  # the body is there; what comes now is the end of the connection, whenever that is
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), READ_S)
        except TimeoutError as error:
            raise TooSlow(f"nothing came for {READ_S:g} s; send it again") from error
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if taken > most:
                raise TooLarge(f"more than {most // 2**20} MiB are not taken here")
        return message

    return limited


def _with_headers(send: Send, path: str) -> Send:
    async def sender(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if path.startswith("/static/"):
                headers["Cache-Control"] = "no-cache"
        await send(message)

    return sender
