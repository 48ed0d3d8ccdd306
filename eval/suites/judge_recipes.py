"""How far the judge is from people on real ratings of procedural text: 52 procedures, six statements, scale 1 to 6.

The data are JUDGE-BENCH's recipes (15 to 88 people a procedure), which are not part of the project. Beside the judge
stand two marks measured with the same numbers: one half of the people against the other half, and a random labeller.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.errors import SomethingMissing
from labwright.eval.judge_aggregates import random_labels
from labwright.eval.judge_arrays import Half
from labwright.eval.judge_file import read_annotations
from labwright.eval.judge_labels import Annotations, Label, checked
from labwright.eval.judge_page import page
from labwright.eval.judge_reliability import reliability, stratify
from labwright.eval.judge_table import Settings
from labwright.eval.perception_chart import chart_data
from labwright.eval.suites.figures import Row
from labwright.models.ask import Session, choose
from labwright.models.prompt_file import load_prompt

NAME = Path("judge") / "recipes_meta_evaluation.json"
DEGREES = ("not at all", "hardly", "rather not", "somewhat", "mostly", "fully")
DIGITS = ("1", "2", "3", "4", "5", "6")
EVEN = dict.fromkeys(DIGITS, 1 / 6)
LABELS_A_SAMPLE = 10
"""Labels that stand for one answer's token probabilities; with two samples 20 a procedure, as in the paper."""
HALF: Half = "split"
"""People are an even number for most procedures, so that many medians lie between two labels."""
KEPT = ("alpha_HH", "alpha_MM", "alpha_HM", "alpha_HR", "alpha_diff", "spearman_means", "jsb")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipes:
    """The ratings, and what the judge needs to give its own."""

    people: dict[str, Annotations]
    """Criterion to the labels of people."""
    texts: dict[str, str]
    """Item to procedure."""
    statements: dict[str, str]
    """Criterion to the statement that people were shown."""


def load_recipes(folder: Path) -> Recipes:
    """Read the data.

    Args:
        folder: test data, see LABWRIGHT_TEST_DATA.

    Raises:
        SomethingMissing: the file is not there.
        WrongUse: it is not of its form.
    """
    path = folder / NAME
    if not path.is_file():
        raise SomethingMissing(f"{path} is not there; set LABWRIGHT_TEST_DATA to the folder that holds {NAME}")
    people = read_annotations(path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    texts = {str(i["id"]): str(i["instance"]) for i in raw["instances"]}
    statements = {str(m["metric"]): str(m["prompt"]).split("Statement:")[-1].strip() for m in raw["annotations"]}
    return Recipes(people, texts, statements)


def sampled(probabilities: Mapping[str, float], n: int = LABELS_A_SAMPLE) -> list[int]:
    """N labels that stand for a distribution over digits: its quantiles at (i + 1/2) / n, so without a draw.

    Example:
        >>> sampled({"1": 0.5, "2": 0.5}, 4)
        [1, 1, 2, 2]
    """
    out: list[int] = []
    total = 0.0
    wanted = [(i + 0.5) / n for i in range(n)]
    for label in sorted(probabilities, key=int):
        total += probabilities[label]
        out += [int(label)] * (sum(w < total for w in wanted) - len(out))
    return out + [max(map(int, probabilities))] * (n - len(out))


def judge_item(session: Session, recipes: Recipes, item: str, criterion: str) -> dict[str, Any]:
    """The judge's answer for one procedure and statement: two samples, the scale shown rising and falling.

    Args:
        session: the judge's.
        recipes: the data.
        item: a procedure's id.
        criterion: one of the six.

    Returns:
        probabilities (one mapping of digit to probability a sample) and decided_by of each.
    """
    lines = [f"{digit} {degree}" for digit, degree in zip(DIGITS, DEGREES, strict=True)]
    samples = []
    for scale in (lines, lines[::-1]):
        asked = load_prompt("labwright.eval.prompts", "rate_text").render(
            text=recipes.texts[item], statement=recipes.statements[criterion], scale="\n".join(scale)
        )
        samples.append(choose(session, asked, DIGITS, fallback=EVEN))
    return {
        "probabilities": [{k: round(p, 5) for k, p in s.value.items()} for s in samples],
        "decided_by": [s.decided_by for s in samples],
    }


def reference_labels(recipes: Recipes) -> dict[str, Annotations]:
    """Half of the people against the other half, and against a random labeller: `people:criterion`, `random:criterion`."""
    found = {}
    for criterion, data in recipes.people.items():
        halves = [_halves(row, f"{criterion}:{item}") for item, row in zip(data.items, data.human, strict=True)]
        chance = random_labels(len(data.items), data.labels, seed=1, each=20)
        for who, human, machine in (
            ("people", [a for a, _ in halves], [b for _, b in halves]),
            ("random", data.human, chance),
        ):
            found[f"{who}:{criterion}"] = checked(human, machine, data.labels, "ordinal", items=data.items)
    return found


def judged_labels(recipes: Recipes, criterion: str, answers: Mapping[str, Row]) -> Annotations:
    """People against the judge for one criterion.

    Args:
        recipes: the data.
        criterion: one of the six.
        answers: item to what `judge_item` gave; items without one are left out.
    """
    data = recipes.people[criterion]
    labels: list[list[Label]] = [
        [x for p in answers[item]["probabilities"] for x in sampled(p)] if item in answers else []
        for item in data.items
    ]
    return checked(data.human, labels, data.labels, "ordinal", items=data.items)


def recipes_row(name: str, data: Annotations, *, resamples: int = 2000) -> Row:
    """The row of one labeller and criterion."""
    return {"kind": "recipes", "name": name, "strata": summary(data, resamples)}


def recipes_page(found: Mapping[str, Annotations]) -> str:
    """Table by stratum and perception chart of each, as one page that opens offline.

    Raises:
        SomethingMissing: matplotlib is not installed.
    """
    criteria = {
        name.replace(":", ": "): {**reliability(data, half=HALF), "chart": chart_data(data, half=HALF)}
        for name, data in found.items()
    }
    return page({"file": "rated procedures (JUDGE-BENCH recipes)", "criteria": criteria})


def summary(data: Annotations, resamples: int) -> list[dict[str, Any]]:
    """The table by stratum, cut to what a reader compares; no label of a person is in it."""
    rows = stratify(data, Settings(kind=data.kind, labels=data.labels, resamples=resamples), half=HALF)
    return [
        {
            "stratum": row["name"],
            "size": row["size"],
            **{
                name: [None if x is None else round(x, 4) for x in (f.value, f.low, f.high)]
                for name, f in row["figures"].items()
                if name in KEPT
            },
        }
        for row in rows
        if row["size"]
    ]


def _halves(row: Sequence[Label], seed: str) -> tuple[list[Label], list[Label]]:
    shuffled = list(row)
    random.Random(seed).shuffle(shuffled)  # noqa: S311  (a split, not a secret)
    return shuffled[::2], shuffled[1::2]
