"""A real ensemble on PubMedQA: members fine-tuned here beside others, chosen on one half, reported on the other.

Answers and adapters wait in the cache folder, so that an interrupted measurement goes on; a member that has answered
everything becomes a row, and so does the ensemble of all members that have one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labwright.config import Config, cache_dir
from labwright.eval.ensemble_page import Cost, ensemble_page
from labwright.eval.suites.ensemble_members import MEMBERS, MemberPlan, Say, tune
from labwright.eval.suites.ensemble_pubmedqa_data import PubMedQA, pubmedqa
from labwright.eval.suites.rows import Rows
from labwright.models.topla.collected import Collected, collect, load, prepare
from labwright.models.topla.pool import Pool, read_pool
from labwright.workflows.ensembles import member_session

PAGE = Path("docs/benchmarks/ensemble_pubmedqa.html")
MEMBER, ENSEMBLE = "pubmedqa_member", "pubmedqa_ensemble"
TOKENS_A_QUESTION = 300
"""Prompt tokens of a question, roughly, for the estimate of the time."""
SHARE_OF_SPEED = 0.5
"""Of the speed of plain products of matrices that a forward or backward pass reaches, roughly."""
SAY_EVERY_S = 60.0


def measure(rows: Rows, say: Say, members: Sequence[MemberPlan] = MEMBERS, home: Path | None = None) -> None:
    """Add the rows that are missing.

    Args:
        rows: of the suite.
        say: shows progress.
        members: the pool.
        home: where answers and adapters wait; in the cache folder by default.
    """
    name = "+".join(m.name for m in members)
    if rows.has(ENSEMBLE, name):
        return
    from labwright.models.extras import require

    require("local", "the ensemble of fine-tuned members")
    data = pubmedqa()
    place = home or cache_dir() / "ensembles" / "pubmedqa"
    prepare(place, data.asked)
    say(_estimate([m for m in members if not rows.has(MEMBER, m.name)], data))
    for plan in members:
        if not rows.has(MEMBER, plan.name):
            training = tune(plan, data.trained_on, place / "adapters", say) if plan.tuning is not None else None
            config = Config(backends={plan.name: plan.backend(place / "adapters")})
            with member_session(config, plan.name) as session:
                collect(place, plan.name, session, asking(say))
            rows.add(MEMBER, plan.name, _member_row(load(place, [plan.name]), training))
    rows.add(ENSEMBLE, name, join(read_pool(place, members=[m.name for m in members])))


def asking(say: Say) -> Callable[[str, int, int], None]:
    """Says now and then how many questions a member has answered, and how long the rest will take."""
    began = shown = time.monotonic()
    first = 0

    def report(member: str, done: int, total: int) -> None:
        nonlocal shown, first
        first = first or done
        if done == total or time.monotonic() - shown >= SAY_EVERY_S:
            shown = time.monotonic()
            left = (shown - began) / max(1, done - first) * (total - done) / 60
            say(f"{member}: {done} of {total} questions" + (f", about {left:.0f} min left" if done < total else ""))

    return report


def _estimate(members: Sequence[MemberPlan], data: PubMedQA) -> str:
    """Minutes that members will take on this machine, in words: arithmetic over its measured speed, no measurement."""
    import torch

    a = torch.rand(1024, 1024)
    began = time.perf_counter()
    for _ in range(8):
        a @ a
    speed = 8 * 2 * 1024**3 / (time.perf_counter() - began)
    parts = []
    total = 0.0
    for plan in members:
        tokens = TOKENS_A_QUESTION * len(data.asked)
        work = 2 * plan.parameters * tokens
        if plan.tuning is not None:  # forward, and backward through the activations above the lowest adapter
            passes = 2 + 2 * plan.tuning.depth
            work += passes * plan.parameters * TOKENS_A_QUESTION * len(data.trained_on) * plan.tuning.epochs
        minutes = work / (SHARE_OF_SPEED * speed) / 60
        total += minutes
        parts.append(f"{plan.name} {minutes:.0f}")
    return f"PubMedQA: roughly {total:.0f} minutes at {speed / 1e9:.0f} GFLOP/s: {', '.join(parts) or 'nothing to ask'}"


def _member_row(found: Collected, training: dict[str, Any] | None) -> dict[str, Any]:
    name = found.members[0]
    shares = np.exp(found.scores[:, 0]).round(6)
    return {
        "model": found.models[name],
        "training": training,
        "probabilities": {q.id: p.tolist() for q, p in zip(found.questions, shares, strict=True)},
        "unanswered": found.unanswered[name],
        "seconds": round(found.seconds[name], 3),
        "tokens": round(found.tokens[name], 1),
    }


def join(pool: Pool, page: Path = PAGE) -> dict[str, Any]:
    """Choose and train on one half, measure on the other, write the page; the row of the ensemble."""
    from labwright.models.topla.pool import compare_pool, train_pool

    built, recipe = train_pool(pool, pool.folder / "trained")
    compared = compare_pool(pool, built)
    found = pool.collected
    costs = {m: Cost(found.seconds[m], found.tokens[m], found.unanswered[m]) for m in pool.members}
    title = "PubMedQA, 300 questions of the labelled training part"
    if page.parent.is_dir():
        html = ensemble_page(title, pool.members, built, compared, costs, recipe.chosen_on, pool.excluded)
        page.write_text(html, encoding="utf-8")
    qualities = {**compared.members, **compared.joined}
    return {
        "pool": list(pool.members),
        "excluded": pool.excluded,
        "members": list(built.members),
        "weights": {m: round(w, 4) for m, w in built.weights.items()},
        "joining": built.joining,
        "cross_validated": built.cross_validated,
        "chosen_on": recipe.chosen_on,
        "majority": compared.majority,
        "best_member": compared.best_member,
        "right": {name: "".join("1" if ok else "0" for ok in q.right) for name, q in qualities.items()},
        "unscaled": {name: "".join("1" if ok else "0" for ok in q.right) for name, q in compared.unscaled.items()},
        "scalings": {m: s.model_dump(mode="json") for m, s in pool.scalings.items()},
        "confusion": {name: q.confusion for name, q in qualities.items()},
        "calibration_error": round(compared.calibration.error, 6),
        "seconds": {m: round(found.seconds[m], 3) for m in pool.members},
        "tokens": {m: round(found.tokens[m], 1) for m in pool.members},
    }
