"""Parameters come from the data's real columns, levels and features, whoever fills them."""

from __future__ import annotations

import pytest

from labwright.agents.parameters import (
    MOST_FEATURES,
    Filled,
    describe,
    fill,
    fitted,
    given,
    lacks_a_name,
    listing,
    named_features,
    preferred,
    repair,
)
from labwright.domain import Objective
from labwright.models.ask import Prompt, Session
from labwright.models.calls import CallLog
from labwright.models.scripted import ScriptedChat
from labwright.tools.analysis.contracts import OPERATORS, param_schema, validate_params
from labwright.tools.catalogue.catalogue import card

OBJECTIVE = Objective(text="Does the grade of the tumour go with recurrence of breast cancer?")
GBSG2, GSE1992, GDSC = card("gbsg2"), card("gse1992"), card("gdsc17")
CURVES, COX = OPERATORS["survival_curves"], OPERATORS["cox_regression"]
EXPRESSION, DRUGS = OPERATORS["differential_expression"], OPERATORS["drug_association"]
BY_RULE = {"group_column": "grade", "feature": None, "seed": 0}


def session(tmp_path, *rules) -> Session:
    return Session(role="design", backend="t", chat=ScriptedChat(rules=list(rules)), log=CallLog(tmp_path / "c.sqlite"))


def filled(writer, contract=CURVES, data=GBSG2, features=()) -> Filled:
    def render(listed: str, wrong: str) -> Prompt:
        return Prompt("details", "h", "system", f"fill{wrong}\n{listed}")

    return fill(writer, OBJECTIVE, contract, data, features, render=render, extra={"note": (str, ...)})


def test_only_features_that_the_text_names_are_taken():
    names = ["TP53", "TP53_mut", "BRAF", "1007_s_at", "A", "ESR1"]
    assert named_features("Is tp53 loss, or 1007_s_at, or A seen?", names) == ["TP53", "TP53_mut", "1007_s_at"]
    assert named_features("Does therapy work?", names) == []
    assert len(named_features("TP53 matters", [f"TP53_{i}" for i in range(40)])) == MOST_FEATURES


def test_a_feature_is_left_out_unless_named_and_takes_the_place_of_the_column():
    assert given(CURVES, ()) == {"feature": None}
    assert given(CURVES, ["ESR1"]) == {"group_column": None}
    assert given(COX, ["ESR1"]) == {}
    assert given(OPERATORS["prognostic_features"], ["ESR1"]) == {}


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("Does the grade of the tumour go with recurrence?", "grade"),
        ("Does hormone therapy delay recurrence?", "hormone_therapy"),
        ("Do premenopausal women fare better?", "menopause"),
    ],
)
def test_by_rule_the_column_whose_words_the_objective_shares_most_is_taken(text, column):
    assert preferred(Objective(text=text), CURVES, GBSG2, ())["group_column"] == column


def test_by_rule_a_named_feature_is_used_and_excludes_the_column():
    made = preferred(OBJECTIVE, CURVES, GSE1992, ["ESR1", "GATA3"])
    assert (made["group_column"], made["feature"]) == (None, "ESR1")


def test_by_rule_the_first_four_clinical_columns_enter_a_model():
    made = preferred(OBJECTIVE, COX, GBSG2, ())
    assert made["covariates"] == ["hormone_therapy", "age", "menopause", "tumour_size"]
    assert "days" not in made["covariates"]


def test_by_rule_an_alteration_is_tested_against_all_drugs():
    made = preferred(OBJECTIVE, DRUGS, GDSC, ["BRAF_mut"])
    assert (made["alteration"], made["drug"]) == ("BRAF_mut", None)


def test_by_rule_data_without_groups_are_refused_in_one_line():
    bare = {**GSE1992, "groups": {"er": {"positive": 100, "negative": 2}}}
    with pytest.raises(ValueError, match="group_column is needed"):
        preferred(OBJECTIVE, EXPRESSION, bare, ())


def test_the_prompt_lists_real_values_only():
    shown = listing(param_schema(CURVES, GBSG2, chosen={"feature": None}), GBSG2)
    assert shown.splitlines() == [
        "- group_column: Column whose levels are compared (leave out when a feature is given). "
        "(one of hormone_therapy, menopause, grade, none)"
    ]
    assert listing(param_schema(OPERATORS["prognostic_features"], GSE1992), GSE1992) == "- none"
    assert "(5 to 200)" in listing(param_schema(OPERATORS["survival_signature"], GSE1992), GSE1992)


def test_without_a_model_the_rules_fill():
    assert filled(None) == Filled(BY_RULE, None)


def test_values_that_fit_are_the_models(tmp_path):
    writer = session(tmp_path, {"match": "fill", "reply": {"group_column": "menopause", "note": "as asked"}})
    made = filled(writer)
    assert made.parameters == {"group_column": "menopause", "feature": None, "seed": 0}
    assert made.extra == {"note": "as asked"}
    assert (writer.log.shares().model, len(writer.chat.seen)) == (2, 1)


def test_values_that_do_not_fit_are_sent_back_with_the_reason(tmp_path):
    writer = session(
        tmp_path,
        {"match": "does not fit the data: .*exactly one of", "reply": {"group_column": "menopause", "note": "b"}},
        {"match": "fill", "reply": {"group_column": "none", "note": "a"}},
    )
    made = filled(writer)
    assert made == Filled({"group_column": "menopause", "feature": None, "seed": 0}, {"note": "b"})
    assert len(writer.chat.seen) == 2
    # The first answer was overruled, the second stands: two values each.
    assert (writer.log.shares().code, writer.log.shares().model) == (2, 2)


def test_after_two_answers_that_do_not_fit_the_rules_fill(tmp_path):
    writer = session(tmp_path, {"match": "fill", "reply": {"group_column": "none", "note": "a"}})
    assert filled(writer) == Filled(BY_RULE, None)
    assert len(writer.chat.seen) == 2
    assert (writer.log.shares().code, writer.log.shares().model) == (4, 0)


@pytest.mark.parametrize(
    "reply",
    [
        {"group_column": "GSE99999", "note": "invented"},
        {"group_column": ["grade"], "note": "a list"},
        {"group_column": "grade", "note": "spare", "feature": "ESR1"},
        {"group_column": "grade"},
        {},
        "import os; os.remove('/')",
    ],
    ids=["invented", "list", "settled before", "field missing", "empty", "code"],
)
def test_answers_outside_the_schema_are_filled_by_rules_and_counted(tmp_path, reply):
    writer = session(tmp_path, {"match": "fill", "reply": reply})
    assert filled(writer) == Filled(BY_RULE, None)
    assert len(writer.chat.seen) == 3
    assert (writer.log.shares().fallback, writer.log.shares().model) == (2, 0)


@pytest.mark.parametrize("covariates", [[], ["age"] * 7, ["days"], ["recurrence"], ["age", "shoe_size"]])
def test_lists_are_bounded_and_hold_clinical_columns_only(tmp_path, covariates):
    writer = session(tmp_path, {"match": "fill", "reply": {"covariates": covariates, "note": "n"}})
    made = filled(writer, COX)
    assert made.parameters["covariates"] == ["hormone_therapy", "age", "menopause", "tumour_size"]
    assert writer.log.shares().fallback == 2


def test_levels_of_another_column_are_sent_back(tmp_path):
    """Reference and test are levels of some column; only validation knows of which."""
    wrong = {"group_column": "er", "reference": "grade 1", "test": "positive", "block_column": "none", "note": "n"}
    groups = {"er": {"negative": 20, "positive": 30}, "grade": {"grade 1": 9, "grade 2": 9}}
    writer = session(
        tmp_path,
        {"match": "not a level of er", "reply": {**wrong, "reference": "negative"}},
        {"match": "fill", "reply": wrong},
    )
    made = filled(writer, EXPRESSION, {**GSE1992, "groups": groups})
    assert made.parameters == {
        "group_column": "er", "reference": "negative", "test": "positive", "block_column": None, "seed": 0
    }  # fmt: skip


def repaired(tmp_path, reply, *, previous=None):
    writer = session(tmp_path, {"match": "Choose parameters that avoid", "reply": reply})
    previous = previous or validate_params(CURVES, GBSG2, {"group_column": "grade", "seed": 7})
    return repair(writer, CURVES, GBSG2, previous, "x" * 5000 + "ValueError: no such column"), writer


def test_a_repair_gives_other_parameters_and_keeps_the_seed(tmp_path):
    fixed, writer = repaired(tmp_path, {"group_column": "menopause", "feature": "none"})
    assert fixed == {"group_column": "menopause", "feature": None, "seed": 7}
    assert "ValueError: no such column" in writer.chat.seen[0]
    assert "x" * 601 not in writer.chat.seen[0]


@pytest.mark.parametrize(
    "reply",
    [
        {"group_column": "grade", "feature": "none"},
        {"group_column": "none", "feature": "none"},
        {"group_column": "shoe_size", "feature": "none"},
        "I cannot.",
    ],
    ids=["the same again", "does not fit", "invented", "prose"],
)
def test_a_repair_that_offers_nothing_new_is_none(tmp_path, reply):
    assert repaired(tmp_path, reply)[0] is None


@pytest.mark.parametrize(
    ("again", "column", "calls"),
    [("menopause", "menopause", (1, 2)), ("shoe_size", "hormone_therapy", (0, 1)), ("none", "hormone_therapy", (0, 2))],
)
def test_values_of_a_larger_answer_that_do_not_fit_are_sent_back_once_then_rules_decide(tmp_path, again, column, calls):
    writer = session(tmp_path, {"match": "Choose parameters", "reply": {"group_column": again}})
    values = {"group_column": "none", "feature": "none"}
    question = Objective(text="Does hormone therapy prolong recurrence-free survival?")
    made = fitted(writer, question, CURVES, GBSG2, (), values=values, name="whole protocol")
    assert made == {"group_column": column, "feature": None, "seed": 0}
    assert writer.log.tool_calls() == calls


def test_an_analysis_without_parameters_cannot_be_repaired_by_them(tmp_path):
    writer = session(tmp_path)
    assert repair(writer, OPERATORS["prognostic_features"], GSE1992, {"seed": 0}, "error") is None
    assert writer.chat.seen == []


def test_the_description_names_data_and_chosen_values_only():
    text = describe(CURVES, {"group_column": "grade", "feature": None, "seed": 3}, GBSG2)
    assert text.startswith(CURVES.procedure)
    assert text.endswith("Data: gbsg2, 686 samples. Parameters: group_column = grade.")
    assert "seed" not in text


def test_an_analysis_of_drugs_starts_from_what_the_objective_names_and_from_nothing_else():
    assert lacks_a_name(DRUGS, {"alteration": [], "drug": []})
    assert not lacks_a_name(CURVES, {})
    named = {"alteration": ["BRAF_mut"], "drug": []}
    assert not lacks_a_name(DRUGS, named)
    assert given(DRUGS, named) == {"drug": None}
    for features in (named, {"alteration": ["BRAF_mut"], "drug": ["drug 1"]}):
        made = filled(None, contract=DRUGS, data=GDSC, features=features)
        assert (made.parameters["alteration"], made.parameters["drug"]) == ("BRAF_mut", None)
