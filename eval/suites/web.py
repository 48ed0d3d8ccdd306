"""`labwright bench web`: times, memory, accessibility, hostile texts, generated requests, kills, and a way through it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.eval.suites import web_api, web_browser, web_drive, web_kills, web_load
from labwright.eval.suites.document import document
from labwright.eval.suites.parts import command, refuse_unknown
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import RAW, Say
from labwright.eval.suites.web_figures import figures_of
from labwright.eval.suites.web_folder import Folder, fill
from labwright.eval.suites.web_payloads import payloads
from labwright.eval.suites.web_server import Server, served

PARTS = ("load", "browser", "api", "kills", "drive")
RUNS, VIEWERS, TIMES, KILLS, EXAMPLES = 500, 50, 60, 20, 60
QUICK_RUNS, QUICK_VIEWERS, QUICK_TIMES, QUICK_KILLS, QUICK_EXAMPLES = 60, 10, 10, 3, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _At:
    """What a part works with."""

    server: Server
    folder: Folder
    rows: Rows
    quick: bool
    pictures: Path | None
    say: Say


def measure(parts: Sequence[str], *, quick: bool, pictures: Path | None, say: Say) -> dict[str, Any]:
    """Measure the parts that are named; rows of the others are kept from before.

    Args:
        parts: any of `PARTS`.
        quick: 60 runs, 10 streams, 10 requests a page, 3 kills.
        pictures: folder for pictures of the pages, or None.
        say: shows progress.

    Raises:
        WrongUse: a part is unknown.
        SomethingMissing: the browser, its driver, or schemathesis is not there.
    """
    refuse_unknown(parts, PARTS)
    RAW.mkdir(parents=True, exist_ok=True)
    name = "web-quick" if quick else "web"
    rows = Rows(RAW / f"{name}.jsonl")
    kept = [row for row in rows.all() if row["kind"] not in _kinds(parts)]
    rows.path.unlink(missing_ok=True)
    for row in kept:
        rows.add(row["kind"], row["name"], {k: v for k, v in row.items() if k not in ("kind", "name")})
    with tempfile.TemporaryDirectory(prefix="labwright-web-") as scratch:
        folder = fill(Path(scratch) / "runs", QUICK_RUNS if quick else RUNS, max(5, os.cpu_count() or 1), payloads())
        with served(folder.runs, folder.live) as server:
            at = _At(server=server, folder=folder, rows=rows, quick=quick, pictures=pictures, say=say)
            for part in [part for part in PARTS if part in parts]:
                say(f"part {part}")
                _MEASURES[part](at)
    typed = command("web", () if set(parts) == set(PARTS) else parts, quick=quick)
    return document("web", typed, figures_of(rows.all(), f"docs/benchmarks/raw/{name}.jsonl"))


def _kinds(parts: Sequence[str]) -> set[str]:
    return {kind for part in parts for kind in _KINDS[part]}


_KINDS = {
    "load": ("page", "memory", "folder"),
    "browser": ("view", "payloads"),
    "api": ("api",),
    "kills": ("kill",),
    "drive": ("drive", "drive_view"),
}
"""Part to the rows that it leaves."""


def _load(at: _At) -> None:
    at.rows.add("folder", "folder", {"runs": len(at.folder.usual)})
    viewers, times = (QUICK_VIEWERS, QUICK_TIMES) if at.quick else (VIEWERS, TIMES)
    web_load.measure(at.server, at.folder, viewers, times, at.rows.add)


def _browser(at: _At) -> None:
    at.rows.add("payloads", "payloads", {"count": len(payloads())})
    pages = {name: where for name, where in web_load.pages_of(at.folder).items() if not name.startswith("api")}
    pages["protocol of 300 steps"] = f"/runs/{at.folder.long}/protocol"
    for name in ("", "protocol", "literature", "papers/one2001", "data", "facts"):
        pages[f"hostile {name.split('/')[0] or 'run'}"] = f"/runs/{at.folder.hostile}/{name}".rstrip("/")
    web_browser.measure(at.server, pages, at.rows.add, pictures=at.pictures, say=at.say)


def _api(at: _At) -> None:
    runs = {"made-up runs": "", "ended run": at.folder.usual[0], "waiting run": at.folder.hostile}
    web_api.measure(at.server, runs, QUICK_EXAMPLES if at.quick else EXAMPLES, at.rows.add)


def _kills(at: _At) -> None:
    web_kills.measure(at.server, at.folder, QUICK_KILLS if at.quick else KILLS, at.rows.add, at.say)


def _drive(at: _At) -> None:
    web_drive.measure(at.rows.add, pictures=at.pictures, say=at.say)


_MEASURES: dict[str, Callable[[_At], None]] = {
    "load": _load,
    "browser": _browser,
    "api": _api,
    "kills": _kills,
    "drive": _drive,
}
