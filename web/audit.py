"""Who did what through the page, kept for owners; what happened to a run also stands in its own folder."""

from __future__ import annotations

from dataclasses import dataclass

from labwright.store import now
from labwright.web.ledger import Ledger

DETAIL_CHARS = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One act."""

    at: str
    who: str
    address: str
    act: str
    about: str
    """Id of a run, name of a user, or empty."""
    detail: str


class Audit:
    """The log; entries are added, never changed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(self, who: str, act: str, *, about: str = "", detail: str = "", address: str = "") -> None:
        """Keep one act; it is on the disk when this returns."""
        values = (now(), who, address, act, about, detail[:DETAIL_CHARS])
        self._ledger.write(
            "insert into audit (at, who, address, act, about, detail) values (?, ?, ?, ?, ?, ?)", *values
        )

    def newest(self, most: int = 500) -> list[Entry]:
        """The newest acts, newest first."""
        query = "select at, who, address, act, about, detail from audit order by id desc limit ?"
        return [Entry(*row) for row in self._ledger.rows(query, most)]
