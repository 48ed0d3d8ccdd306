"""`labwright bench ensemble`: focal diversity, pruning and learned ensembles (docs/benchmarks/README.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labwright.eval.suites import ensemble_bbh, ensemble_pruning, ensemble_pubmedqa, ensemble_summary
from labwright.eval.suites.document import document
from labwright.eval.suites.ensemble_figures import figures_of
from labwright.eval.suites.parts import command, refuse_unknown
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
    refuse_unknown(parts, PARTS)
    RAW.mkdir(parents=True, exist_ok=True)
    rows = Rows(RAW / "ensemble.jsonl")
    for part in parts:
        PARTS[part](rows, say)
    typed = command("ensemble", () if set(parts) == set(PARTS) else parts)
    return document("ensemble", typed, figures_of(rows.all(), "docs/benchmarks/raw/ensemble.jsonl"))
