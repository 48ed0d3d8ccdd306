"""The page of all benchmark figures beside their goals, and the summary that reports show; both made from the committed documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labwright.eval.goals import goal_of
from labwright.eval.suites.verify import FOLDER

SUMMARY = Path("eval/benchmark_summary.json")
HEAD = """\
# Benchmarks

Made by `labwright bench publish` from the documents in this folder; do not edit. Every figure is computed from the
rows in `raw/`, and `labwright bench verify SUITE` computes it again. Shares are in [0, 1]; an interval is the 95 %
bootstrap interval of the mean where the note says nothing else. A missed goal stays in the table.
"""


def page(folder: Path = FOLDER) -> str:
    """The Markdown page of every committed suite."""
    parts = [HEAD]
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        machine = document["machine"]
        parts.append(
            f"## {document['suite']}\n\n`{document['command']}`, {document['at']}, commit {document['commit'][:12]}, "
            f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB\n\n"
            "| figure | value | interval | unit | n | goal | met | note |\n|---|---|---|---|---|---|---|---|\n"
            + "\n".join(_row(f) for f in document["figures"])
            + "\n"
        )
    return "\n".join(parts)


def _row(figure: Mapping[str, Any]) -> str:
    goal = goal_of(figure["name"], figure["value"])
    interval = "" if figure["low"] is None else f"{figure['low']:g} to {figure['high']:g}"
    cells = (
        *(figure["name"], f"{figure['value']:g}", interval, figure["unit"], figure["n"]),
        *(goal.text, goal.met, figure["note"]),
    )
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def summary(folder: Path = FOLDER) -> str:
    """What reports say about the model against rules alone, as JSON; an empty object before it was measured."""
    path = folder / "run.json"
    if not path.is_file():
        return "{}\n"
    document = json.loads(path.read_text(encoding="utf-8"))
    found = next((f for f in document["figures"] if f["name"] == "model_over_rules_points"), None)
    if found is None or found["low"] is None:
        return "{}\n"
    points = {key: round(100 * found[key], 1) for key in ("value", "low", "high")}
    return json.dumps({found["name"]: {**points, "n": found["n"], "at": document["at"][:10]}}, indent=1) + "\n"


def publish(folder: Path = FOLDER) -> list[Path]:
    """Write the page and the summary; returns what was written."""
    (folder / "README.md").write_text(page(folder), encoding="utf-8")
    SUMMARY.write_text(summary(folder), encoding="utf-8")
    return [folder / "README.md", SUMMARY]
