"""`labwright bench judges`: the judge metrics and our own protocol metrics, measured (figures.md names every figure)."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from labwright.config import load_config
from labwright.eval.damage_series import damage_rows
from labwright.eval.judge_labels import Annotations, checked
from labwright.eval.judge_reliability import reliability
from labwright.eval.protocol_json import read_json
from labwright.eval.protocol_reading import Reading
from labwright.eval.suites import judge_damage, judge_recipes
from labwright.eval.suites.document import document
from labwright.eval.suites.figures import Row
from labwright.eval.suites.judge_figures import figures_of
from labwright.eval.suites.judge_recipes import Say, load_recipes
from labwright.eval.suites.judge_vectors import exact_vectors
from labwright.eval.suites.parts import within
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import RAW
from labwright.models.calls import CallLog
from labwright.workflows.backends import Backends

ITEMS, RATERS, RESAMPLES = 10_000, 5, 2000
PAGE = Path("docs/benchmarks/judges_recipes.html")
"""Tables by stratum and perception charts of the judge, and of people against people."""
QUICK_ITEMS = 6
"""Procedures that the judge rates with --quick; they are spread over the file."""


def measure(*, quick: bool, model: bool, say: Say, most_minutes: float | None = None) -> dict[str, Any]:
    """Run the suite and return its document; what the judge answered before is not asked again.

    Args:
        quick: the judge rates six procedures on one statement, and one damaged protocol; all else is the same.
        model: ask the configured judge; without it only what needs no model is measured.
        say: shows progress.
        most_minutes: the judge is asked nothing new after so many; the same command goes on.

    Raises:
        SomethingMissing: the ratings or the judge are not there.
        WrongUse: no minute is given.
    """
    may_start = within(most_minutes)
    RAW.mkdir(parents=True, exist_ok=True)
    name = "judges-quick" if quick else "judges"
    rows = Rows(RAW / f"{name}.jsonl")
    _forget(rows)
    _vectors(rows, say)
    _bootstrap(rows, say)
    _damage(rows, say)
    recipes = load_recipes(Path(os.environ.get("LABWRIGHT_TEST_DATA", "../shared/data")))
    if model:
        _ask(rows, recipes, quick, say, may_start)
    found = {**judge_labels(rows, recipes), **judge_recipes.reference_labels(recipes)}
    say("people against the judge, people and chance")
    for who, data in found.items():
        row = judge_recipes.recipes_row(who, data)
        rows.add("recipes", who, {"strata": row["strata"]})
    if not quick:
        shown = {name: data for name, data in found.items() if not name.startswith("random:")}
        PAGE.write_text(judge_recipes.recipes_page(shown), encoding="utf-8")
    command = "labwright bench judges" + (" --quick" if quick else "") + ("" if model else " --no-model")
    return document("judges", command, figures_of(rows.all(), f"docs/benchmarks/raw/{name}.jsonl"))


def _forget(rows: Rows) -> None:
    """Keep the judge's answers alone: all else is cheap, and a row of older code would pass for one of this code."""
    kept = [r for r in rows.all() if r["kind"] in ("recipe_judge", "damage_judge")]
    rows.path.write_text("".join(json.dumps(r) + "\n" for r in kept), encoding="utf-8")


def _vectors(rows: Rows, say: Say) -> None:
    for name, expected, computed in exact_vectors():
        rows.add("vector", name, {"expected": expected, "computed": computed})
    say("test vectors")


def _bootstrap(rows: Rows, say: Say) -> None:
    name = f"{ITEMS}x{RATERS}x{RESAMPLES}"
    say(f"bootstrap of {ITEMS} items, {RATERS} people, {RESAMPLES} resamples")
    data = large(ITEMS, RATERS)
    started = time.perf_counter()
    reliability(data)
    rows.add("bootstrap", name, {"seconds": round(time.perf_counter() - started, 3), "items": ITEMS})


def large(n: int, raters: int, seed: int = 0) -> Annotations:
    """Ratings made up for timing: people one off a hidden value at most, a judge that is too kind."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, 6, (n, 1))
    human = np.clip(truth + rng.integers(-1, 2, (n, raters)), 1, 5)
    machine = np.clip(truth + rng.integers(0, 2, (n, raters)), 1, 5)
    return checked(human.tolist(), machine.tolist(), range(1, 6), "ordinal")


def _damage(rows: Rows, say: Say) -> None:
    say("damage series")
    for row in damage_rows(good_protocols()):
        rows.add("damage", f"{row['protocol']}:{row['damage']}:{row['strength']}", row)


def good_protocols() -> dict[str, Reading]:
    """The protocols of `eval/suites/protocols`, by name."""
    folder = files("labwright.eval.suites") / "protocols"
    found = sorted((p.name, p.read_text(encoding="utf-8")) for p in folder.iterdir() if p.name.endswith(".yaml"))
    return {name.removesuffix(".yaml"): read_json(Path(name), yaml.safe_load(text)) for name, text in found}


def _ask(rows: Rows, recipes: judge_recipes.Recipes, quick: bool, say: Say, may_start: Callable[[], bool]) -> None:
    """Ask the judge what it was not asked before: every statement on every procedure, then the damaged protocols."""
    criteria = list(recipes.people)[-1:] if quick else list(recipes.people)
    items = list(recipes.texts)
    items = items[:: len(items) // QUICK_ITEMS][:QUICK_ITEMS] if quick else items
    # All statements on one procedure follow each other: the server keeps the procedure's prefix.
    missing = [(i, c) for i in items for c in criteria if not rows.has("recipe_judge", f"{i}:{c}")]
    good = good_protocols()
    damaged = [d for d in judge_damage.damages(good, quick=quick) if not rows.has("damage_judge", _name(d))]
    if not (missing or damaged):
        return
    backends = Backends(load_config(), roles=("judge",))
    try:
        with tempfile.TemporaryDirectory() as scratch:
            session = backends.session("judge", CallLog(Path(scratch) / "calls.sqlite"), 0)
            for item, criterion in takewhile(lambda one: may_start(), missing):
                say(f"judge: {criterion} of {item}")
                answer = judge_recipes.judge_item(session, recipes, item, criterion)
                rows.add("recipe_judge", f"{item}:{criterion}", {**answer, "judge": session.backend})
            for at in takewhile(lambda one: may_start(), damaged):
                say(f"judge: {at[0]} with {at[1]}, strength {at[2]}")
                rows.add("damage_judge", _name(at), judge_damage.judge_damaged(session, good, at))
    finally:
        backends.close()


def _name(at: tuple[str, str, float]) -> str:
    return ":".join(map(str, at))


def judge_labels(rows: Rows, recipes: judge_recipes.Recipes) -> dict[str, Annotations]:
    """People against the judge, from the rows that are there: `judge:criterion` to labels."""
    answers: dict[str, dict[str, Row]] = {}
    for row in rows.all():
        if row["kind"] == "recipe_judge":
            item, criterion = row["name"].rsplit(":", 1)
            answers.setdefault(criterion, {})[item] = row
    return {f"judge:{c}": judge_recipes.judged_labels(recipes, c, found) for c, found in answers.items()}
