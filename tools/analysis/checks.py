"""Checks of an operator's outputs, run by trusted code in a second clean sandbox over read-only outputs.

Each operator has recomputations by other code than its own (SciPy, statsmodels, lifelines, scikit-learn). Covered:
files, columns, row counts, ranges, FDR, sampled or all statistics, held-out scores, findings, figures. Not
covered: whether the analysis was a good choice for the question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labwright.tools.analysis import checks_expression, checks_groups, checks_survival
from labwright.tools.analysis.check_parts import (
    Check,
    Evidence,
    check_figure,
    check_files,
    check_findings,
    check_ranges,
    verdict,
)
from labwright.tools.analysis.contracts import OPERATORS, OperatorContract
from labwright.tools.analysis.rendering import GENE_SETS
from labwright.tools.analysis.study import open_study

RECOMPUTE: dict[str, Callable[[Evidence], Iterator[Check]]] = {
    "classify_samples": checks_groups.check_classify_samples,
    "cluster_samples": checks_groups.check_cluster_samples,
    "cohort_summary": checks_survival.check_cohort_summary,
    "cox_regression": checks_survival.check_cox_regression,
    "differential_expression": checks_expression.check_differential_expression,
    "drug_association": checks_expression.check_drug_association,
    "gene_set_enrichment": checks_expression.check_gene_set_enrichment,
    "marker_features": checks_groups.check_marker_features,
    "prognostic_features": checks_survival.check_prognostic_features,
    "survival_curves": checks_survival.check_survival_curves,
    "survival_signature": checks_survival.check_survival_signature,
}
"""Recomputation by operator."""


def check(
    name: str,
    params: Mapping[str, Any],
    data_dir: str | Path,
    out_dir: str | Path,
    upstream_dir: str | Path | None = None,
) -> list[Check]:
    """Check the outputs of one operator against the data.

    Args:
        name: the operator.
        params: as `validate_params` returned them.
        data_dir: folder of the converted data set; the gene sets are looked for beside it, in `go_bp_2023`.
        out_dir: outputs of the operator, only read.
        upstream_dir: outputs of the task before, where the operator needed them.

    Returns:
        Mappings with `check`, `passed`, `detail`; the task is good when all passed.

    Raises:
        ValueError: the operator is not known, or the data folder holds no data set.
    """
    if name not in OPERATORS:
        raise ValueError(f"{name!r} is no operator; known: {', '.join(OPERATORS)}")
    contract, out = OPERATORS[name], Path(out_dir)
    results = list(check_files(contract, out))
    if not all(result["passed"] for result in results):
        return results
    study = open_study(
        data_dir,
        out,
        upstream=upstream_dir,
        gene_sets=Path(data_dir).parent / GENE_SETS,
        seed=int(params.get("seed") or 0),
    )
    evidence = Evidence(study, params, out)
    results += _guarded("tables and figures can be read", lambda: _check_form(contract, evidence))
    results += _guarded("findings can be read", lambda: check_findings(contract, evidence))
    results += _guarded("statistics can be recomputed", lambda: RECOMPUTE[name](evidence))
    return results


def _check_form(contract: OperatorContract, evidence: Evidence) -> Iterator[Check]:
    for spec in contract.outputs:
        if spec.type == "figure":
            yield check_figure(evidence.out / spec.name)
        elif spec.type == "table":
            yield from check_ranges(spec.name, evidence.table(spec.name))


def _guarded(name: str, run: Callable[[], Iterator[Check]]) -> list[Check]:
    """Run checks; outputs that are not of the promised form fail, they do not crash the checker."""
    done: list[Check] = []
    try:
        for result in run():
            done.append(result)
    except (LookupError, ArithmeticError, ValueError, TypeError, AttributeError) as error:
        done.append(verdict(name, False, f"{type(error).__name__}: {error}"))
    return done
