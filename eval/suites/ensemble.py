"""`labwright bench ensemble`: focal diversity, pruning and learned ensembles (docs/benchmarks/README.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labwright.errors import WrongUse
from labwright.eval.suites import ensemble_bbh, ensemble_pruning, ensemble_pubmedqa, ensemble_summary
from labwright.eval.suites.document import document
from labwright.eval.suites.ensemble_figures import figures_of
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import RAW

PARTS: Mapping[str, Callable[[Rows, Callable[[str], None]], None]] = {
    "bbh": ensemble_bbh.measure,
    "pruning": ensemble_pruning.measure,
    "pubmedqa": ensemble_pubmedqa.measure,
    "summary": ensemble_summary.measure,
}


def measure(parts: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Measure what the raw rows do not hold yet and return the suite's document.

    Raises:
        WrongUse: a part that does not exist.
    """
    unknown = [p for p in parts if p not in PARTS]
    if unknown:
        raise WrongUse(f"--parts: no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    RAW.mkdir(parents=True, exist_ok=True)
    rows = Rows(RAW / "ensemble.jsonl")
    for part in parts:
        PARTS[part](rows, say)
    return document(
        "ensemble", "labwright bench ensemble", figures_of(rows.all(), "docs/benchmarks/raw/ensemble.jsonl")
    )
