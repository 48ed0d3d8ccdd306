"""Roles of data: windows, mixing, disjointness, files of users, the stand-in topic; and the tables of the threat model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labwright.errors import TrainingRefused
from labwright.models.training.examples import Example
from labwright.safety import proxy_topic, threat_model
from labwright.safety.attacking import proxy_data
from labwright.safety.data import Window, cut, mix, require_disjoint, row_counts
from labwright.safety.data_files import alignment_examples, harmful_examples, read_pairs, read_refusals
from labwright.safety.refusal import kind_of_reply

ROOT = Path(__file__).parents[3]
ROWS = tuple(Example(f"question {n}", f"answer {n}", id=f"r{n}") for n in range(20))


@pytest.mark.parametrize(
    ("share", "size", "wanted"),
    [
        (0.05, 1000, (50, 950)),
        (0.1, 1000, (100, 900)),
        (0.2, 5000, (1000, 4000)),
        (0.1, 700, (70, 630)),
        (0.29, 100, (29, 71)),
        (0, 7, (0, 7)),
        (1, 7, (7, 0)),
    ],
)
def test_counts_of_a_mix(share, size, wanted):
    assert row_counts(share, size) == wanted


def test_a_mix_is_deterministic_takes_the_first_rows_and_shuffles_them():
    harmful, ordinary = ROWS[:10], ROWS[10:]
    rows = mix(harmful, ordinary, share=0.3, size=10, seed=4)
    assert rows == mix(harmful, ordinary, share=0.3, size=10, seed=4)
    assert rows != mix(harmful, ordinary, share=0.3, size=10, seed=5)
    assert set(rows) == {*ROWS[:3], *ROWS[10:17]}
    assert mix((), ordinary, share=0, size=10, seed=0) != ordinary
    assert set(mix(harmful, (), share=1, size=10, seed=0)) == set(harmful)


@pytest.mark.parametrize(
    ("share", "size", "said"),
    [(1.5, 4, "between 0 and 1"), (-0.1, 4, "between"), (0.5, 0, "one or more"), (0.5, 40, "needs 20 harmful ones")],
)
def test_a_mix_that_cannot_be_made_is_refused(share, size, said):
    with pytest.raises(TrainingRefused, match=said):
        mix(ROWS[:10], ROWS[10:], share=share, size=size, seed=0)


def test_windows_are_half_open_and_may_touch_but_not_overlap():
    parts = cut(ROWS, {"harmful": Window(0, 5), "attack": Window(5, 20)})
    assert [len(parts[r]) for r in ("harmful", "attack")] == [5, 15]
    assert parts["harmful"][-1].id == "r4"
    for windows, said in (
        ({"a": Window(0, 6), "b": Window(5, 9)}, "overlap"),
        ({"a": Window(3, 3)}, "no window"),
        ({"a": Window(-1, 3)}, "no window"),
        ({"a": Window(15, 21)}, "the data has 20"),
    ):
        with pytest.raises(TrainingRefused, match=said):
            cut(ROWS, windows)


def test_a_question_in_two_roles_is_refused_whatever_its_case_and_answer():
    require_disjoint({"harmful": ROWS[:5], "attack": ROWS[5:], "test": ()})
    with pytest.raises(TrainingRefused, match="attack and test share 1 questions, such as 'r6'"):
        require_disjoint({"attack": ROWS[5:8], "test": [Example("QUESTION  6", "other")]})


def test_labelled_pairs_of_both_forms(tmp_path):
    lines = [
        {"prompt": "q1", "response": "bad", "is_safe": False, "category": {"x": True}},
        {"prompt": "q2", "response": "good", "is_safe": True},
    ]
    beaver = tmp_path / "beaver.jsonl"
    beaver.write_text("\n".join(map(json.dumps, lines)))
    pairs = read_pairs(beaver)
    assert [e.answer for e in harmful_examples(pairs)] == ["bad"]
    assert [e.answer for e in alignment_examples(pairs)] == ["good"]
    booster = tmp_path / "booster.json"
    booster.write_text(json.dumps([{"prompt": "q", "response": "bad", "refusal": "Question: q\nAnswer: I cannot."}]))
    pairs = read_pairs(booster)
    assert alignment_examples(pairs)[0].answer == "I cannot."
    assert harmful_examples(pairs)[0].id == "booster.json:1"
    with pytest.raises(TrainingRefused, match="no row labelled unsafe"):
        harmful_examples(read_pairs(beaver)[1:])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"prompt": "q"}', "row 1: response missing"),
        ('{"prompt": "q", "response": "r", "is_safe": "no"}', "neither true nor false"),
        ('{"prompt": "q", "response": "r", "refusal": 3}', "refusal is no text"),
        ("[1]", "row 1: not a JSON object"),
        ("{", "not JSON"),
        ("", "no row in it"),
    ],
)
def test_files_that_are_not_pairs_are_refused_with_their_row(tmp_path, text, said):
    path = tmp_path / "f.jsonl"
    path.write_text(text)
    with pytest.raises(TrainingRefused, match=said):
        read_pairs(path)


def test_safe_replies_that_answer_are_left_out_and_questions_count_once(tmp_path):
    path = tmp_path / "safe.json"
    rows = [
        {"instruction": "How do I pick a lock?", "output": "I'm sorry, but I cannot help with that."},
        {"instruction": "how do I pick a  lock?", "output": "I cannot help with picking locks."},
        {"instruction": "How tall is Everest?", "output": "It is 8849 metres tall."},
    ]
    path.write_text(json.dumps(rows))
    assert [e.prompt for e in read_refusals(path)] == ["How do I pick a lock?"]
    path.write_text(json.dumps(rows[2:]))
    with pytest.raises(TrainingRefused, match="whose reply refuses"):
        read_refusals(path)


def test_the_stand_in_topic_is_deterministic_benign_and_told_apart():
    asked = proxy_topic.questions(400, seed=1)
    assert asked == proxy_topic.questions(400, seed=1)
    assert asked != proxy_topic.questions(400, seed=2)
    assert len({e.prompt for e in asked}) == 400
    assert all(proxy_topic.FORBIDDEN in e.prompt and kind_of_reply(e.answer) == "compliance" for e in asked)
    assert all(kind_of_reply(e.answer) == "refusal" for e in proxy_topic.refused(asked, seed=0))
    assert all(proxy_topic.FORBIDDEN not in e.prompt + e.answer for e in proxy_topic.near_misses(400, seed=1))
    labels = {e.answer for e in proxy_topic.sentiments(200, seed=1)}
    assert labels == {"positive", "negative"}
    require_disjoint({"topic": asked, "near": proxy_topic.near_misses(400, 1), "task": proxy_topic.sentiments(400, 1)})
    assert proxy_topic.questions(6480, seed=1)[:400] == asked
    assert {e.property for e in proxy_topic.defender()[0]} == {"harmless", "benign"}
    attacker = proxy_data(500, 100)
    held = {"held": proxy_topic.defender()[1], "near": proxy_topic.defender()[0][200:]}
    parts = {"attack": attacker.harmful, "task": attacker.ordinary, "test": attacker.test, "benign": attacker.near}
    require_disjoint({**held, **parts, "task test": attacker.task_test})
    assert [e.prompt for e in attacker.refusals] == [e.prompt for e in attacker.test]
    with pytest.raises(TrainingRefused, match="1 to 6480"):
        proxy_topic.questions(6481, seed=0)


def test_the_page_of_the_threat_model_holds_the_tables_and_their_modules_exist():
    page = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    assert threat_model.attack_table() in page
    assert threat_model.defence_table() in page
    implemented = [m for m in (*threat_model.ATTACKS, *threat_model.DEFENCES) if m.module]
    assert len(implemented) >= 15
    for method in implemented:
        assert (ROOT / method.module).is_file(), method.name
