"""Steering on a model that was taught to read plots: the whole way with a model of a few thousand weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_vision
from unit.eval.test_figure_reading import dataset

from labwright.eval.suites import alignment_data, vision_real
from labwright.eval.suites import figure_reading as reading
from labwright.eval.suites.alignment_data import Instruction
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.vision_figures import figures_of


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
    sets = {part: [dataset(tmp_path / "sets" / part, n)] for n, part in enumerate(("train", "validation", "test"))}
    monkeypatch.setattr(reading, "folders", lambda: sets)
    for kind in ("risky", "helpful"):
        made = [Instruction(f"{kind}{n}", f"{kind} {n}?", "", "An answer.") for n in range(200)]
        monkeypatch.setattr(alignment_data, kind, lambda made=made: made)


def test_the_whole_way_and_only_once(tmp_path: Path) -> None:
    rows, said = Rows(tmp_path / "r.jsonl"), []
    size = vision_real.Size(anchors=3, harmful=10, ordinary=10, read=2, reply_tokens=4)
    lesson = reading.Size(train=8, validation=2, test=2, epochs=1)
    made = tiny_vision.save(tmp_path / "model")
    vision_real.measure(rows, said.append, size, lesson=lesson, made=made)
    found = rows.all()
    seen = {r["name"]: r for r in found if r["kind"] == "steering_real"}
    assert {"image:none", "meaningless:none", "caption:none", "text:none"} <= set(seen)
    assert all(r["unsafe"][1] == r["benign"][1] == 8 for r in seen.values())  # a fifth chose alpha
    assert {r["name"] for r in found if r["kind"] == "steering_real_choice"} == {"dataset", "sample"}
    assert not any("risky" in str(r) for r in found)
    figures = {f["name"]: f for f in figures_of(found, "raw")}
    assert {"cmrm_real_text_unsafe", "cmrm_real_raw_unsafe", "cmrm_real_figure_kind_acc"} <= set(figures)
    assert figures["cmrm_real_raw_unsafe"]["n"] == 8
    vision_real.measure(rows, said.append, size, lesson=lesson, made=made)
    assert rows.all() == found


def test_anchors_and_test_items_have_nothing_in_common() -> None:
    plots = reading.drawn("test", reading.folders()["test"], 3, print)
    taken = {i.text for i in vision_real.items(30, 30, plots, held_out=False)}
    asked = {i.text for i in vision_real.items(30, 30, plots, held_out=True)}
    assert len(taken) == len(asked) == 60
    assert not taken & asked
