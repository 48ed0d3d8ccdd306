"""What `labwright eval judges` leaves in a folder: one page that opens offline, its numbers as JSON and CSV, charts."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast, get_args

from jinja2 import Environment, StrictUndefined

from labwright.errors import DiskFull, WrongUse
from labwright.eval.judge_aggregates import Tie
from labwright.eval.judge_arrays import HALVES, Half
from labwright.eval.judge_batch import Base, Form
from labwright.eval.judge_labels import Kind
from labwright.eval.perception_chart import chart_png, need_matplotlib


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Checked options of the command."""

    kind: Kind | None
    form: Form
    base: Base
    half: Half
    tie: Tie
    share_bins: tuple[tuple[float, float], ...]


def options_of(*, share_bins: str, **given: str) -> Options:
    """Check what the command line says.

    Raises:
        WrongUse: an option has no such value.
    """
    allowed: dict[str, tuple[str, ...]] = {
        "kind": ("", *get_args(Kind)),
        "form": get_args(Form),
        "base": get_args(Base),
        "half": HALVES,
        "tie": get_args(Tie),
    }
    for name, value in given.items():
        if value not in allowed[name]:
            raise WrongUse(f"--{name} {value!r}: one of {', '.join(v for v in allowed[name] if v)}")
    try:
        pairs = [tuple(float(x) for x in part.split(":", 1)) for part in share_bins.split(",")]
        bins = tuple((low, high) for low, high in pairs)
    except ValueError as error:
        raise WrongUse(f"--share-bins {share_bins!r}: give per cent such as 0:60,60:100") from error
    return Options(
        kind=cast("Kind", given["kind"]) if given["kind"] else None,
        form=cast("Form", given["form"]),
        base=cast("Base", given["base"]),
        half=cast("Half", given["half"]),
        tie=cast("Tie", given["tie"]),
        share_bins=bins,
    )


def write_result(document: dict[str, Any], folder: Path) -> list[Path]:
    """Write judges.html, judges.json, judges.csv and a chart a criterion.

    Args:
        document: {"file", "criteria": {name: result of `reliability` with its chart}}.
        folder: made when it is not there.

    Raises:
        SomethingMissing: matplotlib is not installed.
        DiskFull: the folder cannot be written.
    """
    need_matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "judges.json", folder / "judges.csv", folder / "judges.html"]
        written[0].write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
        written[1].write_text(table_csv(document), encoding="utf-8")
        charts = _charts(document)
        written[2].write_text(page(document, charts), encoding="utf-8")
        for number, name in enumerate(document["criteria"], start=1):
            safe = re.sub(r"[^\w-]+", "_", name)[:40]
            path = folder / f"chart_{number}{'_' + safe if safe else ''}.png"
            path.write_bytes(charts[name])
            written.append(path)
    except OSError as error:
        raise DiskFull(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
    return written


def table_csv(document: dict[str, Any]) -> str:
    """The result tables as CSV: a row a stratum and statistic."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("criterion", "stratum", "size", "proportion", "statistic", "value", "low", "high", "reason"))
    for name, result in document["criteria"].items():
        for row in result["rows"]:
            for statistic, f in row["figures"].items():
                head = (name, row["name"], row["size"], round(row["proportion"], 4), statistic)
                writer.writerow((*head, f["value"], f["low"], f["high"], f["reason"]))
    return out.getvalue()


def _charts(document: dict[str, Any]) -> dict[str, bytes]:
    return {name: chart_png(r["chart"], name or document["file"]) for name, r in document["criteria"].items()}


def page(document: dict[str, Any], charts: dict[str, bytes] | None = None) -> str:
    """The page: a table and a chart a criterion, nothing fetched from elsewhere.

    Args:
        document: as in `write_result`.
        charts: criterion to its chart, drawn already.

    Raises:
        SomethingMissing: matplotlib is not installed, and there are no charts.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = files("labwright.eval").joinpath("judges.html").read_text(encoding="utf-8")
    drawn = _charts(document) if charts is None else charts
    inline = {name: "data:image/png;base64," + base64.b64encode(png).decode() for name, png in drawn.items()}
    return environment.from_string(text).render(document=document, charts=inline)
