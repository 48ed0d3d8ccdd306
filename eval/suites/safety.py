"""`labwright bench safety`: attacks by fine-tuning, defences, repairs (docs/safety.md says what was fixed beforehand).

Parts: `toy` (five made-up worlds, every method), `step` (time and memory of a step beside plain training), `judge` (what
the judges of replies are worth), `real` (a language model of 135 million weights; hours, so only when it is named).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from labwright.errors import MetricUndefined, WrongUse
from labwright.eval.suites import safety_choice, safety_judge, safety_real, safety_step, safety_toy
from labwright.eval.suites.document import document
from labwright.eval.suites.parts import command, refuse_unknown
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import RAW
from labwright.eval.suites.safety_figures import figures_of
from labwright.eval.suites.safety_page import page
from labwright.models.extras import require

Say = Callable[[str], None]
UNASKED = ("toy", "step", "judge")
"""Parts that run when none is named."""
SECONDS = {"rates": 45, "settings": 170, "seed": 170}
"""Of one process on one idle core, roughly: validation of the rates, of the settings, and a seed of the grid."""
QUICK_SCALE = 0.02


def _toy(rows: Rows, quick: bool, say: Say) -> None:
    seeds = safety_toy.SEEDS[:1] if quick else safety_toy.SEEDS
    workers = os.cpu_count() or 1
    validated, tested = (-(-len(s) // workers) for s in (safety_choice.SEEDS, seeds))
    total = validated * (SECONDS["rates"] + SECONDS["settings"]) + tested * SECONDS["seed"]
    if not quick:
        say(f"toy: about {total / 60:.0f} minutes on {workers} idle cores; what is measured already is not again")
    scale = QUICK_SCALE if quick else 1.0
    _each(_rates, [(rows.path, s, scale) for s in safety_choice.SEEDS], say)
    if quick:  # so few steps teach nothing, so there is nothing to choose by
        return _each(_seed, [(rows.path, s, QUICK_CHOICE, scale) for s in seeds], say)
    three = safety_choice.rates(rows.all())
    _each(_settings, [(rows.path, s, three, scale) for s in safety_choice.SEEDS], say)
    chosen = safety_choice.chosen(rows.all())
    say(f"chosen on validation attacks: {chosen}")
    return _each(_seed, [(rows.path, s, chosen, scale) for s in seeds], say)


QUICK_CHOICE: Mapping[str, Any] = {
    "rates": {"low": 3e-4, "middle": 1e-3, "high": 3e-3},
    "booster": {"weight": 1.0, "step": 0.01},
    "antidote": {"share": 0.05},
}


def _each(job: Callable[..., str], arguments: Sequence[tuple[Any, ...]], say: Say) -> None:
    """Run jobs in processes of one thread each; every row is on the disk when it is made."""
    workers = min(os.cpu_count() or 1, len(arguments))
    with ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) as pool:
        for done in as_completed([pool.submit(job, *a) for a in arguments]):
            say(done.result())


def _single(path: Path) -> Rows:
    import torch

    torch.set_num_threads(1)
    return Rows(path)


def _rates(path: Path, seed: int, scale: float) -> str:
    rows = _single(path)
    _put(rows, safety_choice.rate_rows(seed, rows.has, _silent, scale))
    return f"validation {seed}: rates done"


def _settings(path: Path, seed: int, three: Mapping[str, float], scale: float) -> str:
    rows = _single(path)
    _put(rows, safety_choice.setting_rows(seed, three, rows.has, _silent, scale))
    return f"validation {seed}: settings done"


def _seed(path: Path, seed: int, chosen: Mapping[str, Any], scale: float) -> str:
    rows = _single(path)

    def has(name: str) -> bool:
        return rows.has("toy", name) or rows.has("toy_before", name)

    _put(rows, safety_toy.toy_rows(seed, chosen, has, _silent, scale=scale))
    return f"seed {seed} done"


def _put(rows: Rows, made: Any) -> None:
    for row in made:
        rows.add(row["kind"], row["name"], {k: v for k, v in row.items() if k not in ("kind", "name")})


def _silent(text: str) -> None:
    """Workers say nothing: their lines would mix."""


def _step(rows: Rows, quick: bool, say: Say) -> None:
    if not rows.has_kind("safety_times"):
        _put(rows, safety_step.step_rows(3 if quick else safety_step.PAIRS, say))


def _judge(rows: Rows, quick: bool, say: Say) -> None:
    if not rows.has_kind("safety_judge"):
        say("judges of replies")
        _put(rows, safety_judge.judge_rows())


def _real(rows: Rows, quick: bool, say: Say, model: str = "") -> None:
    try:
        chosen = QUICK_CHOICE if quick else safety_choice.chosen(rows.all())
    except MetricUndefined as error:
        raise WrongUse(f"--parts real takes its settings from the toy's validation: {error}; run toy first") from error
    scale = QUICK_SCALE if quick else 1.0
    _put(rows, safety_real.real_rows(rows.has, chosen, say, model=model or safety_real.MODEL, scale=scale))


PARTS: Mapping[str, Callable[..., None]] = {"toy": _toy, "step": _step, "judge": _judge, "real": _real}
"""One part a kind of measurement; it measures what the rows do not hold."""


def measure(*, quick: bool, parts: Sequence[str], say: Say, model: str = "") -> dict[str, Any]:
    """Run the suite and return its document; rows that are there already are not measured again.

    Args:
        quick: the same code with a fiftieth of the steps, on one seed, in files of its own; its scores say nothing.
        parts: of PARTS; none means toy, step and judge.
        say: shows progress.
        model: of the part real; empty for its own.

    Raises:
        WrongUse: an unknown part, or a model where the part real does not run.
        SomethingMissing: the extra `local`, or for judge and real the alignment data, is not there.
    """
    refuse_unknown(parts, PARTS)
    if model and "real" not in parts:
        raise WrongUse("--model is for the part real: name it with --parts real")
    require("local", "the benchmark of defences")
    RAW.mkdir(parents=True, exist_ok=True)
    name = "safety-quick" if quick else "safety"
    rows = Rows(RAW / f"{name}.jsonl")
    for part in parts or UNASKED:
        PARTS[part](rows, quick, say, **({"model": model} if part == "real" else {}))
    typed = command("safety", parts, quick=quick, model=model)
    (RAW.parent / f"{name}.html").write_text(page(rows.all()), encoding="utf-8")
    return document("safety", typed, figures_of(rows.all(), f"docs/benchmarks/raw/{name}.jsonl"))
