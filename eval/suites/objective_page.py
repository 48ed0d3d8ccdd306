"""What `labwright bench objectives --out` leaves in a folder: a page that opens offline, and the cells as CSV, JSON and parquet."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from labwright.errors import DiskFull
from labwright.eval.protocol_findings import METRICS
from labwright.eval.suites.cell_work import KIND
from labwright.eval.suites.figures import Row
from labwright.eval.suites.objective_comparison import share_of
from labwright.eval.suites.objective_judging import with_judgements
from labwright.eval.suites.objective_summary import models_of, report_of, summary
from labwright.store import now

PLAIN = (
    *("name", "objective", "field", "workflow", "model", "seed", "commit", "run", "status", "failed", "level3_gold"),
    *("repairs", "interventions", "calls_valid", "calls_total", "judge"),
    *("prompt_tokens_evaluated", "generated_tokens", "seconds", "usd", "model_share"),
)
"""Fields of a row that are one value."""


def flat(row: Row) -> dict[str, Any]:
    """A cell as one flat record: what the CSV and the parquet file hold."""
    share = share_of(row)
    record = {key: row[key] for key in PLAIN}
    record |= {"entries_met": share.hits, "entries": share.n}
    record |= {f"level{n}": row["levels"][n] for n in ("1", "2", "3")} | {"tasks": row["levels"]["n"]}
    for metric in METRICS:
        for points in ("code", "judged"):
            record[f"{metric}_{points}"] = row["quality"][metric][points] if row["quality"] else None
    return record


def write_results(rows: Sequence[Row], folder: Path, runs: Path, say: Callable[[str], None]) -> list[Path]:
    """Write objectives.json, .csv, .parquet and .html; returns what was written.

    Args:
        rows: raw rows.
        folder: made when it is not there.
        runs: folder of the run folders, for links.
        say: told when the parquet file cannot be written.

    Raises:
        DiskFull: the folder cannot be written.
    """
    rows = with_judgements(rows)
    cells = [r for r in rows if r["kind"] == KIND]
    texts = {
        "json": json.dumps([*cells], indent=1, ensure_ascii=False),
        "csv": cells_csv(cells),
        "html": page(rows, folder, runs),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / f"objectives.{end}" for end in texts]
        for path, text in zip(written, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        written += _parquet(cells, folder / "objectives.parquet", say)
    except OSError as error:
        raise DiskFull(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
    return written


def cells_csv(cells: Sequence[Row]) -> str:
    """The cells as CSV; a text that a spreadsheet would take for a formula is quoted with an apostrophe."""
    out = io.StringIO()
    if cells:
        writer = csv.DictWriter(out, [*flat(cells[0])], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _no_formula(value) for key, value in flat(row).items()} for row in cells)
    return out.getvalue()


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _parquet(cells: Sequence[Row], path: Path, say: Callable[[str], None]) -> list[Path]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        say("objectives.parquet is not written: pyarrow is not installed; `pip install 'labwright[parquet]'`")
        return []
    records = [flat(row) for row in cells]
    names = [*records[0]] if records else []
    columns = {name: [r[name] for r in records] for name in names}
    nullable = {f"{m}_{p}" for m in METRICS for p in ("code", "judged")} | {"model_share"}
    # A column of nothing but None would have no type, and would not join the same column of another table.
    arrays = {n: pyarrow.array(c, pyarrow.float64() if n in nullable else None) for n, c in columns.items()}
    pyarrow.parquet.write_table(pyarrow.table(arrays), path)
    return [path]


def page(rows: Sequence[Row], folder: Path, runs: Path) -> str:
    """The page; links are relative to `folder`."""
    cells = [r for r in rows if r["kind"] == KIND]
    links = {}
    for row in cells:
        report = report_of(row, runs)
        links[row["name"]] = "" if report is None else quote(os.path.relpath(report, folder.resolve()))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = files("labwright.eval.suites").joinpath("objectives.html").read_text(encoding="utf-8")
    summaries = [summary(rows, model) for model in models_of(rows)] or ([summary(rows)] if cells else [])
    return environment.from_string(template).render(
        summaries=summaries, metrics=METRICS, links=links, at=now(), n=len(cells)
    )
