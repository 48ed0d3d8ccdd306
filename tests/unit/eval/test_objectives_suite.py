"""The objectives of the benchmark: their files can be met, and what is wrong with one is named."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml

from labwright.errors import WrongUse
from labwright.eval.objective_file import FindingCheck
from labwright.eval.suites.objectives import bundled, load, parsed
from labwright.eval.suites.run import SEEDS
from labwright.tools.analysis.contracts import OPERATORS, feasible
from labwright.tools.catalogue.catalogue import load_cards
from labwright.tools.corpus.records import load_records

EVERY = load()


def test_five_objectives_are_bundled_and_the_seeds_name_them():
    ids = [item.id for item in bundled()]
    assert (len(ids), ids) == (5, sorted(set(ids)))
    assert set(SEEDS) <= set(ids)
    assert all(0 in seeds and len(set(seeds)) == len(seeds) for seeds in SEEDS.values())


@pytest.mark.parametrize("item", [i for i in EVERY if not i.online], ids=lambda item: item.id)
def test_an_objective_can_be_met(item):
    """Data sets, operators and records exist, the data can carry the analyses, and each check has its table."""
    cards = {c["id"]: c for c in load_cards()}
    assert set(item.datasets_allowed) <= set(cards)
    assert {cards[d]["kind"] for d in item.datasets_allowed} == set(item.data_kinds)
    assert set(item.relevance) in (set(), {r.id for r in load_records()})
    written: set[str] = set()
    for output in item.required_outputs:
        for contract in (OPERATORS[name] for name in output.operator):
            written |= {o.name for o in contract.outputs}
            assert output.type in {o.type for o in contract.outputs}
            assert [feasible(contract, cards[d]) for d in output.dataset] == [None] * len(output.dataset)
    for gold in item.gold:
        if isinstance(gold.check, FindingCheck):
            names = {name for output in item.required_outputs for name in output.operator}
            assert gold.check.finding.rsplit("_", 1)[0] in names
        else:
            assert gold.check.table in written, gold.id


def content(**changed: Any) -> dict[str, Any]:
    path = files("labwright.eval.suites") / "objectives" / "infarction_prognosis.yaml"
    return {**yaml.safe_load(path.read_text(encoding="utf-8")), **changed}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fild": "clinical"}, "fild: Extra inputs"),
        ({"field": "oncology"}, "field: Input should be"),
        ({"required_outputs": []}, "required_outputs"),
        ({"gold": []}, "gold"),
        ({"datasets_allowed": ["gbsg2"]}, "an output is of 'whas500'"),
        ({"relevance": {"cox1972": 3}}, "relevance.cox1972"),
    ],
)
def test_a_file_with_a_fault_is_refused_by_its_field(changed, said):
    with pytest.raises(WrongUse, match=said):
        parsed("infarction_prognosis.yaml", yaml.safe_dump(content(**changed)))


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"finding": "f"}, "needs `low` or `high`"),
        ({"finding": "f", "low": 2, "high": 1}, "needs `low` or `high`"),
        ({"table": "t.csv", "column": "c", "any_of": ["a"], "min_hits": 2}, "cannot be reached"),
        ({"table": "t.csv", "column": "c", "any_of": [51], "min_hits": 1}, "valid string"),
        ({"table": "t.csv", "column": "c", "any_of": ["a"], "min_hits": 1, "where": {"p": {}}}, "a range needs"),
    ],
)
def test_a_check_that_nothing_or_anything_meets_is_refused(check, said):
    gold = {"id": "g", "statement": "s", "source": "s", "tolerance": "t", "check": check}
    with pytest.raises(WrongUse, match=said):
        parsed("infarction_prognosis.yaml", yaml.safe_dump(content(gold=[gold])))


def test_an_id_stands_once_and_names_the_file():
    twice = content()
    twice["gold"][0]["id"] = twice["required_outputs"][0]["id"]
    with pytest.raises(WrongUse, match="share the id 'cohort'"):
        parsed("infarction_prognosis.yaml", yaml.safe_dump(twice))
    with pytest.raises(WrongUse, match="name the file after it"):
        parsed("other.yaml", yaml.safe_dump(content()))
    with pytest.raises(WrongUse, match="not readable YAML"):
        parsed("other.yaml", "id: [")
