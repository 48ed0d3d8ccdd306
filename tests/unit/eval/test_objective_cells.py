"""Cells of the table of objectives: their names, the default table, and the order in which it is measured."""

from __future__ import annotations

import pytest

from labwright.errors import WrongUse
from labwright.eval.suites.objective_cells import BASELINES, OURS, Cell, Listed, Wanted, cells, names_of

LISTED = [
    Listed(id="s1", field="survival"),
    Listed(id="s2", field="survival"),
    Listed(id="geo", field="expression", online=True),
    Listed(id="e1", field="expression"),
]
MODELS = ("small", "org/large")


def plan(**wanted) -> list[Cell]:
    return cells(Wanted(**wanted), LISTED, MODELS, "small")


@pytest.mark.parametrize("cell", [Cell("s1", "react", "small", 0), Cell("s1", "react", "/models/a b.gguf", 12), Cell("s1", "x", "a/b/c", 3)])  # fmt: skip
def test_a_cell_is_read_back_from_its_name(cell):
    assert Cell.parse(cell.name) == cell


@pytest.mark.parametrize("name", ["", "s1", "s1/react/0", "s1/react//0", "/react/m/0", "s1/react/m/-1", "s1/react/m/x", "s 1/react/m/0"])  # fmt: skip
def test_what_is_no_name_of_a_cell_is_refused(name):
    with pytest.raises(WrongUse, match="objective/workflow/model/seed"):
        Cell.parse(name)


def test_the_default_table_has_two_seeds_of_ours_one_of_each_other_and_no_online_objective():
    made = plan()
    assert len(made) == len(set(made)) == 3 * (2 + len(BASELINES)) == 24
    assert {c.objective for c in made} == {"s1", "s2", "e1"}
    assert {c.seed for c in made if c.workflow == OURS} == {0, 1}
    assert {c.seed for c in made if c.workflow != OURS} == {0}
    assert {c.model for c in made if c.workflow == "rules_only"} == {"none"}


def test_an_interrupted_table_compares_all_workflows_on_objectives_of_all_fields():
    """The cells of an objective stand together, and fields take turns."""
    assert list(dict.fromkeys(c.objective for c in plan())) == ["s1", "e1", "s2"]
    half = plan()[:16]
    assert {c.objective for c in half} == {"s1", "e1"}
    assert all({c.workflow for c in half if c.objective == o} == {OURS, *BASELINES} for o in ("s1", "e1"))


def test_what_is_asked_for_is_what_is_planned():
    made = plan(objectives=("geo",), workflows=("react", "rules_only"), models=MODELS, repeats=2)
    assert [c.name for c in made] == [
        *("geo/react/small/0", "geo/react/small/1", "geo/rules_only/none/0", "geo/rules_only/none/1"),
        *("geo/react/org/large/0", "geo/react/org/large/1"),
    ]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"objectives": ("s3",)}, "--objectives 's3': no such objective"),
        ({"workflows": ("reactt",)}, "--workflows 'reactt': no such workflow; one of labwright, "),
        ({"models": ("gpt",)}, "--models 'gpt': no such model; one of small, org/large"),
        ({"repeats": 0}, "--repeats 0"),
    ],
)
def test_what_does_not_exist_is_said_in_one_line(wanted, message):
    with pytest.raises(WrongUse) as raised:
        plan(**wanted)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_names_are_taken_apart_at_commas_each_once():
    assert names_of(" a,b ,,a") == ("a", "b")
    assert names_of("") == ()
