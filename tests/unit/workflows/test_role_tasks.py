"""Questions with right answers for tuning: made of cards, in the prompts of a run, apart from what is measured on."""

from __future__ import annotations

import random

import pytest

from labwright.agents.prompting import prompt
from labwright.agents.search import dataset_brief
from labwright.domain import Objective, Paper
from labwright.eval.suites.objectives import load
from labwright.tools.analysis.contracts import OPERATORS, feasible
from labwright.tools.catalogue.catalogue import load_cards
from labwright.workflows.guards import guard_of
from labwright.workflows.role_tasks import (
    HELD_OUT,
    TEMPLATES,
    TOPICS,
    Made,
    dataset_questions,
    fits,
    made_objectives,
    operator_questions,
    paper_questions,
    role_examples,
)

CARDS = {str(c["id"]): c for c in load_cards()}
PAPERS = [
    Paper(id="a", title="A signature that predicts relapse of breast cancer", abstract="Genes.", source="t"),
    Paper(id="b", title="Breast cancer in the population", abstract="Rates.", source="t"),
    Paper(id="c", title="Heart attacks in winter", abstract="Weather.", source="t"),
]


def made(dataset: str, operator: str) -> Made:
    return next(m for m in made_objectives(CARDS[dataset]) if operator in m.operators)


def test_every_data_set_has_a_topic_and_every_operator_objectives() -> None:
    assert set(TOPICS) == set(CARDS)
    assert set(TEMPLATES) == set(OPERATORS) - {"cohort_summary"}
    assert set(HELD_OUT) < set(TOPICS)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_objectives_ask_for_what_their_data_set_can_carry(name: str) -> None:
    written = made_objectives(CARDS[name])
    assert written
    assert len({m.id for m in written}) == len(written)
    for one in written:
        assert all(feasible(OPERATORS[o], CARDS[name]) is None for o in one.operators)
        assert fits(one, CARDS[name])
        assert "{" not in one.objective.text
        assert "  " not in one.objective.text


def test_none_is_an_objective_of_the_benchmark() -> None:
    def grams(text: str) -> set[tuple[str, ...]]:
        words = text.casefold().split()
        return {tuple(words[i : i + 6]) for i in range(len(words) - 5)}

    measured = [grams(o.text) for o in load()]
    for card in CARDS.values():
        for one in made_objectives(card):
            mine = grams(one.objective.text)
            assert not any(len(mine & theirs) > len(mine) / 3 for theirs in measured if mine), one.objective.text


def test_the_questions_are_those_of_a_run() -> None:
    one = made("gse4335", "differential_expression")
    guard = guard_of(one.objective, 0)
    asked = dataset_questions(one, CARDS, random.Random(0))
    own = prompt("dataset").render(
        objective=one.objective.brief(), card=guard.material(dataset_brief(CARDS["gse4335"]))
    )
    assert next(e for e in asked if e.user == own.user).system == own.system
    operators = operator_questions(one, CARDS["gse4335"])
    wanted = OPERATORS["differential_expression"].answers
    assert {e.answer for e in operators if wanted in e.user} == {"yes"}
    assert {e.answer for e in operators if wanted not in e.user} == {"no"}


def test_a_data_set_fits_by_topic_and_by_what_it_carries() -> None:
    curves, genes = made("gse4335", "survival_curves"), made("gse4335", "prognostic_features")
    assert fits(curves, CARDS["gbsg2"])  # breast cancer with follow-up
    assert not fits(genes, CARDS["gbsg2"])  # but without expression
    assert not fits(curves, CARDS["veteran"])
    answers = {e.answer for e in dataset_questions(genes, CARDS, random.Random(1))}
    assert answers == {"yes", "no"}


def test_papers_are_rated_by_topic_and_kind() -> None:
    rated = paper_questions(made("gse4335", "survival_signature"), PAPERS, random.Random(0))
    assert {p.title: e.answer for p in PAPERS for e in rated if p.title in e.user} == {
        PAPERS[0].title: "5", PAPERS[1].title: "3", PAPERS[2].title: "1"
    }  # fmt: skip


def test_what_is_held_out_is_never_learned_from() -> None:
    few = {n: CARDS[n] for n in ("gbsg2", "pbc", "whas500", "gse7390")}
    learned = role_examples(few, PAPERS, per_dataset=2)
    measured = role_examples(few, PAPERS, per_dataset=2, held_out=True)
    assert {e.id.split(":")[0] for e in learned} == {"gbsg2", "pbc"}
    assert {e.id.split(":")[0] for e in measured} <= set(HELD_OUT)
    assert not {(e.system, e.user) for e in learned} & {(e.system, e.user) for e in measured}
    held = [CARDS[n]["title"] for n in ("whas500", "gse7390")]
    assert not any(title in e.user for e in learned for title in held)


def test_answers_are_balanced_and_the_same_each_time() -> None:
    few = {n: CARDS[n] for n in ("gbsg2", "pbc", "veteran")}
    first = role_examples(few, PAPERS, per_dataset=2)
    assert first == role_examples(few, PAPERS, per_dataset=2)
    for task in {e.task for e in first}:
        counts = [
            sum(e.task == task and e.answer == a for e in first) for a in {e.answer for e in first if e.task == task}
        ]
        assert max(counts) <= 2 * min(counts)
    assert len({e.id for e in first}) == len(first)


def test_objectives_are_valid_ones() -> None:
    for card in CARDS.values():
        for one in made_objectives(card)[::9]:
            assert Objective(text=one.objective.text).brief()
