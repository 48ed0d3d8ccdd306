"""The figures of one run and of several: execution success at each level with intervals, and automation.

Over several runs the macro mean, over objectives of their runs' shares, is the headline; the micro share counts every
dry step alike. Workflows are never mixed. Runs are of one objective when its text, conditions and requirements agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labwright.errors import MetricUndefined
from labwright.eval.automation import Automation, automation_of
from labwright.eval.intervals import (
    FEWEST,
    NONE,
    RESAMPLES,
    Interval,
    Share,
    cluster_bootstrap,
    macro,
    micro,
    wilson,
)
from labwright.eval.report_files import RunFiles
from labwright.eval.task_levels import TaskLevels, levels_of, units_of

LEVELS = {"exit_code_0": "exited", "outputs_present": "present", "outputs_valid": "valid"}
"""Level 1, 2 and 3 to the count of each; the last is execution success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What one run folder says."""

    run: str
    objective: str
    workflow: str
    status: str
    levels: TaskLevels
    automation: Automation
    faults: tuple[str, ...]
    """Files that cannot be read; what they held counts as not done."""

    def share(self, count: str) -> Share:
        """Dry steps that reached a level: exited, present or valid."""
        return Share(getattr(self.levels, count), self.levels.dry)


def figures_of_run(folder: Path) -> RunFigures:
    """Read one run folder, in whatever state it is."""
    files = RunFiles(folder)
    record = files.record()
    levels, automation = levels_of(units_of(files)), automation_of(files)
    return RunFigures(
        run=folder.name,
        objective=record.objective.brief(),
        workflow=record.workflow,
        status=record.status,
        levels=levels,
        automation=automation,
        faults=tuple(dict.fromkeys(files.faults)),
    )


def run_document(run: RunFigures) -> dict[str, Any]:
    """One run as JSON: counts, shares with Wilson's interval over its dry steps, automation."""
    return {
        "run": run.run,
        "objective": run.objective,
        "workflow": run.workflow,
        "status": run.status,
        "tasks": asdict(run.levels),
        "levels": {name: _over_tasks([run.share(count)]) for name, count in LEVELS.items()},
        "automation": automation_document(run.automation),
        "faults": list(run.faults),
    }


def automation_document(found: Automation) -> dict[str, Any]:
    """Automation as JSON: the counts, and the shares that they carry."""
    return {
        **asdict(found),
        "unaided_share": found.unaided_share,
        "interventions_per_task": found.interventions_per_task,
        "repairs_per_task": found.repairs_per_task,
        "manual_share": found.manual_share,
    }


def over_runs(runs: Sequence[RunFigures], resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Macro mean and micro share over runs, workflow by workflow.

    Args:
        runs: one or more.
        resamples: of the cluster bootstrap, 1 or more.
        seed: of the resampling.

    Returns:
        Workflow to {"objectives", "runs", "runs_without_steps", "tasks", "levels": {level: {"macro", "micro"}},
        "automation"}; each figure is {"value", "low", "high", "n", "method"}.

    Raises:
        MetricUndefined: there is no run.
    """
    if not runs:
        raise MetricUndefined("figures over no runs")
    names = dict.fromkeys(run.workflow for run in runs)
    return {name: _over([r for r in runs if r.workflow == name], resamples, seed) for name in names}


def _over(runs: Sequence[RunFigures], resamples: int, seed: int) -> dict[str, Any]:
    objectives = {run.objective for run in runs}
    return {
        "objectives": len(objectives),
        "runs": len(runs),
        "runs_without_steps": sum(run.levels.dry == 0 for run in runs),
        "tasks": sum(run.levels.dry for run in runs),
        "levels": {name: _both(runs, count, resamples, seed) for name, count in LEVELS.items()},
        "automation": _sums([run.automation for run in runs]),
    }


def _both(runs: Sequence[RunFigures], count: str, resamples: int, seed: int) -> dict[str, Any]:
    clusters: dict[str, list[Share]] = {}
    for run in runs:
        clusters.setdefault(run.objective, []).append(run.share(count))
    every = list(clusters.values())
    mean = _figure(macro(every), len(every), cluster_bootstrap(clusters, macro, resamples, seed), "cluster bootstrap")
    if len(clusters) < FEWEST or not any(s.n for shares in every for s in shares):
        return {"macro": mean, "micro": _over_tasks([s for shares in every for s in shares])}
    interval = cluster_bootstrap(clusters, micro, resamples, seed)
    n = sum(s.n for shares in every for s in shares)
    return {"macro": mean, "micro": _figure(micro(every), n, interval, "cluster bootstrap")}


def _over_tasks(shares: Sequence[Share]) -> dict[str, Any]:
    """All dry steps alike, with Wilson's interval; without one there is no value."""
    hits, n = sum(s.hits for s in shares), sum(s.n for s in shares)
    return _figure(hits / n, n, wilson(hits, n), "Wilson") if n else _figure(None, 0, NONE, "")


def _figure(value: float | None, n: int, interval: Interval, method: str) -> dict[str, Any]:
    used = method if interval.low is not None else ""
    return {"value": value, "low": interval.low, "high": interval.high, "n": n, "method": used}


def _sums(found: Sequence[Automation]) -> dict[str, Any]:
    tasks = sum(a.tasks for a in found)
    acts = _added([a.interventions for a in found])
    begun = [n for a in found for n in a.repairs.values()]
    fetched = [a for a in found if a.manual_papers is not None]
    papers, manual = sum(a.kept_papers for a in fetched), sum(a.manual_papers or 0 for a in fetched)
    rewrites = _added([{row.stage: row.rewrites for row in a.reviews} for a in found])
    return {
        "tasks": tasks,
        "unaided": sum(a.unaided for a in found),
        "unaided_share": sum(a.unaided for a in found) / tasks if tasks else None,
        "interventions": acts,
        "interventions_per_task": {k: n / tasks for k, n in acts.items()} if tasks else None,
        "edited_steps": sum(a.edited_steps for a in found),
        "rewrites": rewrites,
        "repairs": sum(begun),
        "repairs_per_task": sum(begun) / len(begun) if begun else None,
        "kept_papers": papers,
        "manual_papers": manual,
        "manual_share": manual / papers if papers else None,
    }


def _added(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Sums by key; a key that only ever counted 0 stays."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total)
