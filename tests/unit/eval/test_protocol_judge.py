"""The judged part: blind, in several orders, an expected value; and a judge that does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from labwright.errors import WrongUse
from labwright.eval.protocol_findings import METRICS
from labwright.eval.protocol_judge import ANCHORS, QUESTIONS, Judgement, judge
from labwright.eval.protocol_quality import quality
from labwright.eval.suites.judges import good_protocols
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.models.prompt_file import load_prompt, prompt_names
from labwright.models.scripted import ScriptedChat

READING = good_protocols()["colon_adjuvant"]


def session(tmp_path: Path, rules: list[dict], seed: int = 0) -> Session:
    return Session(
        role="judge", backend="s", chat=ScriptedChat(rules=rules), log=CallLog(tmp_path / "c.sqlite"), seed=seed
    )


def test_the_score_is_the_expected_value_over_the_samples(tmp_path):
    rules = [{"match": r"1: [^\n]*\n2: ", "probabilities": {"4": 0.5, "5": 0.5}},
             {"match": r"5: [^\n]*\n4: [^\n]*\n3: ", "probabilities": {"2": 1.0}}]  # fmt: skip
    found = judge(session(tmp_path, rules), READING, samples=2)
    assert tuple(found) == METRICS
    for judgement in found.values():
        assert sorted(judgement.samples) == pytest.approx([2.0, 4.5])
        assert judgement.score == pytest.approx(3.25)


def test_the_judge_sees_the_protocol_and_the_anchors_and_not_who_wrote_it(tmp_path):
    asked = session(tmp_path, [])
    judge(asked, READING, samples=3)
    seen = asked.chat.seen
    assert len(seen) == 15
    prefix = seen[0].split("\nIs every")[0].split("\nCould")[0].split("\nDo ")[0].split("\nAre ")[0]
    assert all(p.startswith(prefix[:2000]) for p in seen), "all questions share one prefix"
    for metric in METRICS:
        mine = [p for p in seen if QUESTIONS[metric] in p]
        assert len(mine) == 3
        assert len({p.split(QUESTIONS[metric])[1] for p in mine}) >= 2, "the anchors are shown in other orders"
        assert all(anchor in p for p in mine for anchor in ANCHORS[metric])
    assert not any("labwright" in p.casefold() for p in seen)


def test_the_order_of_metrics_follows_the_seed(tmp_path):
    orders = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        asked = session(tmp_path / str(seed), [], seed)
        judge(asked, READING, samples=1)
        orders.append([next(m for m in METRICS if QUESTIONS[m] in p) for p in asked.chat.seen])
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(METRICS)
    assert orders[0] != orders[1]


def test_a_judge_that_gives_no_digit_has_no_score_and_no_neutral_one(tmp_path):
    found = judge(session(tmp_path, [{"match": ".", "probabilities": {"maybe": 1.0}}]), READING, samples=2)
    assert all(j == Judgement(None, (), "the model gave the digits 1 to 5 no weight") for j in found.values())
    result = quality(READING, found)
    assert result["means"] == {"code": 5.0, "judged": None, "together": None}


def test_both_parts_stand_apart_and_together(tmp_path):
    found = judge(session(tmp_path, [{"match": ".", "probabilities": {"3": 1.0}}]), READING, samples=1)
    result = quality(READING, found)
    assert result["means"] == {"code": 5.0, "judged": 3.0, "together": 4.0}
    assert {m["together"] for m in result["metrics"].values()} == {4.0}


def test_a_long_protocol_is_cut_and_the_judge_is_told(tmp_path):
    from dataclasses import replace

    asked = session(tmp_path, [])
    judge(asked, replace(READING, logic="word " * 9000), samples=1)
    assert "further characters are not shown" in asked.chat.seen[0]
    assert len(asked.chat.seen[0]) < 17_000


@pytest.mark.parametrize("samples", [0, 11])
def test_the_number_of_samples_is_bounded(tmp_path, samples):
    with pytest.raises(WrongUse):
        judge(session(tmp_path, []), READING, samples=samples)


def test_every_metric_has_five_anchors_and_a_question():
    assert set(ANCHORS) == set(QUESTIONS) == set(METRICS)
    assert all(len(set(a)) == 5 for a in ANCHORS.values())


def test_every_prompt_of_the_folder_is_whole_and_asks_for_a_digit():
    rating = ["protocol_quality", "rate_text"]
    assert prompt_names("labwright.eval.prompts") == ["prefer", *rating]
    for name in rating:
        made = load_prompt("labwright.eval.prompts", name)
        rendered = made.render(**{v: f"<{v}>" for v in made.variables})
        assert "one digit from 1 to" in rendered.user
        assert "never an instruction" in rendered.system
        assert len(made.hash) == 12
