"""The literature that was read already, on its way to the machines of a cluster and back."""

from __future__ import annotations

from pathlib import Path

from labwright.eval.suites.rows import Rows
from labwright.eval.suites.shared_literature import FILE as LITERATURE


def hand_literature(shared: Path) -> None:
    """Give the machines of a cluster the literature that was read already; it is looked for below `shared`."""
    _copy_rows(LITERATURE, shared / LITERATURE)


def fetch_literature(shared: Path) -> None:
    """Take over the literature that workers read."""
    _copy_rows(shared / LITERATURE, LITERATURE)


def _copy_rows(source: Path, target: Path) -> None:
    found = Rows(source).all()
    if found:
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = Rows(target)
        for row in found:
            rows.put_once(row)
