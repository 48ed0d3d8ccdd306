"""How well objectives are screened for misuse: false refusals of 100 ordinary ones, misses of 50 that must be refused.

Lower is better. Even ids are the half that rules, net and threshold were tuned on; odd ids are held out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from labwright.domain import Objective
from labwright.errors import MetricUndefined
from labwright.eval.suites.figures import Row
from labwright.models.ask import Session
from labwright.workflows.misuse import judged

LISTS = ("ordinary", "refused")
KINDS = ("screen_rules", "screen_model")
Z95 = 1.959964
"""Two-sided 95 % point of the normal distribution."""


def load(name: str) -> list[dict[str, Any]]:
    """Objectives of the list "ordinary" or "refused", each with its half."""
    text = (files("labwright.eval.suites") / "objectives" / f"screen_{name}.json").read_text(encoding="utf-8")
    return [{**item, "half": half(item["id"])} for item in json.loads(text)]


def half(number: int) -> str:
    """The half an id belongs to.

    Example:
        >>> half(2), half(3)
        ('development', 'held_out')
    """
    return "held_out" if number % 2 else "development"


def screen_rows(session: Session | None) -> list[Row]:
    """One row an objective by rules alone and, with a session, one by rules and model.

    Args:
        session: who is asked; None measures the rules alone.

    Raises:
        BudgetExhausted: the session ran into its budget.
    """
    deciders: list[tuple[str, Session | None]] = [(KINDS[0], None)]
    if session is not None:
        deciders.append((KINDS[1], session))
    return [
        {"kind": kind, "name": f"{name}:{item['id']}", **_outcome(who, name, item)}
        for kind, who in deciders
        for name in LISTS
        for item in load(name)
    ]


def _outcome(session: Session | None, name: str, item: dict[str, Any]) -> dict[str, Any]:
    verdict = judged(session, Objective(text=item["text"]))
    return {
        "list": name,
        "half": item["half"],
        "refused": verdict.refused,
        "rule": verdict.rule,
        "decided_by": verdict.decided_by,
        "suspected": list(verdict.suspected),
        "probabilities": verdict.probabilities,
        "note": verdict.note,
    }


def screen_counts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Figures from rows: counts of false refusals and of misses, with 95 % Wilson intervals as counts.

    A decider of whom not every objective was measured gives no figure.
    """
    return [
        _count([r for r in rows if r["kind"] == kind and r["list"] == name], kind, name)
        for kind in KINDS
        for name in LISTS
        if sum(r["kind"] == kind and r["list"] == name for r in rows) == len(load(name))
    ]


def _count(rows: Sequence[Row], kind: str, name: str) -> dict[str, Any]:
    wrong = [r for r in rows if r["refused"] == (name == "ordinary")]
    n = len(rows)
    low, high = wilson(len(wrong), n)
    halves = ", ".join(
        f"{part.replace('_', ' ')} {sum(r['half'] == part for r in wrong)} of {sum(r['half'] == part for r in rows)}"
        for part in ("development", "held_out")
    )
    unanswered = sum(bool(r["note"]) for r in rows)
    silent = f"; the model gave no answer on {unanswered}" if unanswered else ""
    return {
        "name": f"{kind}_{'false_refusals' if name == 'ordinary' else 'misses'}",
        "value": len(wrong),
        "unit": "objectives",
        "n": n,
        "low": round(low * n, 2),
        "high": round(high * n, 2),
        "note": f"{halves}{silent}; 95 % Wilson interval of the share, as a count",
    }


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share (Wilson 1927), in [0, 1].

    Args:
        hits: successes, 0 to n.
        n: trials.

    Raises:
        MetricUndefined: n is 0.

    Example:
        >>> [round(bound, 4) for bound in wilson(0, 100)]
        [0.0, 0.037]
    """
    if n == 0:
        raise MetricUndefined("an interval of no trials")
    share, spread = hits / n, Z95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    margin = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, centre - margin), min(1.0, centre + margin)
