"""Named users with a role and a hashed password (Argon2id, argon2-cffi's defaults)."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from labwright.errors import WrongUse
from labwright.store import now
from labwright.web.ledger import Ledger
from labwright.web.settings import ROLES, Role

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
SHORTEST, LONGEST = 10, 512
FAILURES, WITHIN_S = 5, 900.0


class TooManyFailures(WrongUse):
    """A name or an address failed to log in too often."""


@dataclass(frozen=True, slots=True)
class Account:
    """One user."""

    name: str
    role: Role
    made_at: str


class Accounts:
    """The users of one server."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._hasher = PasswordHasher()
        self._one = threading.Lock()  # a check takes 64 MiB; a flood of them must not take that many times over
        self._failures: dict[str, list[float]] = {}
        self._nobody = ""

    def all(self) -> list[Account]:
        """Every user, by name."""
        rows = self._ledger.rows("select name, role, made_at from users order by name")
        return [Account(*row) for row in rows]

    def role(self, name: str) -> Role | None:
        """Role of a user; None for a name without an account."""
        rows = self._ledger.rows("select role from users where name = ?", name)
        return cast("Role", rows[0][0]) if rows else None

    def add(self, name: str, password: str, role: str) -> None:
        """Add a user.

        Raises:
            WrongUse: the name is taken or no name, the password is too short or long, the role is none.
        """
        if not NAME.fullmatch(name):
            raise WrongUse(f"{name!r}: a user's name has up to 64 letters, digits and . _ @ + -")
        if role not in ROLES:
            raise WrongUse(f"{role!r}: a role is one of {', '.join(ROLES)}")
        if role != "owner" and not self.all():
            raise WrongUse("the first user is an owner: from then on nobody comes in by link")
        hash_ = self._hashed(password)
        if not self._ledger.write("insert or ignore into users values (?, ?, ?, ?)", name, hash_, role, now()):
            raise WrongUse(f"there is a user {name} already; see `labwright users list`")

    def change(self, name: str, *, password: str | None = None, role: str | None = None) -> None:
        """Give a user another password or role; another password ends the user's sessions.

        Raises:
            WrongUse: there is no such user or role, the password is too short or long, or nobody would be owner.
        """
        self._known(name)
        if role is not None:
            if role not in ROLES:
                raise WrongUse(f"{role!r}: a role is one of {', '.join(ROLES)}")
            self._keep_an_owner(name, role)
            self._ledger.write("update users set role = ? where name = ?", role, name)
        if password is not None:
            self._ledger.write("update users set password = ? where name = ?", self._hashed(password), name)
            self._ledger.write("delete from sessions where name = ?", name)

    def remove(self, name: str) -> None:
        """Take a user out, with all sessions.

        Raises:
            WrongUse: there is no such user, or nobody would be owner of the others.
        """
        self._known(name)
        if len(self.all()) > 1:
            self._keep_an_owner(name, "")
        self._ledger.write("delete from users where name = ?", name)
        self._ledger.write("delete from sessions where name = ?", name)

    def check(self, name: str, password: str, address: str) -> bool:
        """Whether this is the user's password.

        Raises:
            TooManyFailures: the name or the address has failed five times within a quarter of an hour.
        """
        for key in (f"name {name}", f"address {address}"):
            recent = [at for at in self._failures.get(key, []) if at > time.monotonic() - WITHIN_S]
            self._failures[key] = recent
            if len(recent) >= FAILURES:
                raise TooManyFailures("too many failed attempts; wait a quarter of an hour")
        rows = self._ledger.rows("select password from users where name = ?", name)
        with self._one:
            # A name that nobody has takes as long as one that somebody has.
            self._nobody = self._nobody or self._hasher.hash("nobody has this password")
            good = self._verified(str(rows[0][0]) if rows else self._nobody, password) and bool(rows)
        if not good:
            for key in (f"name {name}", f"address {address}"):
                self._failures[key].append(time.monotonic())
        return good

    def _verified(self, hash_: str, password: str) -> bool:
        try:
            return self._hasher.verify(hash_, password[:LONGEST])
        except (VerificationError, InvalidHashError):
            return False

    def _hashed(self, password: str) -> str:
        if not SHORTEST <= len(password) <= LONGEST:
            raise WrongUse(f"a password has {SHORTEST} to {LONGEST} characters")
        return self._hasher.hash(password)

    def _known(self, name: str) -> None:
        if self.role(name) is None:
            raise WrongUse(f"there is no user {name!r}; see `labwright users list`")

    def _keep_an_owner(self, name: str, role: str) -> None:
        owners = {account.name for account in self.all() if account.role == "owner"}
        if role != "owner" and owners == {name}:
            raise WrongUse(f"{name} is the only owner; make another one first")
