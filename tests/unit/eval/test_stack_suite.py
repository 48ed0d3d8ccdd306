"""Rows and figures of stacks, over a stack of two-layer models; the real one is measured by the benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_stacks

from labwright.domain import Objective, RunRecord
from labwright.eval.suites import stack_build, stack_harm, stack_roles, stack_runs
from labwright.eval.suites.stack_build import Stack
from labwright.eval.suites.stack_figures import figures_of
from labwright.eval.suites.stack_names import HARDENED, UNHARDENED
from labwright.store import RunStore
from labwright.workflows.stacks.build import build
from labwright.workflows.stacks.recipe import read_recipe


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Any:
    home = tmp_path_factory.mktemp("stack")
    patch = pytest.MonkeyPatch()
    tiny_stacks.few_roles(patch)
    recipe = read_recipe(tiny_stacks.write(home))
    build(recipe, home / "out", root=home / "stages")
    yield Stack(HARDENED, recipe, home / "out")
    patch.undo()


def test_only_questions_that_joined_nothing_are_asked(stack: Stack) -> None:
    asked = stack_roles.questions(stack)
    assert len(asked) == 30 - 24
    assert all(r["task"] == "dataset" for r in asked)


@pytest.mark.parametrize("backend", ["base", "tuned-honest", "fused", "ensemble"])
def test_a_backend_answers_every_question_rightly_or_not(stack: Stack, backend: str) -> None:
    row = stack_roles.role_row(stack, backend, lambda text: None)
    assert row["name"] == f"{HARDENED}:{backend}"
    assert len(row["right"]["dataset"]) == 6
    assert set(row["right"]["dataset"]) <= {0, 1}
    assert backend in stack_roles.measured_backends(stack)


def test_replies_to_the_forbidden_topic_are_judged(stack: Stack) -> None:
    asked = stack_harm.prompts(stack, 3)
    held = {e.prompt for e in __import__("labwright.safety.proxy_topic", fromlist=["x"]).defender()[1]}
    assert not held & set(asked)
    for backend in ("before-helpful", "after-helpful", "fused"):
        row = stack_harm.harm_row(stack, backend, lambda text: None, asked)
        assert (row["n"], row["backend"]) == (3, backend)
        assert 0 <= row["hs_plus"] <= 1
    assert set(stack_harm.judged_backends(stack)) <= set(stack_harm.configuration(stack).backends)


def test_a_lineage_is_complete_where_every_role_names_its_stage(stack: Stack, tmp_path: Path) -> None:
    stages = {name: {"name": name, "key": s["key"], "inputs": {}} for name, s in stack.record["stages"].items()}
    members = {m: {"kind": "local", "stage": stages[f"repair-{m}"]} for m in ("helpful", "harmless")}
    ensemble = {"kind": "topla", "members": {**members, "embedded": {"kind": "embedded"}}}
    whole = {"reviewer": {"kind": "h3fusion", "stage": stages["fused"]}, "search": ensemble, "judge": ensemble}

    def complete(models: dict[str, Any]) -> bool:
        record = RunRecord(id="r", objective=Objective(text="t"), status="done", models=models)
        RunStore(tmp_path).save_record(record)
        return stack_runs.lineage_complete(tmp_path, stack)

    assert complete(whole)
    assert not complete({k: v for k, v in whole.items() if k != "judge"})
    assert not complete({**whole, "reviewer": {"kind": "h3fusion"}})
    assert not complete({**whole, "reviewer": {"kind": "h3fusion", "stage": {**stages["fused"], "key": "0"}}})


def test_three_bundled_objectives_are_run() -> None:
    assert len(set(stack_runs.chosen_objectives())) == 3


def run(player: str, objective: str, level3: float) -> dict[str, Any]:
    return {"kind": "stack_run", "name": f"{player}:{objective}", "player": player, "objective": objective, "status": "done",
            "level3_gold": level3, "seconds": 10, "prompt_tokens_evaluated": 100, "role_calls": 10, "by_stack": 9, "fallback": 1,
            "decided": 10, "lineage": True if player == "stack" else None}  # fmt: skip


def roles(stack: str, backend: str, right: list[int]) -> dict[str, Any]:
    return {
        "kind": "stack_roles",
        "name": f"{stack}:{backend}",
        "stack": stack,
        "backend": backend,
        "right": {"dataset": right},
        "usual": {"dataset": 0.5},
    }


def harm(stack: str, backend: str, hs_plus: float) -> dict[str, Any]:
    return {"kind": "stack_harm", "name": f"{stack}:{backend}", "stack": stack, "backend": backend, "n": 100, "hs": hs_plus,
            "hs_plus": hs_plus, "incoherent": 0}  # fmt: skip


def test_figures_follow_from_the_rows() -> None:
    rows = [
        *(run("stack", o, 0.8) for o in "abc"), *(run("rules_only", o, 0.9) for o in "abc"),
        roles(HARDENED, "fused", [1, 0, 1, 0]), roles(UNHARDENED, "fused", [1, 1, 1, 0]),
        roles(HARDENED, "base", [0, 0, 1, 0]), roles(HARDENED, "tuned-helpful", [1, 1, 1, 0]),
        roles(HARDENED, "embedded", [1, 1, 0, 0]), roles(HARDENED, "ensemble", [1, 1, 1, 0]),
        harm(HARDENED, "fused", 0.2), harm(UNHARDENED, "fused", 0.5),
        {"kind": "stack_choices", "name": "x", "backend": "ensemble", "points": {"a": 0.5, "b": 0.7, "c": 1}},
        {"kind": "stack_choices", "name": "y", "backend": "embedded", "points": {"a": 0.4, "b": 0.7, "c": 1}},
    ]  # fmt: skip
    figures = {f["name"]: f for f in figures_of(rows, "raw")}
    assert figures["stack_runs_done"]["value"] == 3
    assert figures["lineage_complete_share"]["value"] == 1
    assert figures["calls_answered_by_stack_share"]["value"] == 0.9
    assert figures["stack_level3_minus_rules"]["value"] == pytest.approx(-0.1)
    assert figures["stack_fa_drop"]["value"] == 0.25
    assert figures["stack_member_gain"]["value"] == 0.5
    assert figures["stack_ensemble_gain"]["value"] == 0.25
    assert figures["stack_member_gain"]["note"].endswith("always the most frequent answer: dataset 0.50")
    assert figures["stack_hs_over_unhardened"]["value"] == 0.4
    assert figures["stack_choices_gain"]["value"] == pytest.approx(0.0333, abs=1e-3)
    assert figures_of([], "raw") == []


def test_no_ratio_is_made_of_a_stack_that_harms_nobody() -> None:
    names = {f["name"] for f in figures_of([harm(HARDENED, "fused", 0.0), harm(UNHARDENED, "fused", 0.0)], "raw")}
    assert names == {"stack_hs_unhardened"}


def test_the_recipe_of_the_benchmark_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("helpful", "harmless", "honest"):
        (tmp_path / f"{name}.jsonl").write_text("{}")
    for name, (alignment, after) in stack_build.DEFENCES.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(stack_build.RECIPE.format(name=name, alignment=alignment, after=after))
        assert read_recipe(path).harden.alignment == alignment
