"""A judge is believed only after it ordered known damage, and never about its own protocols."""

from __future__ import annotations

from pathlib import Path

import pytest

from labwright.config import BackendConfig, Config
from labwright.errors import WrongUse
from labwright.eval.damage import TARGETS
from labwright.eval.protocol_findings import METRICS
from labwright.eval.suites import objective_judging
from labwright.eval.suites.judge_damage import JUDGED_STRENGTHS
from labwright.eval.suites.objective_judging import (
    believed,
    judges_of,
    measure_judge,
    with_judgements,
    worst_order,
)
from labwright.eval.suites.rows import Rows

CELL = {
    "kind": "cell",
    "name": "er_status_breast/react/author/0",
    "objective": "er_status_breast",
    "model": "author",
    "protocol": "Part 1: Genes\n- 1.1: Compare the groups.",
    "quality": {m: {"code": 4.0, "judged": None} for m in METRICS},
    "judge": "",
}


def damage_rows(judge: str, fall: float, kinds=TARGETS) -> list[dict]:
    return [
        {
            "kind": "judge_damage",
            "name": f"{judge}:{protocol}:{kind}:{strength}",
            "judge": judge,
            "protocol": protocol,
            "damage": kind,
            "strength": strength,
            "scores": {TARGETS[kind]: 4.0 - fall * strength},
        }
        for protocol in ("a", "b")
        for kind in kinds
        for strength in JUDGED_STRENGTHS
    ]


def judgement(judge: str, score: float) -> dict:
    scores = dict.fromkeys(METRICS, score)
    return {
        "kind": "judgement",
        "name": f"{judge}:{CELL['name']}",
        "judge": judge,
        "cell": CELL["name"],
        "scores": scores,
    }


def test_a_judge_that_orders_every_kind_of_damage_is_believed():
    rows = damage_rows("good", 2.0)
    assert worst_order(rows, "good") == (-1.0, dict.fromkeys(TARGETS, -1.0))
    assert believed(rows, "good")


def test_one_kind_of_damage_that_it_does_not_see_is_enough_to_disbelieve():
    blind, *others = TARGETS
    rows = [*damage_rows("blind", 2.0, others), *damage_rows("blind", 0.0, [blind])]
    found = worst_order(rows, "blind")
    assert found is not None
    assert (found[0], found[1][blind]) == (0.0, 0.0)
    assert not believed(rows, "blind")


def test_an_unfinished_series_says_nothing():
    rows = damage_rows("half", 2.0, list(TARGETS)[:-1])
    assert worst_order(rows, "half") is None
    assert not believed(rows, "half")
    assert judges_of(rows) == ["half"]


def test_only_the_points_of_a_believed_judge_reach_the_cells():
    rows = [
        CELL,
        *damage_rows("wrong", -2.0),
        judgement("wrong", 1.0),
        *damage_rows("good", 2.0),
        judgement("good", 3.0),
    ]
    [cell] = [r for r in with_judgements(rows) if r["kind"] == "cell"]
    assert cell["judge"] == "good"
    assert {v["judged"] for v in cell["quality"].values()} == {3.0}
    assert {v["code"] for v in cell["quality"].values()} == {4.0}
    [bare] = [r for r in with_judgements(rows[:-1]) if r["kind"] == "cell"]
    assert bare == CELL


def test_a_cell_without_a_protocol_gets_no_points():
    empty = {**CELL, "protocol": "", "quality": {}}
    rows = [empty, *damage_rows("good", 2.0), judgement("good", 3.0)]
    assert with_judgements(rows)[0] == empty


def constant(folder: Path) -> Config:
    """A judge that always says 3."""
    (folder / "judge.json").write_text('{"rules": [{"match": ".", "probabilities": {"3": 1.0}}]}')
    return Config(backends={"judge": BackendConfig(kind="scripted", script=str(folder / "judge.json"))})


def test_a_judge_that_always_says_the_same_judges_no_protocol(tmp_path):
    rows = Rows(tmp_path / "rows.jsonl")
    rows.put(CELL)
    said: list[str] = []
    measure_judge(rows, "judge", constant(tmp_path), said.append, lambda: True)
    assert said[-1] == "judge does not order known damage: it judges no protocol"
    assert rows.has_kind("judge_damage")
    assert not rows.has_kind("judgement")
    before = len(rows.all())
    measure_judge(rows, "judge", constant(tmp_path), said.append, lambda: True)
    assert len(rows.all()) == before


def test_a_believed_judge_judges_every_protocol_once(tmp_path, monkeypatch):
    rows = Rows(tmp_path / "rows.jsonl")
    rows.put(CELL)
    for row in damage_rows("judge", 2.0):
        rows.put(row)
    monkeypatch.setattr(objective_judging, "damages", lambda good, *, quick: iter(()))
    config = constant(tmp_path)
    measure_judge(rows, "judge", config, lambda text: None, lambda: False)
    assert not rows.has_kind("judgement")  # the time is up
    for _ in range(2):
        measure_judge(rows, "judge", config, lambda text: None, lambda: True)
    [found] = [r for r in rows.all() if r["kind"] == "judgement"]
    assert found["cell"] == CELL["name"]
    assert found["scores"] == pytest.approx(dict.fromkeys(METRICS, 3.0))


def test_nobody_judges_protocols_that_it_wrote(tmp_path):
    rows = Rows(tmp_path / "rows.jsonl")
    rows.put(CELL)
    with pytest.raises(WrongUse, match="--judge author: it wrote"):
        measure_judge(rows, "author", Config(), lambda text: None, lambda: True)


def test_how_a_judge_orders_damage_is_a_figure_whether_it_is_believed_or_not():
    from labwright.eval.suites.objective_figures import figures_of

    rows = [*damage_rows("blind", 0.0), *damage_rows("good", 2.0)]
    (found,) = [f for f in figures_of(rows, "raw") if f["name"] == "quality_judge_spearman_max"]
    assert (found["value"], found["n"]) == (-1.0, 2)
    assert "blind: steps_dropped 0.00" in found["note"]
    (blind,) = [f for f in figures_of(damage_rows("blind", 0.0), "raw") if f["name"] == "quality_judge_spearman_max"]
    assert blind["value"] == 0
    assert not figures_of(damage_rows("one", 2.0, kinds=["steps_dropped"]), "raw")
