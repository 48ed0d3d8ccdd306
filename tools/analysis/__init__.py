"""Typed analysis operators, usable by hand: `from labwright.tools.analysis import open_study`.

Nothing heavy is imported until an operator is asked for, so a host without pandas can read
`labwright.tools.analysis.contracts`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labwright.tools.analysis.classification import classify_samples
    from labwright.tools.analysis.clustering import cluster_samples
    from labwright.tools.analysis.cohort import cohort_summary
    from labwright.tools.analysis.cox import cox_regression
    from labwright.tools.analysis.differential import differential_expression
    from labwright.tools.analysis.drugs import drug_association
    from labwright.tools.analysis.enrichment import gene_set_enrichment
    from labwright.tools.analysis.kaplan_meier import survival_curves
    from labwright.tools.analysis.markers import marker_features
    from labwright.tools.analysis.prognosis import prognostic_features
    from labwright.tools.analysis.signature import survival_signature
    from labwright.tools.analysis.study import Study, open_study

__all__ = [
    "Study",
    "classify_samples",
    "cluster_samples",
    "cohort_summary",
    "cox_regression",
    "differential_expression",
    "drug_association",
    "gene_set_enrichment",
    "marker_features",
    "open_study",
    "operator_source",
    "prognostic_features",
    "survival_curves",
    "survival_signature",
]

_HOME = {
    "Study": "study",
    "classify_samples": "classification",
    "cluster_samples": "clustering",
    "cohort_summary": "cohort",
    "cox_regression": "cox",
    "differential_expression": "differential",
    "drug_association": "drugs",
    "gene_set_enrichment": "enrichment",
    "marker_features": "markers",
    "open_study": "study",
    "prognostic_features": "prognosis",
    "survival_curves": "kaplan_meier",
    "survival_signature": "signature",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def operator_source(name: str) -> str:
    """Source text of the module that holds an operator, for a person or a model that writes its own version.

    Raises:
        KeyError: there is no such operator.
    """
    return files(__name__).joinpath(f"{_HOME[name]}.py").read_text(encoding="utf-8")
