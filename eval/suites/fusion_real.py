"""The real fusion: a 135 million parameter model aligned three times and fused, beside everything that it must beat.

Every step is a row and is not repeated: judges validated, models made, answers written and judged, helpful ones in
pairs with the base's by the embedded 1.5B. Interrupt it at any time; the same command goes on.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from labwright.config import BackendConfig, Config, cache_dir
from labwright.eval.fusion_page import Gain, Model, fusion_page
from labwright.eval.pairwise import against
from labwright.eval.properties import PROPERTIES, interval_of
from labwright.eval.suites.alignment_judges import HonestyJudges, helpful_worth, honesty_judges, refusal_worth
from labwright.eval.suites.figures import Row
from labwright.eval.suites.fusion_answers import ORDINARY, REFUSED, Answers, answer_row, asked, refused_row
from labwright.eval.suites.fusion_models import QUICK, Plan, Work, ensure
from labwright.eval.suites.fusion_run import run_row
from labwright.eval.suites.fusion_scores import (
    BASE,
    FUSED,
    MODELS,
    VOTE,
    judge_figures,
    over_refusal,
    real_figures,
    scores_of,
)
from labwright.eval.suites.rows import Rows
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.embedding import CachedEncoder
from labwright.workflows.backends import Backends

Say = Callable[[str], None]
SEEDS = (0,)
JUDGE = "qwen2.5-coder-1.5b-instruct"
COMPARED = tuple(m for m in MODELS if m != BASE)
"""Whose answers are held against the base's."""


def measure(rows: Rows, quick: bool, say: Say) -> None:
    """Put the rows that are missing, cheapest judge first."""
    plan = QUICK if quick else Plan()
    judges = cache(lambda: _honesty(rows, say))
    for seed in SEEDS:
        work = Work(plan, seed, say)
        answers = Answers(work)
        for model in MODELS:
            _answered(rows, work, answers, judges, model)
        _compared(rows, work)


def run(rows: Rows, quick: bool, say: Say) -> None:
    """Put the row of the run that the fused model designs and reviews."""
    work = Work(QUICK if quick else Plan(), SEEDS[0], say)
    if not any(r["kind"] == "fusion_run" and r["seed"] == work.seed for r in rows.all()):
        rows.put(run_row(work, say))


def _honesty(rows: Rows, say: Say) -> HonestyJudges:
    """Judges that are trained anew where answers are to be judged, which takes minutes, and their worth."""
    say("judges of honesty, trained on the first half of the questions")
    judges, worth = honesty_judges(CachedEncoder(cache_dir() / "bench-embeddings.sqlite"))
    for row in (*worth, *refusal_worth()):
        rows.put_once(row)
    return judges


def _answered(rows: Rows, work: Work, answers: Answers, judges: Callable[[], HonestyJudges], model: str) -> None:
    """A model's verdicts on all properties, and how it was made."""
    for name in PROPERTIES:
        if rows.has("fusion_answers", f"{work.seed}:{model}:{name}"):
            continue
        rows.put(answer_row(work, answers, judges, model, name))
    for name in ORDINARY:
        if not rows.has(REFUSED, f"{work.seed}:{model}:{name}"):
            rows.put(refused_row(work, answers, model, name))
    if model != VOTE and not rows.has("fusion_model", f"{work.seed}:{model}"):
        ensure(work, model)
        rows.put({"kind": "fusion_model", "name": f"{work.seed}:{model}", **(work.made(model) or {})})


def _compared(rows: Rows, work: Work) -> None:
    """Helpful answers in pairs with the base's; before that the judge is held against known worse answers."""
    prompts = asked(work.plan.held_out, "helpful")
    missing = [n for n in range(len(prompts)) if not rows.has("fusion_pairs", f"{work.seed}:{n}")]
    if not missing:
        return
    said = {
        r["model"]: r["texts"]
        for r in rows.all()
        if r["kind"] == "fusion_answers" and r["seed"] == work.seed and r["property"] == "helpful"
    }
    with _judge() as session:
        if not rows.has_kind("judge_pair"):
            for row in helpful_worth(session, work.say, work.plan.known_pairs):
                rows.put(row)
        for n in missing:
            started = time.monotonic()
            found = against(session, prompts[n], said[BASE][n], {m: said[m][n] for m in COMPARED})
            seconds = round(time.monotonic() - started, 2)
            values = {m: [round(p.log_odds, 4), round(p.position, 4), p.answered] for m, p in found.items()}
            rows.put(
                {"kind": "fusion_pairs", "name": f"{work.seed}:{n}", "seed": work.seed, "judge": session.backend,
                 "seconds": seconds, "pairs": values}
            )  # fmt: skip
            work.say(f"seed {work.seed}: {n + 1} of {len(prompts)} items compared, {seconds:.0f} s")


@contextmanager
def _judge() -> Iterator[Session]:
    """The embedded model as the judge of pairs."""
    judge = BackendConfig(kind="embedded", model=JUDGE)
    backends = Backends(Config(backends={"judge": judge}), roles=("judge",))
    try:
        with tempfile.TemporaryDirectory() as scratch:
            yield backends.session("judge", CallLog(Path(scratch) / "calls.sqlite"), 0)
    finally:
        backends.close()


def page(rows: Sequence[Row]) -> str:
    """The report of the first seed's models and all seeds' scores; empty before every model was judged."""
    scores = scores_of(rows)
    figures = {f["name"]: f for f in real_figures(rows)}
    if not figures:
        return ""
    made = {r["model"]: r for r in rows if r["kind"] == "fusion_model" and r["seed"] == SEEDS[0]}
    fused = made[FUSED]
    best = {kind: figures[f"real_best_{kind}"]["note"].split("; ")[1].split(":")[0] for kind in ("single", "merge")}
    gains = [
        Gain(other, f["value"], f["low"], f["high"])
        for other, f in (
            (best["single"], figures["real_gain_over_best_single"]),
            (best["merge"], figures["real_gain_over_best_merge"]),
            ("mixed", figures["real_gain_over_mixed"]),
        )
    ]
    plan = Plan()
    about = (
        f"{plan.base}, aligned three times on {plan.examples} examples a property ({plan.epochs:g} epochs), fused on all "
        f"of them; {plan.held_out} held-out items a property, greedy answers of at most {plan.answer_tokens} tokens. "
        "mixed is one model trained on all examples; average, task_arithmetic, ties and dare_ties merge the three in "
        "weight space; vote takes of their three answers the one that the other two find likeliest."
    )
    return fusion_page(
        [_line(rows, model, made) for model in MODELS if model in scores],
        gains,
        [BASE, best["single"], "mixed", best["merge"], FUSED],
        fused["router_shares"],
        {name: drift["relative"] for name, drift in fused["drift"].items()},
        [f"{f['name']} {f['value']:.3f} (n {f['n']}): {f['note']}" for f in judge_figures(rows)],
        about,
    )


def _line(rows: Sequence[Row], model: str, made: dict[str, Row]) -> Model:
    scores = scores_of(rows)[model]
    low, high = interval_of(scores.resampled())
    mine = [r for r in rows if r["kind"] == "fusion_answers" and r["model"] == model]
    return Model(
        name=model,
        scores=scores.by_property,
        mean=scores.mean,
        low=low,
        high=high,
        words=statistics.fmean(r["words"] for r in mine),
        incoherent=sum(r["incoherent"] for r in mine),
        over_refusal=over_refusal(rows, model),
        minutes=made[model]["seconds"] / 60 if model in made else None,
    )
