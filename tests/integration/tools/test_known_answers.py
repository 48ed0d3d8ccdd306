"""Known answers on real data, through the sandbox: fetch, convert, analyse, check in a second clean sandbox.

Sources of the expected values: the papers and package documentation named in the cards, and the
reference runs recorded in each test's docstring.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from labwright.sandbox.contract import Job, Sandbox
from labwright.tools.analysis.contracts import OPERATORS, render_script, validate_params
from labwright.tools.analysis.rendering import GENE_SETS
from labwright.tools.catalogue.catalogue import card, load_cards, materialise, verify
from labwright.tools.catalogue.gene_sets import materialise_gene_sets

pytestmark = pytest.mark.docker

CHECK = """\
import json
from pathlib import Path

from labwright.tools.analysis.checks import check

results = check({name!r}, json.loads({params!r}), "/in/{dataset}", "/in/outputs", {upstream!r})
Path("/out/checks.json").write_text(json.dumps(results))
"""


class Bench:
    """Runs operators and their checks in fresh sandboxes."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.jobs = 0

    def job(self, script: str, inputs: Mapping[str, Path], out: Path) -> None:
        result = self.sandbox.run(Job(script=script, inputs=inputs), out)
        assert result.ok, result.stderr[-1500:]

    def operator(self, name: str, dataset: str, params: dict[str, Any], upstream: Path | None = None) -> Path:
        """Outputs of one operator, after every check on them has passed."""
        self.jobs += 1
        out = self.folder / f"{self.jobs}-{name}"
        full = validate_params(OPERATORS[name], card(dataset), params)
        inputs = {dataset: materialise(dataset, self.job)}
        if upstream:
            inputs |= {"upstream": upstream, GENE_SETS: materialise_gene_sets(GENE_SETS)}
        self.job(render_script(OPERATORS[name], full, dataset, "before" if upstream else None), inputs, out)
        checks = self.folder / f"{self.jobs}-checks"
        where = "/in/upstream" if upstream else None
        script = CHECK.format(name=name, params=json.dumps(full), dataset=dataset, upstream=where)
        self.job(script, {**inputs, "outputs": out}, checks)
        results = json.loads((checks / "checks.json").read_text())
        assert len(results) > 10
        assert [result for result in results if not result["passed"]] == []
        return out


@pytest.fixture
def bench(sandbox: Sandbox, tmp_path: Path) -> Bench:
    return Bench(sandbox, tmp_path)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def findings(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "findings.json").read_text())["findings"]


@pytest.mark.parametrize("dataset_id", [loaded["id"] for loaded in load_cards()])
def test_every_card_agrees_with_its_data(dataset_id: str, bench: Bench) -> None:
    verified, line = verify(dataset_id, bench.job)
    assert verified, line


def test_breast_cancer_signature_predicts_metastasis(bench: Bench) -> None:
    """GSE7390: 0.669 with another solver in the reference run; 0.62 to 0.72 expected, above grade and size."""
    out = bench.operator("survival_signature", "gse7390", {})
    value = findings(out)[0]["value"]
    assert 0.62 < value < 0.72
    clinical = bench.operator("cox_regression", "gse7390", {"covariates": ["grade", "size"]})
    assert float(rows(clinical / "concordance.csv")[-1]["concordance"]) < value


def test_proliferation_predicts_metastasis(bench: Bench) -> None:
    """nki70: PRC1 first with p 9.5e-6, then QSCN6L1, NUSAP1, CENPA (reference run)."""
    table = rows(bench.operator("prognostic_features", "nki70", {}) / "prognostic_features.csv")
    assert table[0]["feature"] == "PRC1"
    assert float(table[0]["p"]) == pytest.approx(9.5e-6, rel=0.05)
    assert float(table[0]["hazard_ratio"]) > 1
    assert {"QSCN6L1", "NUSAP1", "CENPA"} <= {row["feature"] for row in table[:5]}


def test_receptor_genes_separate_receptor_status(bench: Bench) -> None:
    """gse4335 and its replication gse1992: ESR1, GATA3 and trefoil factors are up in receptor-positive tumours."""
    for dataset, genes in (("gse4335", {"ESR1", "GATA3", "TFF1", "TFF3"}), ("gse1992", {"ESR1", "GATA3"})):
        out = bench.operator("differential_expression", dataset, {"group_column": "er"})
        table = rows(out / "differential_expression.csv")
        assert genes <= {row["feature"] for row in table[:15]}
        assert all(float(row["log2_fold_change"]) > 0 for row in table if row["feature"] in genes)


def test_dexamethasone_changes_glucocorticoid_genes(bench: Bench) -> None:
    """airway: 4,706 genes at FDR 0.1 of 17,852 tested, SPARCL1 first (reference run, PyDESeq2 `~cell + dex`)."""
    params = {"group_column": "dex", "block_column": "cell"}
    out = bench.operator("differential_expression", "airway", params)
    table = rows(out / "differential_expression.csv")
    assert [row["feature"] for row in table[:4]] == ["SPARCL1", "SAMHD1", "MAOA", "GPX3"]
    assert {"DUSP1", "KLF15", "PER1", "ADAMTS1"} <= {row["feature"] for row in table[:12]}
    called = sum(row["fdr"] != "" and float(row["fdr"]) < 0.1 for row in table)
    assert called == pytest.approx(4706, rel=0.02)
    crispld2 = next(row for row in table if row["feature"] == "CRISPLD2")
    assert float(crispld2["log2_fold_change"]) > 0
    assert float(crispld2["fdr"]) < 0.05
    sets = bench.operator("gene_set_enrichment", "airway", {}, out)
    assert len(rows(sets / "gene_set_enrichment.csv")) > 1000


def test_braf_and_tp53_explain_drug_response(bench: Bench) -> None:
    """GDSC v17: drugs 1373, 1371, 1036, 1061 for BRAF; TP53 for Nutlin-3a (example of gdsctools)."""
    braf = rows(bench.operator("drug_association", "gdsc17", {"alteration": "BRAF_mut"}) / "drug_association.csv")
    assert [row["feature"] for row in braf[:4]] == ["drug 1373", "drug 1371", "drug 1036", "drug 1061"]
    assert all(float(row["effect"]) < 0 for row in braf[:4])
    out = bench.operator("drug_association", "gdsc17", {"drug": "Nutlin-3a (drug 1047)"})
    first = rows(out / "drug_association.csv")[0]
    assert first["feature"] == "TP53_mut"
    assert float(first["effect"]) > 1


def test_blood_cells_have_their_markers(bench: Bench) -> None:
    """PBMC 68k: textbook markers are among the first twenty of their cell type."""
    table = rows(bench.operator("marker_features", "pbmc68k", {"group_column": "cell_type"}) / "marker_features.csv")
    expected = {
        "CD19+ B": {"CD79A", "CD79B"},
        "CD56+ NK": {"NKG7", "GZMB"},
        "CD14+ Monocyte": {"LST1", "AIF1"},
        "Dendritic": {"CST3", "HLA-DRA"},
    }
    for level, genes in expected.items():
        assert genes <= {row["feature"] for row in [row for row in table if row["level"] == level][:20]}


def test_tissues_are_told_apart_with_and_without_labels(bench: Bench) -> None:
    """tissue_expression: classification near 100 %."""
    out = bench.operator("classify_samples", "tissue_expression", {"group_column": "tissue"})
    assert findings(out)[1]["value"] > 0.95
    out = bench.operator("cluster_samples", "tissue_expression", {"label_column": "tissue", "method": "leiden"})
    assert findings(out)[1]["value"] > 0.7


@pytest.mark.parametrize(
    ("dataset", "column", "better"),
    [("gbsg2", "hormone_therapy", "yes"), ("actg320", "indinavir", "yes"), ("dlbcl_chop", "treatment", "R-CHOP"),
     ("colon", "treatment", "levamisole + fluorouracil")],
)  # fmt: skip
def test_trials_show_their_known_benefit(dataset: str, column: str, better: str, bench: Bench) -> None:
    """Log-rank p below 0.01 and fewer events than expected under the better treatment."""
    out = bench.operator("survival_curves", dataset, {"group_column": column})
    assert float(rows(out / "log_rank.csv")[0]["p"]) < 0.01
    group = next(row for row in rows(out / "survival_curves.csv") if row["group"] == better)
    assert float(group["observed_expected"]) < 0.9


@pytest.mark.parametrize(
    ("dataset", "term", "above_one"),
    [("pbc", "bilirubin", True), ("whas500", "age", True), ("veteran", "karnofsky", False)],
)
def test_clinical_factors_are_found(dataset: str, term: str, above_one: bool, bench: Bench) -> None:
    """Known factors are independent of age and the others (cards)."""
    others = {"pbc": ["age"], "whas500": ["heart_failure"], "veteran": ["cell_type"]}[dataset]
    out = bench.operator("cox_regression", dataset, {"covariates": [term, *others]})
    row = next(row for row in rows(out / "cox_regression.csv") if row["term"] == term)
    assert (float(row["hazard_ratio"]) > 1) is above_one
    assert float(row["p"]) < 1e-6


@pytest.mark.parametrize("dataset", ["oligodendroglioma", "ovarian_meta", "nci60"])
def test_cohorts_are_described(dataset: str, bench: Bench) -> None:
    """Every data set, also those without a known answer, can be described."""
    out = bench.operator("cohort_summary", dataset, {})
    assert findings(out)[0]["value"] == card(dataset)["n_samples"]
