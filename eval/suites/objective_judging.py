"""The judged part of the five quality metrics in the table of objectives, by a judge that was tested first.

A judge that does not order known damage says nothing about quality. So it is first shown the damage series
(`judge_damage`); only when its worst rank correlation is at or below `ORDERS` does it judge the protocols of the table, blind
to the workflow that wrote them. It must not be the model that wrote them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labwright.config import Config
from labwright.errors import MetricUndefined, WrongUse
from labwright.eval.damage import TARGETS
from labwright.eval.damage_series import response
from labwright.eval.protocol_findings import METRICS
from labwright.eval.protocol_judge import judge_text
from labwright.eval.suites import objectives
from labwright.eval.suites.cell_work import KIND
from labwright.eval.suites.figures import Row
from labwright.eval.suites.judge_damage import damages, judge_damaged
from labwright.eval.suites.judges import good_protocols
from labwright.eval.suites.objective_runs import played_by
from labwright.eval.suites.rows import Rows
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.workflows.backends import Backends

ORDERS = -0.9
"""Largest rank correlation of damage and score, over the kinds of damage, of a judge that may be believed."""
SAMPLES = 3
DAMAGE, JUDGEMENT = "judge_damage", "judgement"
Say = Callable[[str], None]


def measure_judge(rows: Rows, model: str, config: Config, say: Say, may_start: Callable[[], bool]) -> None:
    """Show a judge the damage series, then the protocols of the table if it may be believed.

    Args:
        rows: the table's; what is there is not asked again.
        model: backend or embedded model that judges.
        config: where backends are named.
        say: shows progress.
        may_start: whether another protocol may be begun.

    Raises:
        WrongUse: the model wrote protocols of the table itself.
        SomethingMissing: model or key is missing.
    """
    if any(r["kind"] == KIND and r["model"] == model for r in rows.all()):
        raise WrongUse(f"--judge {model}: it wrote protocols of the table; a judge must be another model")
    backends = Backends(played_by(model, config))
    try:
        with tempfile.TemporaryDirectory() as scratch:
            session = backends.session("judge", CallLog(Path(scratch) / "calls.sqlite"), 0)
            _damage(rows, model, session, say, may_start)
            if believed(rows.all(), model):
                _protocols(rows, model, session, say, may_start)
            else:
                say(f"{model} does not order known damage: it judges no protocol")
    finally:
        backends.close()


def _damage(rows: Rows, model: str, session: Session, say: Say, may_start: Callable[[], bool]) -> None:
    good = good_protocols()
    for at in damages(good, quick=False):
        name = f"{model}:{':'.join(map(str, at))}"
        if not rows.has(DAMAGE, name) and may_start():
            say(f"judge: {at[0]} with {at[1]}, strength {at[2]}")
            rows.add(DAMAGE, name, {**judge_damaged(session, good, at), "judge": model})


def _protocols(rows: Rows, model: str, session: Session, say: Say, may_start: Callable[[], bool]) -> None:
    asked = {o.id: o.text for o in objectives.load()}
    for row in rows.all():
        name = f"{model}:{row['name']}"
        if row["kind"] == KIND and row["protocol"] and not rows.has(JUDGEMENT, name) and may_start():
            say(f"judge: {row['name']}")
            found = judge_text(session, row["protocol"], asked[row["objective"]], samples=SAMPLES)
            scores = {metric: found[metric].score for metric in METRICS}
            rows.add(JUDGEMENT, name, {"judge": model, "cell": row["name"], "scores": scores})


def worst_order(rows: Sequence[Row], judge: str) -> tuple[float, dict[str, float]] | None:
    """A judge's largest rank correlation of damage and score, and each kind's; None before all kinds were shown.

    0 stands for a kind of which it says always the same, or nothing.
    """
    found = [r for r in rows if r["kind"] == DAMAGE and r["judge"] == judge]
    if {r["damage"] for r in found} != set(TARGETS):
        return None
    each = {kind: _order(found, kind) for kind in TARGETS}
    return max(each.values()), each


def _order(rows: Sequence[Row], kind: str) -> float:
    try:
        return response(rows, kind).spearman
    except MetricUndefined:
        return 0.0


def believed(rows: Sequence[Row], judge: str) -> bool:
    """Whether a judge orders every kind of damage."""
    worst = worst_order(rows, judge)
    return worst is not None and worst[0] <= ORDERS


def judges_of(rows: Sequence[Row]) -> list[str]:
    """Who was tested as a judge, in the order of the tests."""
    return list(dict.fromkeys(r["judge"] for r in rows if r["kind"] == DAMAGE))


def with_judgements(rows: Sequence[Row]) -> list[Row]:
    """The rows, cells holding the scores of the first judge that may be believed; without one, none."""
    judge = next((j for j in judges_of(rows) if believed(rows, j)), None)
    scores = {r["cell"]: r["scores"] for r in rows if r["kind"] == JUDGEMENT and r["judge"] == judge}
    return [_scored(r, scores.get(r["name"]), judge or "") if r["kind"] == KIND else r for r in rows]


def _scored(row: Row, scores: dict[str, float | None] | None, judge: str) -> Row:
    if scores is None or not row["quality"]:
        return row
    quality: dict[str, Any] = {m: {**row["quality"][m], "judged": scores[m]} for m in METRICS}
    return {**row, "quality": quality, "judge": judge}
