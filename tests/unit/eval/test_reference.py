"""Objectives beyond the bundled five, their reference scripts, and what stands for an agent that does nothing."""

from __future__ import annotations

import ast
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from labwright.eval.objective_file import FindingCheck
from labwright.eval.suites import reference
from labwright.eval.suites.objectives import load
from labwright.safety.code_screen import screen_code
from labwright.tools.analysis.contracts import OPERATORS
from labwright.tools.catalogue.catalogue import load_cards

EVERY = load()
OFFLINE = [item for item in EVERY if not item.online]
FOLDER = files("labwright.eval.suites") / "objectives"
SCRIPTS = sorted(Path(str(e)) for e in FOLDER.iterdir() if e.name.endswith(".py"))
CARDS = {c["id"]: c for c in load_cards()}
by_item = pytest.mark.parametrize("item", EVERY, ids=lambda item: item.id)


def test_twelve_or_more_offline_objectives_cover_the_five_fields_twice():
    fields = Counter(item.field for item in OFFLINE)
    assert len(OFFLINE) >= 12
    assert set(fields) == {"survival", "expression", "single_cell", "clinical", "drug_response"}
    assert min(fields.values()) >= 2
    assert sum(item.online for item in EVERY) == 3


def test_no_two_objectives_ask_the_same():
    words = {item.id: set(item.text.casefold().split()) for item in EVERY}
    for item in EVERY:
        for other in EVERY:
            if item.id < other.id:
                shared = len(words[item.id] & words[other.id]) / len(words[item.id] | words[other.id])
                assert shared < 0.5, (item.id, other.id)


@by_item
def test_the_lists_are_of_the_size_that_was_agreed_and_can_be_read(item):
    assert 2 <= len(item.required_outputs) <= 4
    assert 2 <= len(item.gold) <= 5
    for gold in item.gold:
        assert gold.statement.endswith(".")
        assert gold.source.strip()
        assert gold.tolerance.strip()


@by_item
def test_a_text_names_no_operator(item):
    given = " ".join((item.text, item.conditions, item.requirements)).casefold()
    for name in OPERATORS:
        assert name not in given
        assert name.replace("_", " ") not in given


@by_item
def test_a_checked_table_is_written_by_a_required_operator(item):
    written = {o.name for out in item.required_outputs for name in out.operator for o in OPERATORS[name].outputs}
    for gold in item.gold:
        if not isinstance(gold.check, FindingCheck):
            assert gold.check.table in written, gold.id


@pytest.mark.parametrize("item", OFFLINE, ids=lambda item: item.id)
def test_columns_and_levels_that_a_check_names_are_in_the_data(item):
    """Terms of a model are columns, or columns with a level that is not the first; groups and levels exist."""
    columns = {name: c for d in item.datasets_allowed for name, c in CARDS[d]["columns"].items()}
    levels = {level for c in columns.values() for level in c.get("levels", ())}
    for gold in item.gold:
        check = gold.check
        if isinstance(check, FindingCheck):
            continue
        if "level" in check.where:
            assert check.where["level"] in levels, gold.id
        if check.table == "survival_curves.csv":
            assert set(check.any_of) <= levels, gold.id
        for term in check.any_of if check.table == "cox_regression.csv" else ():
            name, _, level = term.partition(": ")
            if level:
                assert level in columns[name]["levels"][1:], term
            elif item.id != "node_positive_genes":  # there it is a gene
                assert columns[name]["type"] == "numeric", term


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_reference_script_knows_nothing_of_labwright_and_makes_up_nothing(path):
    text = path.read_text(encoding="utf-8")
    roots = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            roots.add((node.module or "").split(".")[0])
    independent = {p.stem for p in SCRIPTS if p.stem.startswith("independent")}
    allowed = {"json", "os", "pathlib", "itertools", "warnings", "matplotlib", "numpy", "pandas", "scipy", "sklearn"}
    assert roots <= allowed | {"lifelines", "statsmodels"} | independent
    assert "labwright." not in text
    assert [f for f in screen_code(text) if f.rule in ("made_up_data", "syntax", "network")] == []


@pytest.mark.parametrize("item", OFFLINE, ids=lambda item: item.id)
def test_every_offline_objective_has_a_script_that_travels_as_one_text(item):
    text = reference.script_of(item.id)
    ast.parse(text)
    assert text.endswith((FOLDER / f"{item.id}.py").read_text(encoding="utf-8"))
    assert text.index("_module('independent',") < text.index("_module('independent_")
    assert len(text) < 1 << 20


def test_an_online_objective_has_none():
    assert not [item.id for item in EVERY if item.online and (FOLDER / f"{item.id}.py").is_file()]


def test_a_flattened_table_keeps_its_words_and_loses_its_numbers():
    assert reference.flattened('a,b,c\nx,1,"p, q"\ny,2,\n') == 'a,b,c\nx,1,"p, q"\ny,1,\n'


def test_scores_are_the_worst_reference_and_the_best_nothing():
    rows = [
        {"kind": "reference", "name": "a", "level3_gold": 1.0},
        {"kind": "reference", "name": "b", "level3_gold": 0.75},
        {"kind": "noop", "name": "a", "level3_gold": 0.0},
        {"kind": "noop", "name": "b", "level3_gold": 0.2},
    ]
    assert (reference.reference_score(rows), reference.noop_score(rows)) == (0.75, 0.2)
    with pytest.raises(ValueError, match="empty"):
        reference.noop_score(rows[:2])
