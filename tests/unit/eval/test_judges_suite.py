"""The judges' benchmark: figures from rows, and a judge measured on ratings of people without a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labwright.errors import SomethingMissing
from labwright.eval.suites import document, judge_damage, judge_recipes
from labwright.eval.suites.judge_figures import figures_of
from labwright.eval.suites.judge_recipes import (
    Recipes,
    judge_item,
    judged_labels,
    load_recipes,
    recipes_page,
    recipes_row,
    reference_labels,
    sampled,
)
from labwright.eval.suites.judges import good_protocols, judge_labels, large
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.verify import verify_suite
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat

ROWS = [
    {"kind": "vector", "name": "V1/x", "expected": 0.5, "computed": 0.5000002},
    {"kind": "vector", "name": "V2/y", "expected": None, "computed": None},
    {"kind": "bootstrap", "name": "b", "seconds": 2.5, "items": 10_000},
    {"kind": "recipes", "name": "people:a", "strata": [{"stratum": "All", "size": 4, "alpha_HM": [0.8, 0.7, 0.9], "jsb": [0.1, 0.0, 0.2]}]},
    {"kind": "recipes", "name": "people:b", "strata": [{"stratum": "All", "size": 4, "alpha_HM": [0.6, 0.5, 0.7], "jsb": [None, None, None]}]},
]  # fmt: skip


@pytest.fixture
def session(tmp_path: Path) -> Session:
    rules = [{"match": "1 not at all.*6 fully", "probabilities": {"5": 0.8, "6": 0.2}},
             {"match": "6 fully.*1 not at all", "probabilities": {"4": 1.0}}]  # fmt: skip
    return Session(
        role="judge", backend="scripted", chat=ScriptedChat(rules=rules), log=CallLog(tmp_path / "calls.sqlite")
    )


@pytest.fixture
def recipes(test_data: Path) -> Recipes:
    return load_recipes(test_data)


def test_figures_are_made_of_rows():
    figures = {f["name"]: f for f in figures_of(ROWS, "raw/judges.jsonl")}
    assert figures["vectors_max_error"]["value"] == pytest.approx(2e-7)
    assert figures["bootstrap_10k_s"]["value"] == 2.5
    assert figures["recipes_people_alpha_hm"]["value"] == pytest.approx(0.7)
    assert figures["recipes_people_jsb"]["note"] == "a 0.10"
    assert not any(name.startswith("recipes_judge") for name in figures)


def test_a_vector_that_lost_its_value_is_an_infinite_error():
    lost = [{"kind": "vector", "name": "V1", "expected": 0.5, "computed": None}]
    assert figures_of(lost, "")[0]["value"] == float("inf")


def test_the_document_is_recomputed_from_its_rows(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "judges.jsonl").write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    made = document.document("judges", "labwright bench judges", figures_of(ROWS, "docs/benchmarks/raw/judges.jsonl"))
    (tmp_path / "judges.json").write_text(json.dumps(made))
    assert verify_suite("judges", tmp_path) == []
    made["figures"][1]["value"] = 1.0
    (tmp_path / "judges.json").write_text(json.dumps(made))
    [line] = verify_suite("judges", tmp_path)
    assert "bootstrap_10k_s" in line


def test_labels_stand_for_probabilities():
    assert sampled({"1": 0.2, "2": 0.0, "3": 0.8}, 10) == [1, 1, 3, 3, 3, 3, 3, 3, 3, 3]
    assert sampled({"1": 0.0, "6": 0.9999999}, 3) == [6, 6, 6]


def test_the_judge_is_asked_twice_with_the_scale_turned_and_does_not_see_what_people_said(session, recipes):
    item = next(iter(recipes.texts))
    answer = judge_item(session, recipes, item, "structure")
    assert [max(p, key=p.get) for p in answer["probabilities"]] == ["5", "4"]
    assert answer["decided_by"] == ["model", "model"]
    assert len(session.chat.seen) == 2
    for prompt in session.chat.seen:
        assert recipes.texts[item].strip() in prompt
        assert "helpful order" in prompt
        assert item not in prompt, "the name of an item gives away how its text was made"


def test_a_judge_that_says_what_people_say_is_near_them_and_a_constant_one_is_not(recipes):
    data = recipes.people["structure"]

    def answers(odds):
        return {item: {"probabilities": [odds(row)]} for item, row in zip(data.items, data.human, strict=True)}

    near = answers(lambda row: {str(d): sum(x == d for x in row) / len(row) for d in range(1, 7)})
    constant = answers(lambda row: {str(d): float(d == 4) for d in range(1, 7)})
    found = {
        name: recipes_row(name, judged_labels(recipes, "structure", a), resamples=0)["strata"][0]
        for name, a in (("near", near), ("constant", constant))
    }
    assert found["near"]["jsb"][0] < 0.1 < 0.4 < found["constant"]["jsb"][0]
    assert found["near"]["alpha_HM"][0] > 0.9
    assert found["constant"]["alpha_HM"][0] < 0.1


def test_people_are_nearer_to_people_than_chance_is(recipes):
    rows = {name: recipes_row(name, data, resamples=0)["strata"][0] for name, data in reference_labels(recipes).items()}
    assert len(rows) == 12
    for criterion in recipes.people:
        people, chance = rows[f"people:{criterion}"], rows[f"random:{criterion}"]
        assert people["jsb"][0] < 0.7 * chance["jsb"][0]
        assert people["alpha_HM"][0] > 0.6 > 0.3 > chance["alpha_HM"][0]


def test_no_label_of_a_person_is_written_into_the_rows(recipes):
    text = json.dumps([recipes_row(n, d, resamples=0) for n, d in reference_labels(recipes).items()])
    assert not any(item in text for item in recipes.texts)


def test_without_the_data_it_says_where_they_should_be(tmp_path):
    with pytest.raises(SomethingMissing, match="LABWRIGHT_TEST_DATA"):
        load_recipes(tmp_path)


def test_the_timed_data_are_what_the_figure_says():
    data = large(20, 5)
    assert {len(row) for row in (*data.human, *data.machine)} == {5}
    assert judge_recipes.LABELS_A_SAMPLE * 2 == 20


def test_the_page_of_the_ratings_holds_a_chart_and_names_no_procedure(recipes):
    one = {name: data for name, data in reference_labels(recipes).items() if name == "people:structure"}
    html = recipes_page(one)
    assert html.count("data:image/png;base64,") == 1
    assert "people: structure" in html
    assert not any(item in html for item in recipes.texts)


def test_the_judges_answers_are_kept_and_its_table_is_made_of_them(session, recipes, tmp_path):
    rows = Rows(tmp_path / "rows.jsonl")
    for item in list(recipes.texts)[:5]:
        rows.add("recipe_judge", f"{item}:overall", judge_item(session, recipes, item, "overall"))
    found = judge_labels(rows, recipes)
    assert list(found) == ["judge:overall"]
    assert len(found["judge:overall"].items) == 5
    assert all(len(row) == 20 for row in found["judge:overall"].machine)


def test_a_judge_that_sees_damage_is_told_from_one_that_does_not(tmp_path):
    """The scripted judge counts a word: it sees steps that are gone, and nothing else."""
    protocols = {"hormone_therapy": good_protocols()["hormone_therapy"]}
    wanted = list(judge_damage.damages(protocols, quick=False))
    assert len(wanted) == 6 * 3
    chat = ScriptedChat(rules=[{"match": "(- [0-9.]+: .*){15}", "probabilities": {"5": 1.0}},
                               {"match": "(- [0-9.]+: .*){10}", "probabilities": {"3": 1.0}},
                               {"match": ".", "probabilities": {"1": 1.0}}])  # fmt: skip
    asked = Session(role="judge", backend="counts", chat=chat, log=CallLog(tmp_path / "c.sqlite"))
    rows = [{"kind": "damage_judge", **judge_damage.judge_damaged(asked, protocols, at)} for at in wanted]
    assert [r["scores"] for r in rows[:3]] == [{"completeness": 5.0}, {"completeness": 3.0}, {"completeness": 1.0}]
    [figure] = figures_of(rows, "")
    assert (figure["name"], figure["value"], figure["n"]) == ("damage_judge_spearman_max", 0.0, 1)
    assert "steps_dropped -1.00" in figure["note"]
    assert figures_of(rows[:3], "") == [], "an unfinished series has no figure"
