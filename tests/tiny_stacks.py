"""A recipe of a stack of two-layer models, with few questions of few roles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tiny_models

from labwright.workflows.role_tasks import RoleExample
from labwright.workflows.stacks import members

RECIPE = """
name = "tiny"
base = "base"
gguf = ""

[data]
role_examples = 30
property_examples = 6
user_rows = 12
harmful_share = 0.25
helpful = ["helpful.jsonl"]
harmless = ["harmless.jsonl"]
honest = ["honest.jsonl"]

[training]
batch_size = 4
max_steps = 2
max_tokens = 160
checkpoint_every = 1
memory_check = false

[ensemble]
others = []
questions = 24
"""


def role_questions(recipe: Any, *, held_out: bool) -> list[RoleExample]:
    word = "held" if held_out else "learned"
    return [
        RoleExample(f"{word}:{n}", "dataset", "Answer yes or no.", f"Does set {word} {n} fit?", ("yes", "no")[n % 2])
        for n in range(30)
    ]


def write(folder: Path, recipe: str = RECIPE) -> Path:
    """Base, data and recipe in a folder; the path of the recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_models.save(folder / "base", max_position_embeddings=2048)
    for name in ("helpful", "harmless", "honest"):
        rows = [{"prompt": f"{name} question {n}?", "answer": f"answer {n}", "property": name} for n in range(8)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    path = folder / "recipe.toml"
    path.write_text(recipe)
    return path


def few_roles(monkeypatch: Any) -> None:
    monkeypatch.setattr(members, "role_questions", role_questions)
