"""Every operator on data with planted truths: it finds them, its outputs pass their checks, and tampering fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lifelines")
pytest.importorskip("sklearn")
pytest.importorskip("statsmodels")

from labwright.tools.analysis.checks import check
from labwright.tools.analysis.contracts import OPERATORS

CASES: dict[str, dict[str, Any]] = {
    "cohort_summary": {"group_column": "er"},
    "survival_curves": {"group_column": "site"},
    "cox_regression": {"covariates": ["age", "er"], "feature": "G10"},
    "prognostic_features": {},
    "survival_signature": {"folds": 3},
    "differential_expression": {"group_column": "er", "block_column": "site"},
    "cluster_samples": {"clusters": 2, "label_column": "er"},
    "marker_features": {"group_column": "er"},
    "classify_samples": {"group_column": "er", "repeats": 2},
}
Run = Callable[..., tuple[Path, dict[str, Any]]]


def failed(results: list[dict[str, Any]]) -> list[str]:
    return [f"{r['check']}: {r['detail']}" for r in results if not r["passed"]]


def findings(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "findings.json").read_text(encoding="utf-8"))["findings"]


@pytest.mark.parametrize("name", list(CASES))
def test_outputs_pass_their_checks(name: str, tiny: Path, run_operator: Run) -> None:
    out, params = run_operator(name, tiny, CASES[name])
    assert sorted(path.name for path in out.iterdir()) == sorted(spec.name for spec in OPERATORS[name].outputs)
    assert failed(check(name, params, tiny, out)) == []


def test_counts_pass_their_checks_and_find_the_planted_genes(tiny_counts: Path, run_operator: Run) -> None:
    out, params = run_operator("differential_expression", tiny_counts, {"group_column": "dex", "block_column": "cell"})
    assert failed(check("differential_expression", params, tiny_counts, out)) == []
    tops = {finding["where"]["row"]["feature"] for finding in findings(out)}
    assert tops <= {f"G{i}" for i in range(20)}
    assert all(finding["direction"] == "up" for finding in findings(out))


def test_drugs_pass_their_checks_both_ways(tiny_drugs: Path, run_operator: Run) -> None:
    for params in ({"alteration": "A_mut"}, {"drug": "drug 0"}):
        out, full = run_operator("drug_association", tiny_drugs, params)
        assert failed(check("drug_association", full, tiny_drugs, out)) == []
        assert findings(out)[0]["where"]["row"]["feature"] in ("drug 0", "A_mut")
        assert findings(out)[0]["direction"] == "down"


def test_enrichment_finds_the_planted_set(tiny: Path, run_operator: Run, tmp_path: Path) -> None:
    upstream, _ = run_operator("differential_expression", tiny, {"group_column": "er"})
    card = json.loads((tiny / "card.json").read_text(encoding="utf-8"))
    large = tmp_path / "large" / "tiny"
    shutil.copytree(tiny.parent, large.parent)
    (large / "card.json").write_text(json.dumps({**card, "n_features": 600}), encoding="utf-8")
    out, params = run_operator("gene_set_enrichment", large, {"min_size": 5}, upstream)
    assert findings(out)[0]["where"]["row"]["gene_set"] == "receptor"
    assert failed(check("gene_set_enrichment", params, large, out, upstream)) == []
    (upstream / "differential_expression.csv").write_text(
        (upstream / "differential_expression.csv").read_text().replace("G3,", "G3x,"), encoding="utf-8"
    )
    assert failed(check("gene_set_enrichment", params, large, out, upstream))


def test_planted_truths_are_found(tiny: Path, run_operator: Run) -> None:
    out, _ = run_operator("prognostic_features", tiny, {})
    assert findings(out)[0]["where"]["row"] == {"feature": "G10"}
    out, _ = run_operator("differential_expression", tiny, {"group_column": "er"})
    assert {f["where"]["row"]["feature"] for f in findings(out)} == {f"G{i}" for i in range(10)}
    out, _ = run_operator("survival_signature", tiny, {"folds": 3, "penalty": "lasso"})
    assert findings(out)[0]["value"] > 0.65
    out, _ = run_operator("classify_samples", tiny, {"group_column": "er", "repeats": 2})
    assert findings(out)[0]["value"] > 0.95


def test_labels_without_truth_are_not_predicted(tiny: Path, run_operator: Run) -> None:
    out, _ = run_operator("classify_samples", tiny, {"group_column": "site", "repeats": 2})
    assert findings(out)[0]["value"] < 0.65


def test_equal_seeds_give_equal_bytes(tiny: Path, run_operator: Run, tmp_path: Path) -> None:
    out, _ = run_operator("survival_signature", tiny, {"folds": 3, "seed": 4})
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    out, _ = run_operator("survival_signature", tiny, {"folds": 3, "seed": 4})
    assert first == {path.name: path.read_bytes() for path in out.iterdir()}


def _change_number(path: Path, column: str) -> None:
    import pandas as pd

    table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    table[column] = table[column].astype(float)
    row = table.index[table[column].notna()][0]
    table.loc[row, column] = float(table.loc[row, column]) * 0.7 + 0.01
    table.to_csv(path, index=False)


def _drop_row(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")


TAMPER = {
    "cohort_summary": [("cohort_summary.csv", "value"), ("sample_quality.csv", "total")],
    "survival_curves": [("survival_curves.csv", "median"), ("survival_curves.csv", "expected"), ("log_rank.csv", "p")],
    "cox_regression": [
        ("cox_regression.csv", "p"),
        ("cox_regression.csv", "hazard_ratio"),
        ("concordance.csv", "concordance"),
    ],
    "prognostic_features": [
        ("prognostic_features.csv", "p"),
        ("prognostic_features.csv", "fdr"),
        ("prognostic_features.csv", "coefficient"),
    ],
    "survival_signature": [
        ("held_out_risk.csv", "risk"),
        ("concordance.csv", "concordance"),
        ("held_out_risk.csv", "time"),
    ],
    "differential_expression": [
        ("differential_expression.csv", "p"),
        ("differential_expression.csv", "fdr"),
        ("differential_expression.csv", "mean_test"),
    ],
    "cluster_samples": [("cluster_quality.csv", "value"), ("cluster_markers.csv", "p")],
    "marker_features": [
        ("marker_features.csv", "p"),
        ("marker_features.csv", "auc"),
        ("marker_features.csv", "difference"),
    ],
    "classify_samples": [("performance.csv", "mean"), ("predictions.csv", "p_negative")],
}


@pytest.mark.parametrize("name", list(CASES))
def test_tampered_outputs_fail(name: str, tiny: Path, run_operator: Run, tmp_path: Path) -> None:
    out, params = run_operator(name, tiny, CASES[name])

    def after(change: Callable[[Path], None]) -> list[str]:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(out, copy)
        change(copy)
        return failed(check(name, params, tiny, copy))

    for file, column in TAMPER[name]:
        assert after(lambda copy, f=file, c=column: _change_number(copy / f, c)), f"{file}: {column}"
    for spec in OPERATORS[name].outputs:
        if spec.type == "table" and spec.name != "signature.csv":
            assert after(lambda copy, s=spec: _drop_row(copy / s.name)), f"{spec.name} lost a row"


@pytest.mark.parametrize("output", [spec.name for spec in OPERATORS["marker_features"].outputs])
def test_missing_empty_or_foreign_outputs_fail(output: str, tiny: Path, run_operator: Run) -> None:
    out, params = run_operator("marker_features", tiny, CASES["marker_features"])
    for content in (b"x", b""):
        (out / output).write_bytes(content)
        assert failed(check("marker_features", params, tiny, out))
    (out / output).unlink()
    assert failed(check("marker_features", params, tiny, out)) == [f"{output} exists: "]


def test_a_blank_figure_fails(tiny: Path, run_operator: Run) -> None:
    out, params = run_operator("marker_features", tiny, CASES["marker_features"])
    _blank(out / "marker_features.png")
    assert len(failed(check("marker_features", params, tiny, out))) == 1


def _blank(path: Path) -> None:
    import matplotlib.image
    import numpy as np

    matplotlib.image.imsave(path, np.ones((600, 900, 3)))


@pytest.mark.parametrize("field", ["value", "statement", "file", "where"])
def test_a_changed_finding_fails(field: str, tiny: Path, run_operator: Run) -> None:
    out, params = run_operator("differential_expression", tiny, {"group_column": "er"})
    path = out / "findings.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    finding = document["findings"][0]
    finding[field] = {
        "value": finding["value"] * 1.01,
        "statement": "log2 fold change 9.87",
        "file": "volcano.png",
        "where": {"row": {"feature": "nothing"}, "column": "p"},
    }[field]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert failed(check("differential_expression", params, tiny, out))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("survival_curves", {"group_column": "sex"}, "no grouping column 'sex'"),
        ("survival_curves", {"feature": "g10"}, "near: G10"),
        ("survival_curves", {}, "exactly one"),
        ("differential_expression", {"group_column": "er", "reference": "negative", "test": "x"}, "needed are 3"),
        ("cox_regression", {"covariates": ["days"]}, "no clinical covariate"),
        ("drug_association", {"drug": "x"}, "not in the data"),
        ("gene_set_enrichment", {}, "differential_expression"),
    ],
)
def test_wrong_use_is_one_clear_line(
    name: str, arguments: dict[str, Any], message: str, tiny: Path, tmp_path: Path
) -> None:
    import labwright.tools.analysis as operators

    study = operators.open_study(tiny, tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        getattr(operators, name)(study, **arguments)
    assert "\n" not in str(caught.value)


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    import labwright.tools.analysis as operators

    with pytest.raises(ValueError, match="no converted data set"):
        operators.open_study(tmp_path)


def _other_signature(tiny: Path, made: Path, out: Path, *, leak: bool) -> None:
    """A copy of outputs with other results.

    Held-out risks by lifelines on folds of scikit-learn; with a leak, every model has seen every patient.
    """
    import numpy as np
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.statistics import multivariate_logrank_test
    from lifelines.utils import concordance_index
    from sklearn.model_selection import StratifiedKFold

    shutil.copytree(made, out)
    held = pd.read_csv(out / "held_out_risk.csv")
    values = pd.read_parquet(tiny / "matrix.parquet").set_index("feature")[held["sample"]].T.reset_index(drop=True)
    outcome = held[["time", "event"]]
    for fold, (train, test) in enumerate(StratifiedKFold(3, shuffle=True, random_state=5).split(held, held["event"])):
        seen = outcome.join(values) if leak else outcome.join(values).iloc[train]
        model = CoxPHFitter(penalizer=0.02 if leak else 0.3).fit(seen, "time", "event")
        held.loc[test, "fold"] = fold + 1
        held.loc[test, "risk"] = model.predict_log_partial_hazard(values.iloc[test]).to_numpy()
    held["group"] = np.where(held["risk"] > held["risk"].median(), "high risk", "low risk")
    scores = pd.read_csv(out / "concordance.csv")
    parts = [part for _, part in held.groupby("fold")]
    scores.loc[:2, "concordance"] = [concordance_index(p["time"], -p["risk"], p["event"]) for p in parts]
    scores.loc[:2, ["n", "events"]] = [[len(p), p["event"].sum()] for p in parts]
    mean = scores["concordance"][:3].mean()
    test = multivariate_logrank_test(held["time"], held["group"], held["event"])
    scores.loc[3, ["concordance", "low95", "high95", "log_rank_p"]] = [mean, mean - 0.1, mean + 0.1, test.p_value]
    held.to_csv(out / "held_out_risk.csv", index=False)
    scores.to_csv(out / "concordance.csv", index=False)
    document = json.loads((out / "findings.json").read_text(encoding="utf-8"))
    first = document["findings"][0]
    document["findings"] = [{**first, "value": mean, "statement": f"Concordance {mean:.3f}"}]
    (out / "findings.json").write_text(json.dumps(document), encoding="utf-8")


def test_an_honest_signature_of_other_code_and_other_folds_passes(tiny: Path, run_operator: Run) -> None:
    made, params = run_operator("survival_signature", tiny, {"folds": 3, "penalty": "lasso"})
    out = made.with_name(f"{made.name}-other")
    _other_signature(tiny, made, out, leak=False)
    assert failed(check("survival_signature", params, tiny, out)) == []


def test_a_signature_that_saw_the_held_out_patients_fails(tiny: Path, run_operator: Run) -> None:
    made, params = run_operator("survival_signature", tiny, {"folds": 3, "penalty": "lasso"})
    out = made.with_name(f"{made.name}-other")
    _other_signature(tiny, made, out, leak=True)
    assert [line.split(":")[0] for line in failed(check("survival_signature", params, tiny, out))] == [
        "risks do no better than a refit without the outcomes"
    ]


@pytest.mark.parametrize(("gain", "holds"), [(0.0, True), (0.12, False), (-0.12, False)])
def test_held_out_concordance_may_come_from_another_split(
    gain: float, holds: bool, tiny: Path, run_operator: Run
) -> None:
    """The folds of another seed are as good; a mean that no split gives is not."""
    import pandas as pd

    out, params = run_operator("cox_regression", tiny, {**CASES["cox_regression"], "seed": 11})
    path = out / "concordance.csv"
    table = pd.read_csv(path)
    table[["concordance", "low95", "high95"]] += gain
    table.to_csv(path, index=False)
    document = json.loads((out / "findings.json").read_text(encoding="utf-8"))
    document["findings"] = document["findings"][:-1]  # the one about the concordance
    (out / "findings.json").write_text(json.dumps(document), encoding="utf-8")
    assert (failed(check("cox_regression", {**params, "seed": 0}, tiny, out)) == []) is holds
