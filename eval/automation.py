"""How far a run got by itself, from its folder alone.

Shares lie in [0, 1]; a share of nothing is None, never 0. A resume after an interruption or a used-up budget is no
intervention: it changes nothing that the run decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from labwright.domain import Intervention, Review
from labwright.eval.report_files import RunFiles
from labwright.eval.report_parts import kept
from labwright.eval.task_levels import Unit, units_of
from labwright.tools.full_text import Wanted

KINDS: tuple[Literal["approve", "edit", "send_back", "reject"], ...] = ("approve", "edit", "send_back", "reject")


@dataclass(frozen=True, slots=True)
class StageReviews:
    """Reviews of one stage over its loops."""

    stage: str
    loops: int
    """First drafts that were reviewed."""
    rewrites: int
    """Candidates after the first."""
    accepted: int
    """Candidates that the reviewer accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Automation:
    """What a person had to do, and what was done over."""

    tasks: int
    """Dry steps of the protocol."""
    unaided: int
    """Of these, at level 3 without a human action before them."""
    interventions: dict[str, int]
    """approve, edit, send_back and reject, each with its number."""
    edited_steps: int
    """Steps of the protocol that a person changed or added."""
    reviews: tuple[StageReviews, ...]
    """In the order of the run."""
    repairs: dict[str, int]
    """Task to the scripts that followed its first."""
    kept_papers: int
    manual_papers: int | None
    """Of these, papers whose full text only a person can add; None before the papers were fetched."""

    @property
    def unaided_share(self) -> float | None:
        """Tasks finished without human action / all tasks."""
        return self.unaided / self.tasks if self.tasks else None

    @property
    def interventions_per_task(self) -> dict[str, float] | None:
        """Human interventions of each type / all tasks."""
        return {k: n / self.tasks for k, n in self.interventions.items()} if self.tasks else None

    @property
    def repairs_per_task(self) -> float | None:
        """Repairs / tasks that were begun."""
        return sum(self.repairs.values()) / len(self.repairs) if self.repairs else None

    @property
    def manual_share(self) -> float | None:
        """Papers needing manual download / kept papers."""
        if self.manual_papers is None or not self.kept_papers:
            return None
        return self.manual_papers / self.kept_papers


def automation_of(files: RunFiles) -> Automation:
    """The automation of a run, finished or not.

    The gate holds every task back until a person has decided, so after an approval or an edit no task of the run was
    finished without human action.

    Args:
        files: of the run; what is damaged stands in `files.faults`.
    """
    units, acts = units_of(files), interventions_of(files)
    papers = [p for p in files.papers() if kept(p)]
    wanted = files.read(list[Wanted], "papers", "_full_text_wanted.json")
    by_hand = {(w.title, w.doi, w.pmid) for w in wanted or ()}
    counts = Counter(act.kind for act in acts)
    return Automation(
        tasks=len(units),
        unaided=0 if acts else sum(u.level == 3 for u in units),
        interventions={kind: counts[kind] for kind in KINDS},
        edited_steps=len({step for act in acts for step in act.steps}),
        reviews=_stages(files.reviews()),
        repairs=_repairs(units),
        kept_papers=len(papers),
        manual_papers=None if wanted is None else sum((p.title, p.ids.doi, p.ids.pmid) in by_hand for p in papers),
    )


def interventions_of(files: RunFiles) -> list[Intervention]:
    """What persons did at the gate, in order; none when the run had no gate."""
    return files.read(list[Intervention], "interventions.json") or []


def _stages(reviews: Sequence[Review]) -> tuple[StageReviews, ...]:
    return tuple(
        StageReviews(
            stage,
            loops=sum(r.candidate == 0 for r in mine),
            rewrites=sum(r.candidate > 0 for r in mine),
            accepted=sum(r.accepted for r in mine),
        )
        for stage in dict.fromkeys(r.stage for r in reviews)
        if (mine := [r for r in reviews if r.stage == stage])
    )


def _repairs(units: Sequence[Unit]) -> dict[str, int]:
    return {u.task: u.attempts - 1 for u in units if u.attempts}


def automation_rows(found: Automation) -> list[tuple[str, str]]:
    """What was counted, and how often, in words; a share of nothing is said to be one."""
    rows = [
        ("Analyses finished without human action", _of(found.unaided, found.tasks, "dry steps")),
        ("Human interventions", _interventions(found)),
    ]
    rows += [
        (f"Rewrites, {row.stage}", f"{row.rewrites} in {row.loops} reviews; {row.accepted} accepted")
        for row in found.reviews
    ]
    if not found.reviews:
        rows.append(("Rewrites", "nothing was reviewed"))
    repairs = found.repairs_per_task
    each = (
        "no script was run"
        if repairs is None
        else f"{sum(found.repairs.values())}, {repairs:.2f} a task that was begun"
    )
    rows.append(("Repairs of scripts", each))
    manual = (
        "not known yet" if found.manual_papers is None else _of(found.manual_papers, found.kept_papers, "kept papers")
    )
    return [*rows, ("Papers needing manual download", manual)]


def _of(hits: int, n: int, what: str) -> str:
    return f"{hits} of {n} {what} ({hits / n:.0%})" if n else f"no {what}"


def _interventions(found: Automation) -> str:
    done = [f"{kind.replace('_', ' ')} {n}" for kind, n in found.interventions.items() if n]
    changed = f"; {found.edited_steps} steps edited" if found.interventions["edit"] else ""
    return (", ".join(done) or "none") + changed
