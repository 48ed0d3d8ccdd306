"""The picture of what a run's models are made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labwright.domain import Objective, RunRecord
from labwright.eval.report import write_report
from labwright.eval.report_lineage import Node, lineage
from labwright.store import RunStore

MEMBER = {
    "kind": "local", "model": "repair-helpful@0123", "sha256": "ab" * 32,
    "stage": {"name": "repair-helpful", "key": "cd" * 32, "inputs": {"tune-helpful": "ef" * 32}},
    "hardening": {"steps": [{"defence": "booster", "stage": "alignment", "settings": {"weight": 5}},
                            {"defence": "antidote", "stage": "after fine-tuning", "settings": {}}]},
}  # fmt: skip
ENSEMBLE = {
    "name": "ensemble", "kind": "topla", "model": "trained@1", "members": {"helpful": MEMBER, "embedded": {"kind": "embedded"}},
    "trained": {"joining": "linear pool", "chosen_on": 100, "weights": {"helpful": 0.7, "embedded": 0.3}, "data_sha256": "9" * 64},
}  # fmt: skip
STEERED = {
    "name": "eyes", "kind": "steered", "model": "llava@2", "sha256": "77" * 32,
    "steering": {"level": "dataset", "alpha": 0.5, "layers": "upper_half", "positions": "last_prompt", "compensate": False, "reason": "given", "anchors": 40, "corruption": "blank", "vectors_sha256": "55" * 32},
}  # fmt: skip
PLAIN = {"name": "small", "kind": "embedded", "model": "qwen.gguf", "sha256": "ab" * 32}


def record(**models) -> RunRecord:
    return RunRecord(id="r", objective=Objective(text="Which genes predict relapse?"), status="done", models=models)


def titles(node: Node) -> list[str]:
    return [node.title, *(t for child in node.children for t in titles(child))]


def test_an_ensemble_shows_its_members_with_all_that_they_are_made_of() -> None:
    (tree,) = lineage(record(search=ENSEMBLE, judge=ENSEMBLE))
    assert titles(tree) == [
        "search, judge: ensemble", "joined by linear pool", "helpful", "built as repair-helpful, on", "tune-helpful",
        "hardened by, in this order", "booster, alignment", "antidote, after fine-tuning", "embedded",
    ]  # fmt: skip
    assert tree.children[0].facts == ("chosen on 100 questions", "weights helpful 0.70, embedded 0.30")
    helpful = tree.children[1]
    assert helpful.hash == "ab" * 6
    assert helpful.children[0].hash == "cd" * 6
    assert helpful.children[1].children[0].facts == ("weight 5",)


def test_a_steered_and_a_fused_model() -> None:
    steered, fused = lineage(record(design=STEERED, reviewer={
        "name": "fused", "kind": "h3fusion", "model": "fused@3", "experts": 3, "top_k": 2, "stage": MEMBER["stage"]}))  # fmt: skip
    assert steered.children[0].title == "shift vectors of 40 anchors, blank images"
    assert steered.children[0].facts == ("level dataset", "alpha 0.5", "layers upper half, last prompt", "given")
    assert "3 experts, 2 a token" in fused.facts


def test_a_model_that_is_one_file_has_no_tree() -> None:
    assert lineage(record(search=PLAIN, design={"name": "x", "kind": "remote", "model": "gpt"})) == []


@pytest.mark.parametrize("name", ["stage", "hardening", "steering", "trained", "members", "adapter"])
@pytest.mark.parametrize("damaged", ["text", 7, ["a"], {"steps": 3, "inputs": "x", "weights": 1}, None])
def test_damaged_facts_are_left_out(name: str, damaged: object) -> None:
    for tree in lineage(record(search={**PLAIN, name: damaged})):
        assert titles(tree)


def test_the_report_draws_it_and_escapes_what_it_holds(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    hostile = {**ENSEMBLE, "members": {"<img src=x onerror=alert(1)>": MEMBER}}
    store.write(tmp_path / "record.json", record(search=hostile, design=PLAIN))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "What the models are made of" in page
    assert "antidote, after fine-tuning" in page
    assert "<img src=x" not in page
    assert "hardening:" not in page  # not a second time as raw text
    store.write(tmp_path / "record.json", record(design=PLAIN))
    assert "What the models are made of" not in write_report(tmp_path).read_text(encoding="utf-8")
    assert json.loads((tmp_path / "record.json").read_text())["models"]["design"]["name"] == "small"
