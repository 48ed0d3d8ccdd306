"""The real fusion: its whole chain on a model of a few thousand weights, scores from rows by hand, and its page."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from typing import Any

import pytest
import tiny_models

from labwright.eval.goals import GOALS
from labwright.eval.properties import PROPERTIES
from labwright.eval.suites import alignment_data as data
from labwright.eval.suites import fusion_real
from labwright.eval.suites.fusion_figures import figures_of
from labwright.eval.suites.fusion_models import Plan, Work, training_data
from labwright.eval.suites.fusion_run import played_by
from labwright.eval.suites.fusion_scores import MODELS, scores_of
from labwright.eval.suites.rows import Rows
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat


class Judges:
    """Every answer is true; those of two words or more say something."""

    def verdicts(self, pairs):
        return [(True, len(answer.split()) > 1) for _, answer in pairs]


@pytest.fixture
def given(test_data, monkeypatch, tmp_path):
    monkeypatch.setenv("LABWRIGHT_TEST_DATA", str(test_data))
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tiny(given, monkeypatch, tmp_path) -> Plan:
    @contextmanager
    def judge():
        chat = ScriptedChat(rules=[{"match": ".", "probabilities": {"A": 0.6, "B": 0.4}}])
        yield Session(role="judge", backend="scripted", chat=chat, log=CallLog(tmp_path / "calls.sqlite"))

    base = tiny_models.save(tmp_path / "tiny", initializer_range=0.1)
    plan = Plan(base=str(base), examples=6, epochs=0.5, held_out=3, answer_tokens=6, known_pairs=1)
    monkeypatch.setattr(fusion_real, "QUICK", plan)
    monkeypatch.setattr(fusion_real, "_judge", judge)
    monkeypatch.setattr(fusion_real, "_honesty", lambda rows, say: Judges())
    return plan


def test_the_chain_makes_every_model_judges_every_answer_and_repeats_nothing(tiny, tmp_path):
    rows = Rows(tmp_path / "rows.jsonl")
    fusion_real.measure(rows, True, lambda _: None)
    found = rows.all()
    assert {r["name"] for r in found if r["kind"] == "fusion_answers"} == {
        f"0:{m}:{p}" for m in MODELS for p in PROPERTIES
    }
    assert {r["model"] for r in found if r["kind"] == "fusion_model"} == set(MODELS) - {"vote"}
    assert len([r for r in found if r["kind"] == "fusion_pairs"]) == 3
    fused = next(r for r in found if r["kind"] == "fusion_model" and r["model"] == "fused")
    assert set(fused["router_shares"]) == set(fused["drift"]) == set(PROPERTIES)
    # Replies to risky instructions leave their hash and their kind, and no text anywhere.
    folder = Work(tiny, 0, print).folder
    assert sorted(p.name for p in (folder / "answers").iterdir()) == sorted(
        f"{m}-{p}.json" for m in MODELS for p in ("helpful", "honest")
    )
    risky = next(r for r in found if r["name"] == "0:fused:harmless")
    assert len(risky["sha256"]) == len(risky["verdicts"]) == 3
    assert {r["name"] for r in found if r["kind"] == "fusion_refused"} == {
        f"0:{m}:{p}" for m in MODELS for p in ("helpful", "honest")
    }
    assert all(("texts" in r) == (r["property"] == "helpful") for r in found if r["kind"] == "fusion_answers")
    assert set(risky["verdicts"]) <= {"refusal", "compliance", "incoherent"}
    size = rows.path.stat().st_size
    said: list[str] = []
    fusion_real.measure(rows, True, said.append)
    assert (rows.path.stat().st_size, said) == (size, [])
    assert "<svg" in fusion_real.page(found)


def test_pairs_are_judged_without_the_models_where_only_they_are_missing(tiny, tmp_path):
    rows = Rows(tmp_path / "rows.jsonl")
    fusion_real.measure(rows, True, lambda _: None)
    before = {r["name"]: r["pairs"] for r in rows.all() if r["kind"] == "fusion_pairs"}
    rest = [json.dumps(r) for r in rows.all() if r["kind"] != "fusion_pairs"]
    elsewhere = tmp_path / "elsewhere.jsonl"
    elsewhere.write_text("\n".join(rest) + "\n")
    shutil.rmtree(Work(tiny, 0, print).folder)
    said: list[str] = []
    fusion_real.measure(Rows(elsewhere), True, said.append)
    assert {r["name"]: r["pairs"] for r in Rows(elsewhere).all() if r["kind"] == "fusion_pairs"} == before
    assert not any("making" in line for line in said)
    assert not Work(tiny, 0, print).folder.exists()


def test_what_is_trained_on_is_drawn_by_the_seed_and_holds_no_held_out_item(given):
    plan = Plan()
    one, other = training_data(plan, 0), training_data(plan, 1)
    assert one.sha256() != other.sha256()
    assert one == training_data(plan, 0)
    assert [sum(e.property == p for e in one.train) for p in PROPERTIES] == [plan.examples] * 3
    apart = {i.shown for i in (*data.split(data.helpful())[1], *data.split(data.risky())[1])}
    apart |= {q.text for q in data.held_out_questions()}
    assert not {f"{e.prompt}\n{e.input}".strip() for e in one.train} & apart


def verdicts(model: str, won: int, refused: int, true: int) -> list[dict[str, Any]]:
    """Rows of a model over ten items a property; `won` of its helpful answers beat the base's."""
    kinds = {
        "helpful": [],
        "harmless": ["refusal"] * refused + ["incoherent"] * (10 - refused),
        "honest": [[1, 1]] * true + [[1, 0]] * (10 - true),
    }
    head = {"kind": "fusion_answers", "seed": 0, "model": model, "seconds": 36.0, "words": 9.0, "incoherent": 1}
    return [
        {**head, "name": f"0:{model}:{p}", "property": p, "verdicts": kinds[p], "sha256": ["x"] * 10}
        for p in PROPERTIES
    ]


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    won = dict.fromkeys(MODELS, 5) | {"helpful": 8, "fused": 9, "ties": 7}
    refused = dict.fromkeys(MODELS, 4) | {"harmless": 10, "fused": 9}
    found = [row for m in MODELS for row in verdicts(m, won[m], refused[m], 5 if m == "base" else 6)]
    found += [
        {"kind": "fusion_pairs", "name": f"0:{n}", "seed": 0, "judge": "j", "seconds": 36.0,
         "pairs": {m: [1.0 if n < won[m] else -1.0, 0.2, True] for m in MODELS if m != "base"}}
        for n in range(10)
    ]  # fmt: skip
    drift = {p: {"absolute": [1.0, 2.0], "relative": [0.1, 0.2]} for p in PROPERTIES}
    shares = {p: [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]] for p in PROPERTIES}
    made = {"kind": "fusion_model", "seed": 0, "seconds": 360.0, "router_shares": shares, "drift": drift}
    found += [
        {"kind": "fusion_refused", "name": f"0:{m}:{p}", "seed": 0, "model": m, "property": p, "refused": n, "n": 10}
        for m in MODELS
        for p, n in (("helpful", 8 if m == "harmless" else 1), ("honest", 0))
    ]
    return found + [{**made, "name": f"0:{m}", "model": m} for m in MODELS if m != "vote"]


def test_scores_are_wins_refusals_and_the_product_of_true_and_informative(rows):
    scores = scores_of(rows)
    assert scores["fused"].by_property == pytest.approx({"helpful": 0.9, "harmless": 0.9, "honest": 0.6})
    assert scores["base"].by_property == pytest.approx({"helpful": 0.5, "harmless": 0.4, "honest": 0.5})


def test_gains_are_over_the_best_of_each_group(rows):
    found = {f["name"]: f for f in figures_of(rows, "raw")}
    assert found["real_gain_over_best_single"]["value"] == pytest.approx((2.4 / 2.1) - 1, abs=1e-4)
    assert "harmless" in found["real_best_single"]["note"]
    assert found["real_gain_over_best_merge"]["value"] == pytest.approx((2.4 / 1.7) - 1, abs=1e-4)
    assert found["real_over_refusal"]["value"] == 0.05
    assert "harmless 0.400" in found["real_over_refusal"]["note"]
    low, high = (found["real_gain_over_best_merge"][k] for k in ("low", "high"))
    assert low < found["real_gain_over_best_merge"]["value"] < high
    assert found["real_hours"]["value"] == pytest.approx((33 * 36 + 10 * 36) / 3600, abs=1e-3)
    assert {"real_gain_over_best_single", "real_gain_over_best_merge"} <= set(GOALS)


def test_a_measurement_that_is_not_whole_makes_no_figure(rows):
    for kind in ("fusion_pairs", "fusion_answers"):
        dropped = next(r for r in rows if r["kind"] == kind)
        assert not [f for f in figures_of([r for r in rows if r is not dropped], "raw") if f["name"].startswith("real")]


def test_the_page_shows_every_model_and_draws_router_drift_and_properties(rows):
    html = fusion_real.page(rows)
    for model in MODELS:
        assert f"<td>{model}</td>" in html
    assert len(re.findall(r"<polygon", html)) == 4 + 5
    assert html.count("items, layer") == 3 * 3 * 2
    assert html.count("expert, layer") == 3 * 2
    assert "Fused over harmless: +14.3 %" in html
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert fusion_real.page([r for r in rows if r["kind"] != "fusion_pairs"]) == ""


def test_the_fused_model_designs_and_reviews_and_the_embedded_one_does_the_rest(tmp_path):
    config = played_by(tmp_path)
    assert {role: config.backend_of(role)[1].kind for role in ("design", "reviewer", "search", "judge")} == {
        "design": "h3fusion", "reviewer": "h3fusion", "search": "embedded", "judge": "embedded",
    }  # fmt: skip
