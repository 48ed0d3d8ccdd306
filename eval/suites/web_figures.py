"""From rows to the figures of `labwright bench web`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from labwright.eval.suites.figures import Row, figure


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured is absent."""
    made = [*_pages(rows), *_browser(rows), *_api(rows), *_kills(rows), *_drive(rows)]
    return [{**one, "raw": raw} for one in made]


def p95(values: Sequence[float]) -> float:
    """The 95th percentile by the nearest rank: the smallest value that 95 % do not exceed.

    Example:
        >>> p95([float(n) for n in range(1, 101)])
        95.0
    """
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind]


def _pages(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found = []
    if pages := _of(rows, "page"):
        by = {row["name"]: p95(row["ms"]) for row in pages}
        worst = max(by, key=lambda name: by[name])
        n = sum(len(row["ms"]) for row in pages)
        [about] = _of(rows, "folder") or [{"runs": 0}]
        note = (
            f"of the slowest kind of page, {worst}, among {len(by)}; {about['runs']} runs, "
            f"{min(row['viewers'] for row in pages)} open streams; over all requests {p95([t for r in pages for t in r['ms']]):.1f}"
        )
        found.append(figure("page_p95_ms", by[worst], "ms", n, note=note))
    if memory := _of(rows, "memory"):
        found.append(
            figure("server_memory_mib", max(row["mib"] for row in memory), "MiB", len(memory), note="resident")
        )
    return found


def _browser(rows: Sequence[Row]) -> list[dict[str, Any]]:
    views = [*_of(rows, "view"), *_of(rows, "drive_view")]
    if not views:
        return []
    found = []
    if long := [row["load_ms"] for row in views if row["name"].startswith("protocol of 300 steps")]:
        found.append(
            figure(
                "protocol300_open_ms",
                max(long),
                "ms",
                len(long),
                note="until the load event in Chromium, slowest of its views",
            )
        )
    sums = {
        "axe_serious": [len(row["axe"]) for row in views],
        "console_errors": [len(row["console"]) for row in views],
        "outside_requests": [len(row["outside"]) for row in views],
    }
    found += [
        figure(name, sum(counts), "findings", len(views), note="over pages and sizes") for name, counts in sums.items()
    ]
    hostile = [row for row in views if row["name"].startswith("hostile")]
    payloads = _of(rows, "payloads")
    if hostile and payloads:
        note = f"pages on which one of {payloads[0]['count']} hostile texts ran"
        found.append(figure("payloads_run", sum(row["ran"] for row in hostile), "pages", len(hostile), note=note))
    return found


def _drive(rows: Sequence[Row]) -> list[dict[str, Any]]:
    steps = _of(rows, "drive")
    if not steps:
        return []
    each = ", ".join(
        f"{row['name']} {row['seconds']:.0f} s" + f" FAILED: {row['fault']}" * (not row["done"]) for row in steps
    )
    note = f"in Chromium, from the form to the archive, on a run with SmolLM2-135M and the engine: {each}"
    return [figure("drive_steps_failed", sum(not row["done"] for row in steps), "steps", len(steps), note=note)]


def _api(rows: Sequence[Row]) -> list[dict[str, Any]]:
    tried = _of(rows, "api")
    if not tried:
        return []
    failed = {name for row in tried for name in row["failed"]}
    note = f"of schemathesis, up to {tried[0]['examples']} requests each, on {', '.join(row['name'] for row in tried)}"
    return [figure("api_server_errors", len(failed), "operations", tried[0]["operations"], note=note)]


def _kills(rows: Sequence[Row]) -> list[dict[str, Any]]:
    kills = _of(rows, "kill")
    if not kills:
        return []
    lost = {name for row in kills for name in row["lost"]}
    note = f"of {kills[-1]['confirmed']} comments, edits and runs that were confirmed; n is the number of kills"
    return [figure("confirmed_lost", len(lost), "writes", len(kills), note=note)]
