"""A GEO series as a data card: which characteristics become which columns. Counts come from the conversion."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from labwright.domain import Dataset
from labwright.tools.geo import MOST_LEVELS, Sample, groups

FEW = 5
"""Numbers with more distinct values than this are a measurement, not a code for groups."""


def series_card(series: Dataset, samples: Sequence[Sample], source: Mapping[str, Any]) -> dict[str, Any]:
    """The card of a verified series, before its counts and file hashes are known.

    Args:
        series: what GEO states, verified.
        samples: its sample records.
        source: address, limit and members of the file that the conversion reads.
    """
    name = series.accession.lower()
    return {
        "id": name,
        "accession": series.accession,
        "title": _line(series.title, 200),
        "description": _line(series.description, 1000),
        "organism": series.organism,
        "assay": f"{series.assay}; series matrix, log2 scale",
        "kind": "expression",
        "feature_kind": "probe",
        "columns": columns(samples),
        "survival": None,
        "licence": "GEO series, public; terms of its submitters",
        "reference": {"citation": f"GEO series {series.accession}", "checked_in": series.verification},
        "known_results": [],
        "source": {"reader": "series_matrix", **source},
        "how_to_load": f"labwright.tools.catalogue.catalogue.materialise({name!r}, run_job), then "
        "labwright.tools.analysis.open_study(folder)",
    }


def columns(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """Clean column name to its description, for characteristics that are groups or measurements."""
    grouping = groups(samples)
    found: dict[str, dict[str, Any]] = {}
    for raw in dict.fromkeys(key for sample in samples for key in sample.characteristics):
        values = [value for sample in samples if (value := sample.characteristics.get(raw, ""))]
        name = _name(raw, found)
        described = {"description": f"{_line(raw, 80)}, as GEO names it", "from": raw}
        if _measured(values):
            found[name] = {"type": "numeric", **described, "unit": "not stated by GEO"}
        elif raw in grouping:
            found[name] = {"type": "categorical", **described}
    return found


def _measured(values: Sequence[str]) -> bool:
    distinct = set(values)
    return len(distinct) > min(FEW, MOST_LEVELS) and all(re.fullmatch(r"[-+]?\d+(\.\d+)?", v) for v in distinct)


def _name(raw: str, taken: Mapping[str, Any]) -> str:
    base = re.sub(r"[^a-z0-9]+", "_", raw.casefold()).strip("_")[:40] or "characteristic"
    base = f"{base}_" if base == "sample" or base[0].isdigit() else base
    return next(n for n in (base, *(f"{base}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def _line(text: str, most: int) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most]
