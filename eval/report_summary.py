"""The first screen and the run's facts: what came out, who decided, and what it does not show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from labwright.domain import Decider, Protocol, RunRecord, Shares
from labwright.eval.report_files import Decided
from labwright.eval.report_parts import Literature, ReviewTable
from labwright.eval.report_tasks import TaskView

STATUS = {
    "queued": "Queued; it begins when the runs before it have ended",
    "running": "Running; this report shows what is there so far",
    "waiting_for_review": "Waiting for a person to review the protocol; no analysis has been run",
    "done": "Done",
    "failed": "Failed",
    "stopped_by_budget": "Stopped by its budget; this report is partial",
    "interrupted": "Interrupted; this report is partial",
}
DECIDERS: tuple[Decider, ...] = ("model", "fallback", "code", "person")
BENCHMARK = "benchmark_summary.json"
"""Packaged by the benchmark once it has been run."""
LEVEL_3 = (
    "Level 3 says that a script ran on the declared data and that its outputs passed the operator's checks. "
    "It does not say that the result would be seen again in other data, or that the question was well put."
)
QUOTED = (
    "A quote that was found again shows that the words stand in the stored document, not that they support "
    "the sentence beside them: read both."
)
SECTION_ROLES = {
    "datasets": ("search",),
    "literature": ("search", "literature"),
    "protocol": ("design",),
    "reviews": ("reviewer",),
    "tasks": ("programming",),
}
"""Section of the report to the roles whose decisions it shows."""
DATASET_PROMPTS = ("misuse", "biomedical", "dataset")
"""Prompts of the search role that are about the objective and its data; its others are about papers."""


class Points(BaseModel):
    """A difference in percentage points, with its interval."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    value: float
    low: float
    high: float
    n: int
    at: str = ""


class _Benchmark(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    model_over_rules_points: Points | None = None


def verdict(record: RunRecord, protocol: Protocol | None, tasks: Sequence[TaskView]) -> str:
    """One line: how many of the planned analyses are verified."""
    if not tasks:
        dry = sum(step.kind != "wet" for part in (protocol.parts if protocol else ()) for step in part.steps)
        planned = f"{dry} are planned in the protocol" if dry else "none was planned"
        return f"No analysis was run; {planned}."
    verified = sum(task.verified for task in tasks)
    unfinished = sum(task.result is None for task in tasks)
    rest = f"; {unfinished} not run{' yet' if record.status == 'running' else ''}" if unfinished else ""
    return f"{verified} of {len(tasks)} analyses verified (level 3){rest}"


@dataclass(frozen=True, slots=True)
class Decisions:
    """Who decided, over the run and by section."""

    shares: Shares
    rows: list[Decided]

    @property
    def sentence(self) -> str:
        """The share in words."""
        share = self.shares.model_share
        if share is None:
            return self.detail
        return f"The model decided {share:.0%} {self.detail}"

    @property
    def detail(self) -> str:
        """What stands beside the share."""
        by = self.shares
        if by.model_share is None:
            return "No value of this run was asked of a model."
        told = f"of {by.model + by.fallback + by.code} values asked of it; {by.fallback} by a fallback"
        edited = f" A person edited {by.person}." if by.person else ""
        return f"{told}, {by.code} by code that overruled it.{edited}"

    def mark(self, section: str) -> str:
        """What a section's head says when not everything in it was the model's choice."""
        roles, of_data = SECTION_ROLES[section], section == "datasets"
        by = total(
            [
                row
                for row in self.rows
                if row.role in roles and (row.role != "search" or (row.prompt in DATASET_PROMPTS) == of_data)
            ]
        )
        told = [f"{by.fallback} by a fallback"] if by.fallback else []
        told += [f"{by.code} by code"] if by.code else []
        asked = by.model + by.fallback + by.code
        return f"{' and '.join(told)}, of {asked} values asked of the model" if told else ""


def total(rows: Sequence[Decided]) -> Shares:
    """Sum of decisions."""
    return Shares.model_validate({name: sum(row.by.get(name, 0) for row in rows) for name in DECIDERS})


def decisions(record: RunRecord, rows: list[Decided]) -> Decisions:
    """The record's shares; while a run goes on, those of its log."""
    recorded = record.decided
    whole = recorded if recorded != Shares() else total(rows)
    return Decisions(whole, rows)


def packaged_benchmark() -> str:
    """Text of the packaged benchmark summary, empty when there is none."""
    path = package_files("labwright.eval").joinpath(BENCHMARK)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def over_rules(text: str) -> str:
    """How much better the model's choices are than those of rules alone, in words.

    Args:
        text: the benchmark summary as JSON; empty when it was not made.
    """
    try:
        points = _Benchmark.model_validate_json(text).model_over_rules_points if text else None
    except ValidationError:
        return "the packaged benchmark summary cannot be read"
    if points is None:
        return "not measured yet"
    when = f", {points.at}" if points.at else ""
    return (
        f"{points.value:+.1f} percentage points (interval {points.low:+.1f} to {points.high:+.1f}, "
        f"n = {points.n}{when}); measured on the benchmark's choices, not on this run"
    )


def limits(found: Literature, tasks: Sequence[TaskView], reviews: Sequence[ReviewTable], unsupported: int) -> list[str]:
    """What this run does not show, most general first.

    Args:
        found: papers and quotes.
        tasks: of the run; their operators say what they do not show.
        reviews: loops of review.
        unsupported: parts and steps of the protocol without a source that holds.
    """
    said = [LEVEL_3] if tasks else []
    said += [QUOTED] if found.quotes else []
    kinds = Counter(view.paper.kind for view in found.kept)
    unchecked = sum(view.paper.retraction.status == "unknown" for view in found.kept)
    doubted = sum(view.paper.retraction.status == "concern" for view in found.kept)
    refused = sum(not any(review.accepted for review in table.reviews) for table in reviews)
    whole = len(found.kept)
    counted = (
        (
            kinds["summary"],
            f"Read as summaries written by this project: {kinds['summary']} of {whole} papers; "
            "their quotes are quotes of the summaries, not of the papers.",
        ),
        (kinds["abstract"], f"Read as abstracts, methods sections unseen: {kinds['abstract']} of {whole} papers."),
        (doubted, f"Under an expression of concern: {doubted} of {whole} papers."),
        (unchecked, f"Retraction not checked: {unchecked} of {whole} papers."),
        (refused, f"In {refused} of {len(reviews)} reviews no candidate was accepted; the best scored went on."),
        (unsupported, f"Parts and steps of the protocol that no source supports: {unsupported}."),
    )
    said += [text for n, text in counted if n]
    by_operator = {task.contract.name: task.contract for task in tasks if task.contract is not None}
    return [*said, *(f"{contract.title}: {contract.limits}" for contract in by_operator.values())]


@dataclass(frozen=True, slots=True)
class Bar:
    """Seconds of one stage and their share of the run."""

    name: str
    seconds: float
    percent: float


def bars(seconds: Mapping[str, float]) -> list[Bar]:
    """Seconds as shares of their sum, longest first."""
    whole = sum(seconds.values()) or 1.0
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    return [Bar(name, value, round(100 * value / whole, 1)) for name, value in ordered]


def duration(seconds: float) -> str:
    """Seconds for reading.

    Example:
        >>> duration(3.21), duration(250)
        ('3.2 s', '4 min 10 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


MADE_OF = ("stage", "hardening", "adapter", "steering", "trained", "members")
"""Facts that the picture of what models are made of shows (report_lineage.py)."""


def models(record: RunRecord) -> list[tuple[str, str, str, str]]:
    """Role, backend and model, file hash, and the remaining facts."""
    rows = []
    for role, facts in record.models.items():
        rest = {k: v for k, v in facts.items() if k not in ("name", "kind", "model", "sha256", *MADE_OF)}
        kind, name = facts.get("kind", "unknown kind"), facts.get("name", "unnamed")
        named = f"{facts.get('model', 'unknown')} ({kind}, backend {name})"
        extra = ", ".join(f"{k}: {v}" for k, v in rest.items())
        rows.append((role, named, str(facts.get("sha256", "")), extra))
    return rows


def pretty(value: Any) -> str:
    """A value as indented JSON."""
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)
