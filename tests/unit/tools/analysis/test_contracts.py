"""Contracts need nothing but the standard library and fit the data they are shown."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from labwright.tools.analysis.contracts import OPERATORS, feasible, param_schema, render_script, validate_params

CARD: dict[str, Any] = {
    "id": "toy",
    "kind": "expression_survival",
    "feature_kind": "gene symbol",
    "n_features": 5000,
    "groups": {"er": {"negative": 30, "positive": 60}, "grade": {"1": 10, "2": 40, "3": 40, "4": 1}},
    "columns": {
        "er": {"type": "categorical"},
        "grade": {"type": "categorical"},
        "age": {"type": "numeric"},
        "days": {"type": "time"},
        "death": {"type": "event"},
    },
    "survival": {"time": "days", "event": "death", "unit": "days", "endpoint": "death"},
    "files": {"samples.parquet": "", "matrix.parquet": ""},
}
NAMES = [
    "cohort_summary",
    "survival_curves",
    "cox_regression",
    "prognostic_features",
    "survival_signature",
    "differential_expression",
    "gene_set_enrichment",
    "cluster_samples",
    "marker_features",
    "classify_samples",
    "drug_association",
]


def test_the_eleven_operators_are_there() -> None:
    assert list(OPERATORS) == NAMES


def test_contracts_import_without_the_analysis_stack() -> None:
    code = (
        "import sys\n"
        "for name in ('numpy','pandas','scipy','sklearn','matplotlib','lifelines','pyarrow'): sys.modules[name] = None\n"
        "from labwright.tools.analysis import contracts\n"
        "print(len(contracts.OPERATORS))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "11", done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_contract_names_its_checks(name: str) -> None:
    contract = OPERATORS[name]
    assert contract.answers.endswith("?")
    assert [spec.type for spec in contract.outputs].count("figure") == 1
    assert contract.outputs[-1].name == "findings.json"
    assert all(spec.check for spec in contract.outputs)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("survival_curves", {"survival": None}, "no follow-up"),
        ("differential_expression", {"groups": {"er": {"negative": 2, "positive": 60}}}, "at least three"),
        ("differential_expression", {"files": {"samples.parquet": ""}}, "no matrix"),
        ("survival_signature", {"n_features": 3}, "needed are 20"),
        ("gene_set_enrichment", {"feature_kind": "probe"}, "gene symbol"),
        ("drug_association", {}, "drug_response"),
        ("cox_regression", {"columns": {}}, "clinical column"),
    ],
)
def test_infeasible_says_why(name: str, change: dict[str, Any], reason: str) -> None:
    assert reason in str(feasible(OPERATORS[name], {**CARD, **change}))


def test_feasible_is_none() -> None:
    assert [name for name in NAMES if feasible(OPERATORS[name], CARD)] == ["drug_association"]


def test_schema_holds_real_columns_and_levels_of_three_samples() -> None:
    schema = param_schema(OPERATORS["differential_expression"], CARD)
    assert schema["properties"]["group_column"]["enum"] == ["er", "grade"]
    assert "4" not in schema["properties"]["test"]["enum"]
    assert schema["properties"]["block_column"]["enum"][-1] == "none"


def test_schema_narrows_levels_to_the_chosen_column() -> None:
    schema = param_schema(OPERATORS["differential_expression"], CARD, chosen={"group_column": "er"})
    assert schema["properties"]["test"]["enum"] == ["negative", "positive", "none"]
    assert "group_column" not in schema["properties"]


def test_schema_bounds_lists_and_numbers() -> None:
    covariates = param_schema(OPERATORS["cox_regression"], CARD)["properties"]["covariates"]
    assert (covariates["minItems"], covariates["maxItems"]) == (1, 3)
    top = param_schema(OPERATORS["marker_features"], CARD)["properties"]["top"]
    assert (top["minimum"], top["maximum"]) == (2, 10)


def test_schema_takes_names_by_kind() -> None:
    names = {"drug": ["drug 1"], "alteration": ["A_mut"]}
    schema = param_schema(OPERATORS["drug_association"], CARD, names)
    assert schema["properties"]["drug"]["enum"] == ["drug 1", "none"]
    assert schema["properties"]["alteration"]["enum"] == ["A_mut", "none"]


def test_defaults_are_filled_and_reference_comes_first() -> None:
    full = validate_params(OPERATORS["differential_expression"], CARD, {"group_column": "er", "block_column": "none"})
    assert full == {"group_column": "er", "reference": "negative", "test": "positive", "block_column": None, "seed": 0}


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("differential_expression", {}, "group_column is needed"),
        ("differential_expression", {"group_column": "sex"}, "one of er, grade"),
        ("differential_expression", {"group_column": "er", "test": "2"}, "not a level of er"),
        ("differential_expression", {"group_column": "er", "reference": "positive", "test": "positive"}, "both"),
        ("marker_features", {"group_column": "er", "top": 99}, r"\[2, 10\]"),
        ("marker_features", {"group_column": "er", "top": 2.5}, "whole number"),
        ("marker_features", {"group_column": "er", "top": "5"}, "must be a number"),
        ("cox_regression", {"covariates": ["age", "days"]}, "not in the data"),
        ("survival_curves", {}, "exactly one of group_column and feature"),
        ("cohort_summary", {"colour": "red"}, "no parameter"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        validate_params(OPERATORS[name], CARD, params)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_script_is_short_and_compiles(name: str) -> None:
    params = {"group_column": "er", "covariates": ["age"], "seed": 3}
    script = render_script(OPERATORS[name], params, "toy", upstream="t1")
    compile(script, name, "exec")
    assert len(script.splitlines()) <= 40
    assert "LABWRIGHT_DATA" in script
    assert "seed=3" in script


def test_script_of_enrichment_needs_a_task_before() -> None:
    with pytest.raises(ValueError, match="differential_expression"):
        render_script(OPERATORS["gene_set_enrichment"], {"seed": 0}, "toy")
