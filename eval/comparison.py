"""Two runs side by side: facts, protocols, analyses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labwright.domain import RunRecord
from labwright.eval.protocol_diff import Change, changes
from labwright.eval.report_files import RunFiles
from labwright.eval.report_summary import duration


@dataclass(frozen=True, slots=True)
class Pair:
    """A fact of both runs; empty where one has none."""

    name: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        """Whether the runs differ in it."""
        return self.first != self.second


@dataclass(frozen=True, slots=True)
class Compared:
    """Two runs."""

    facts: list[Pair]
    analyses: list[Pair]
    """Analysis on its data sets, to how it ended."""
    findings: list[Pair]
    protocol: list[Change] | None
    """None when one of the runs has no protocol."""


def compare_runs(first: Path, second: Path) -> Compared:
    """Compare two run folders, in whatever state they are."""
    a, b = RunFiles(first), RunFiles(second)
    old, new = a.protocol(), b.protocol()
    return Compared(
        facts=_pairs(_facts(a.record()), _facts(b.record())),
        analyses=_pairs(_analyses(a), _analyses(b)),
        findings=_pairs(_findings(a), _findings(b)),
        protocol=None if old is None or new is None else changes(old, new),
    )


def _pairs(first: dict[str, str], second: dict[str, str]) -> list[Pair]:
    return [Pair(name, first.get(name, ""), second.get(name, "")) for name in {**first, **second}]


def _facts(record: RunRecord) -> dict[str, str]:
    share = record.decided.model_share
    models = sorted({str(facts.get("model", "")) for facts in record.models.values()})
    return {
        "Objective": record.objective.text,
        "Conditions": record.objective.conditions,
        "Requirements": record.objective.requirements,
        "Status": record.status,
        "Workflow": record.workflow,
        "Models": ", ".join(models),
        "Seed": str(record.seed),
        "Data sets": ", ".join(record.datasets),
        "Papers": str(len(record.papers)),
        "Decided by the model": "" if share is None else f"{share:.0%}",
        "Prompt tokens evaluated": str(record.evaluated_tokens),
        "Generated tokens": str(record.generated_tokens),
        "Duration": duration(record.seconds) if record.seconds else "",
        "labwright": record.version,
    }


def _analyses(files: RunFiles) -> dict[str, str]:
    found = {}
    for task in files.tasks():
        result = files.result(task.id)
        ended = "not run" if result is None else "skipped" if result.skipped else f"level {result.level}"
        found[f"{task.operator or 'free script'} on {', '.join(task.datasets)} (step {task.step})"] = ended
    return found


def _findings(files: RunFiles) -> dict[str, str]:
    """Findings of verified analyses only."""
    found = {}
    for task in files.tasks():
        result = files.result(task.id)
        for finding in result.findings if result is not None and result.level == 3 else ():
            name = f"{task.operator}: {finding.get('id', '')}"
            found[name] = str(finding.get("statement", ""))
    return found
