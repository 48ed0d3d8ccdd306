"""The report of a run: one HTML file that opens offline, without scripts, from the run folder alone.

Everything in a run folder is untrusted text and is escaped. Quotes, references, findings and output hashes
are checked again while the report is written; what does not hold is marked, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from labwright.eval import report_summary as summary
from labwright.eval.automation import automation_of, automation_rows
from labwright.eval.report_files import RunFiles
from labwright.eval.report_lineage import lineage
from labwright.eval.report_parts import kept, literature, protocol_parts, review_tables, unsupported
from labwright.eval.report_quotes import anchor
from labwright.eval.report_tasks import LEVELS, task_views
from labwright.store import RunStore

NAME = "report.html"
KEY_FINDINGS = 6
"""Findings of one task on the first screen; the rest stand with the task."""
UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\U000e0000-\U000e007f\ud800-\udfff\ufffe\uffff]"
)
"""Characters that are invalid in HTML, or that turn the reading direction and so can disguise a text."""


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder, whatever state the run is in.

    Args:
        folder: the run folder; nothing else is read but what is packaged with labwright.

    Returns:
        Path of the report.

    Raises:
        DiskFull: it cannot be written.
    """
    page = _environment().get_template("report.html").render(_content(RunFiles(folder)))
    RunStore(folder).write_text(folder / NAME, page)
    return folder / NAME


def _content(files: RunFiles) -> dict[str, Any]:
    record, protocol = files.record(), files.protocol()
    found, tasks = literature(files), task_views(files)
    parts = protocol_parts(protocol, found, {view.task.step: view.anchor for view in tasks})
    quotes, reviews = found.quotes, review_tables(files.reviews(), parts)
    return {
        "record": record,
        "status": summary.STATUS[record.status],
        "protocol": protocol,
        "parts": parts,
        "n_unsupported": unsupported(parts),
        "literature": found,
        "n_kept": sum(kept(paper) for paper in found.screened),
        "n_quotes": len(quotes),
        "n_verified": sum(quote.status == "verified" for quote in quotes),
        "datasets": files.datasets(),
        "dataset_choices": files.choices("datasets", "_screening.json"),
        "operator_choices": files.choices("analyses.json"),
        "reviews": reviews,
        "tasks": tasks,
        "figures": files.figures(),
        "pictures": files.pictures(),
        "files_at": "",
        "verdict": summary.verdict(record, protocol, tasks),
        "decided": summary.decisions(record, files.decided()),
        "over_rules": summary.over_rules(summary.packaged_benchmark()),
        "limits": summary.limits(found, tasks, reviews, unsupported(parts)),
        "models": summary.models(record),
        "lineage": lineage(record),
        "automation": automation_rows(automation_of(files)),
        # Last: everything above may have met a damaged file.
        "faults": list(dict.fromkeys(files.faults)),
    }


@cache
def _environment() -> Environment:
    return report_environment(FunctionLoader(report_template))


def report_template(name: str) -> str:
    """Source of one of the report's templates."""
    return package_files("labwright.eval").joinpath("templates", name).read_text(encoding="utf-8")


def report_environment(loader: BaseLoader) -> Environment:
    """Where templates of a run are rendered: everything is escaped, and an unknown name is an error.

    Args:
        loader: finds the templates; the web page adds its own to the report's.
    """
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=showable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "duration": summary.duration,
        "bars": summary.bars,
        "pretty": summary.pretty,
        "kept": kept,
    }
    environment.filters |= filters
    environment.globals |= {"anchor": anchor, "LEVELS": LEVELS, "KEY_FINDINGS": KEY_FINDINGS}
    return environment


def showable(value: Any) -> Any:
    """Text without characters that HTML forbids or that disguise; markup made by the template stays."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return UNSHOWABLE.sub("\ufffd", value)
