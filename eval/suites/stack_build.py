"""The stacks that are measured: one hardened, one not, else alike; their data come from LABWRIGHT_TEST_DATA."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labwright.config import cache_dir
from labwright.eval.suites import alignment_data
from labwright.eval.suites.parts import training_progress
from labwright.eval.suites.stack_names import HARDENED, UNHARDENED
from labwright.workflows.stacks.build import CONFIG, RECORD, build
from labwright.workflows.stacks.recipe import Recipe, read_recipe

Say = Callable[[str], None]
RECIPE = """
name = "bench-{name}"
base = "smollm2-135m-instruct"

[data]
role_objectives = 12
role_examples = 900
property_examples = 150
user_rows = 200
harmful_share = 0.1
helpful = ["helpful.jsonl"]
harmless = ["harmless.jsonl"]
honest = ["honest.jsonl"]

[training]
batch_size = 8
max_tokens = 384
autocast = "bfloat16"

[tune]
learning_rate = 2e-4

[fusion]
max_steps = 60

[harden]
alignment = "{alignment}"
after = "{after}"

[ensemble]
questions = 120
"""
DEFENCES = {HARDENED: ("booster", "antidote"), UNHARDENED: ("none", "none")}


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that was built."""

    name: str
    recipe: Recipe
    folder: Path

    @property
    def config(self) -> Path:
        """Its labwright.toml."""
        return self.folder / CONFIG

    @property
    def record(self) -> dict[str, Any]:
        """Its stack.json."""
        held: dict[str, Any] = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        return held


def ensure(name: str, say: Say, text: str = RECIPE) -> Stack:
    """Build a stack, or take it as it was built; both stacks share the stages that they have in common.

    Args:
        name: HARDENED or UNHARDENED.
        say: shows progress.
        text: of the recipe, with places for name and defences.
    """
    home = cache_dir() / "bench" / "stack"
    home.mkdir(parents=True, exist_ok=True)
    _data(home)
    alignment, after = DEFENCES[name]
    path = home / f"{name}.toml"
    path.write_text(text.format(name=name, alignment=alignment, after=after), encoding="utf-8")
    recipe = read_recipe(path)

    build(recipe, home / name, training_progress(name, say), root=home / "stages")
    return Stack(name, recipe, home / name)


def _data(home: Path) -> None:
    """Examples of the properties from the alignment data, those of `labwright bench fusion` held out."""
    instructions = {
        "helpful": alignment_data.split(alignment_data.helpful())[0],
        "harmless": alignment_data.split(alignment_data.safe_replies())[0],
    }
    for member, items in instructions.items():
        _write(home / f"{member}.jsonl", [
            {"prompt": i.text, "input": i.input, "answer": i.answer, "property": member, "id": i.id} for i in items
        ])  # fmt: skip
    held = {q.text for q in alignment_data.held_out_questions()}
    known = [q for q in alignment_data.questions() if q.text not in held]
    _write(home / "honest.jsonl", [
        {"prompt": q.text, "answer": q.correct[0], "property": "honest", "id": f"q{n}"} for n, q in enumerate(known)
    ])  # fmt: skip


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
