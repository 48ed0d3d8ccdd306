"""One-time links, sessions and forms: who asks, and whether a form is ours and new."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Literal

from labwright.errors import WrongUse
from labwright.web.ledger import Ledger, hashed
from labwright.web.settings import ROLES, Role

COOKIE = "labwright_session"
LINK_S = 3600.0
SESSION_S = 7 * 86400.0
FORM_S = 86400.0
Kind = Literal["link", "user", "proxy"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks."""

    name: str
    role: Role
    csrf: str
    """What forms of this session carry."""
    kind: Kind
    session: str = ""
    """Hash of the session; empty when a proxy says who asks."""

    def may(self, role: Role) -> bool:
        """Whether the visitor's role is `role` or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class Session:
    """What is kept of a session."""

    name: str
    kind: Kind
    csrf: str


class FormRefused(WrongUse):
    """A form that this session was not given, or that has been sent before."""


class Sessions:
    """Links, sessions and forms of one server."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._key = ledger.secret("forms").encode()

    def new_link(self) -> str:
        """A token that lets one browser in, once, within an hour."""
        token = secrets.token_urlsafe(24)
        self._ledger.write("delete from links where expires < ?", time.time())
        self._ledger.write("insert into links values (?, ?, null)", hashed(token), time.time() + LINK_S)
        return token

    def use_link(self, token: str) -> bool:
        """Use a token up; False when it is unknown, old or used."""
        at = time.time()
        statement = "update links set used = ? where hash = ? and used is null and expires > ?"
        return self._ledger.write(statement, at, hashed(token), at) == 1

    def begin(self, name: str, kind: Kind) -> str:
        """Begin a session; returns what the cookie holds."""
        token = secrets.token_urlsafe(32)
        self._ledger.write("delete from sessions where expires < ?", time.time())
        values = (hashed(token), name, kind, secrets.token_urlsafe(24), time.time() + SESSION_S)
        self._ledger.write("insert into sessions values (?, ?, ?, ?, ?)", *values)
        return token

    def find(self, token: str) -> Session | None:
        """The session of a cookie; None when it is unknown or over."""
        query = "select name, kind, csrf from sessions where hash = ? and expires > ?"
        rows = self._ledger.rows(query, hashed(token), time.time())
        return Session(*rows[0]) if rows else None

    def end(self, session: str) -> None:
        """End a session, given its hash."""
        self._ledger.write("delete from sessions where hash = ?", session)

    def csrf_of(self, name: str) -> str:
        """What the forms of somebody carry whom a proxy names."""
        return hmac.new(self._key, f"proxy {name}".encode(), hashlib.sha256).hexdigest()

    def new_form(self) -> str:
        """Id of a form that is to be sent once."""
        return secrets.token_urlsafe(18)

    def take_form(self, form: str) -> None:
        """Mark a form as sent; what it asks for is carried out once.

        Raises:
            FormRefused: it has been sent before; the message says where its result is.
        """
        if not 16 <= len(form) <= 64:
            raise FormRefused("this form has no id; open the page again and send it from there")
        self._ledger.write("delete from forms where at < ?", time.time() - FORM_S)
        if not self._ledger.write("insert or ignore into forms (id, at) values (?, ?)", form, time.time()):
            [(result,)] = self._ledger.rows("select result from forms where id = ?", form)
            raise FormRefused(
                f"this form was sent before and is not carried out twice{f'; see {result}' * bool(result)}"
            )

    def form_done(self, form: str, result: str) -> None:
        """Say where the result of a form is."""
        self._ledger.write("update forms set result = ? where id = ?", result, form)

    def form_failed(self, form: str) -> None:
        """Let a form that was refused be sent again, mended."""
        self._ledger.write("delete from forms where id = ? and result = ''", form)
