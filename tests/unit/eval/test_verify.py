"""Raw rows that survive an interruption, the document made of them, and its recomputation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import WrongUse
from labwright.eval.suites.choices_suite import Outcome
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import _outcome, document
from labwright.eval.suites.verify import verify_suite

ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("objective", "a:0", {"level3_gold": 0.5, "level3_tasks": 2, "model_share": 0.9, "seconds": 100.5,
                          "prompt_tokens_evaluated": 900, "generated_tokens": 70, "overhead_share": 0.031,
                          "checkpoint_max_kib": 1.5}),
    ("objective", "b:0", {"level3_gold": 1 / 3, "failed": "RunFailed: x"}),
    ("objective", "c:0", {"level3_gold": 1.0, "level3_tasks": 4}),
    ("choice_rules", "c1", {"answerable": True, "refused": False, "dataset_points": 0, "operator_points": 1, "paper_points": 0.3}),
    ("choice_model", "c1", {"answerable": True, "refused": False, "dataset_points": 1, "operator_points": 1, "paper_points": 0.7}),
    ("kills", "k", {"kills": 3, "repeated": 0, "requests": 9, "in_flight": 1}),
]  # fmt: skip
NAMES = [
    "level3_rate_gold", "level3_tasks", "model_decided_share", "seconds", "prompt_tokens_evaluated", "generated_tokens",
    "overhead_share", "checkpoint_max_kib", "model_over_rules_points", "calls_repeated_after_kill",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A committed benchmark."""
    (tmp_path / "raw").mkdir()
    rows = Rows(tmp_path / "raw" / "run.jsonl")
    for kind, name, values in ROWS:
        rows.add(kind, name, values)
    (tmp_path / "run.json").write_text(json.dumps(document("run", rows.all(), quick=False)))
    return tmp_path


def change(folder: Path, edit: Any) -> None:
    made = json.loads((folder / "run.json").read_text())
    edit(made["figures"])
    (folder / "run.json").write_text(json.dumps(made))


def test_no_row_is_there_before_one_was_measured(tmp_path):
    rows = Rows(tmp_path / "x.jsonl")
    assert rows.all() == []
    assert not rows.has("objective", "a:0")


def test_rows_are_found_again_by_the_next_process(tmp_path):
    """By kind and name together, in the order in which they were measured."""
    Rows(tmp_path / "x.jsonl").add("objective", "a:0", {"level3_gold": 0.5})
    again = Rows(tmp_path / "x.jsonl")
    assert again.has("objective", "a:0")
    assert not again.has("objective", "a:1")
    assert not again.has("kills", "a:0")
    again.add("objective", "é:0", {"level3_gold": 1.0})
    assert [r["name"] for r in Rows(tmp_path / "x.jsonl").all()] == ["a:0", "é:0"]
    first = Rows(tmp_path / "x.jsonl").all()[0]
    assert len(first.pop("commit")) in (0, 12)
    assert first == {"kind": "objective", "name": "a:0", "level3_gold": 0.5}


def test_the_row_of_a_choice_holds_what_the_figures_need():
    outcome = Outcome("c1", "gbsg2", False, ("cox_regression",), ("p1",), 1.0, 0.5, 0.25)
    row = _outcome(outcome, {"id": "c1"})
    assert (row["answerable"], row["refused"], row["dataset"]) == (True, False, "gbsg2")
    assert (row["dataset_points"], row["operator_points"], row["paper_points"]) == (1.0, 0.5, 0.25)
    assert _outcome(outcome, {"id": "u1", "answerable": False})["answerable"] is False


def test_the_document_says_how_where_and_when_it_was_measured(folder):
    made = json.loads((folder / "run.json").read_text())
    assert (made["suite"], made["command"]) == ("run", "labwright bench run")
    assert document("run-quick", [], quick=True)["command"] == "labwright bench run --quick"
    assert made["machine"]["cores"] == os.cpu_count()
    assert made["machine"]["memory_gib"] > 0.1
    assert made["at"].endswith("+00:00")
    assert [f["name"] for f in made["figures"]] == NAMES
    assert {f["raw"] for f in made["figures"]} == {"docs/benchmarks/raw/run.jsonl"}


def test_figures_that_were_computed_from_their_rows_agree(folder):
    assert verify_suite("run", folder) == []


@pytest.mark.parametrize("place", range(len(NAMES)))
@pytest.mark.parametrize("field", ["value", "n", "note"])
def test_a_changed_figure_is_named(folder, place, field):
    change(folder, lambda figures: figures[place].update({field: "better" if field == "note" else 10**6}))
    [line] = verify_suite("run", folder)
    assert line.startswith(f"{NAMES[place]}: committed ")


def test_a_changed_row_changes_the_figures_that_rest_on_it(folder):
    raw = folder / "raw" / "run.jsonl"
    raw.write_text(raw.read_text().replace('"level3_gold": 0.5', '"level3_gold": 0.6'))
    assert [line.split(":")[0] for line in verify_suite("run", folder)] == ["level3_rate_gold"]


def test_a_figure_that_was_left_out_is_noticed(folder):
    change(folder, lambda figures: figures.pop())
    assert verify_suite("run", folder) == ["9 figures are committed, 10 computed"]


def test_a_row_that_was_left_out_is_noticed(folder):
    """Without the run that took seconds there are five figures of economy and one share fewer."""
    raw = folder / "raw" / "run.jsonl"
    raw.write_text("".join(line for line in raw.read_text().splitlines(keepends=True) if '"a:0"' not in line))
    assert verify_suite("run", folder)[-1] == "10 figures are committed, 4 computed"


def test_a_benchmark_that_is_not_there_is_wrong_use(tmp_path):
    with pytest.raises(WrongUse, match=r"absent\.json: no such benchmark; .* `make bench-absent`"):
        verify_suite("absent", tmp_path)
