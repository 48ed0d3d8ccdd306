"""Drug response and genomic alterations: one alteration against all drugs, or one drug against all alterations."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from labwright.tools.analysis.findings import Cell, Finding, Ledger, write_table
from labwright.tools.analysis.multiple_testing import FDR_LIMIT, benjamini_hochberg
from labwright.tools.analysis.study import MIN_GROUP, Study
from labwright.tools.analysis.volcano import draw_volcano

TABLE = "drug_association.csv"
REPORTED = 10
TISSUE = "tissue"
Array = NDArray[np.float64]


def drug_association(study: Study, *, alteration: str | None = None, drug: str | None = None) -> list[Finding]:
    """Test the association of response with alterations, tissue held fixed.

    Args:
        study: a drug response data set.
        alteration: tested against all drugs.
        drug: tested against all alterations; exactly one of the two is given.

    Returns:
        The findings; the table and the figure are in the study's output folder.

    Raises:
        ValueError: not exactly one of the two is given, or it is not in the data.
    """
    if (alteration is None) == (drug is None):
        raise ValueError("give exactly one of alteration and drug")
    chosen = str(drug if alteration is None else alteration)
    frame = study.matrix if alteration is None else study.alterations
    if chosen not in frame.index:
        near = [name for name in frame.index if chosen.split("_")[0].lower() in str(name).lower()][:5]
        raise ValueError(f"{chosen!r} is not in the data; near: {', '.join(near) or 'none'}")
    table = association_table(study, alteration, drug).sort_values(["p", "feature"], ignore_index=True)
    if table.empty:
        raise ValueError(f"{chosen} has fewer than {MIN_GROUP} altered lines with a response everywhere")
    write_table(study, table, TABLE)
    draw_volcano(
        table,
        study.out / "drug_association.png",
        x_label="Difference of ln IC50, altered - wild type (below 0: sensitive)",
        title=f"{chosen}: {len(table)} tests adjusted for tissue",
        sides=("resistant", "sensitive"),
    )
    return _report(study, table, chosen, by_drug=alteration is not None)


def association_table(study: Study, alteration: str | None, drug: str | None) -> pd.DataFrame:
    """One row per tested pair.

    Args:
        study: a drug response data set.
        alteration: tested against all drugs, or None.
        drug: tested against all alterations, or None.

    Returns:
        Columns feature (the drug or alteration that varies), n, n_altered, effect, statistic, p, fdr.
    """
    tissue = study.samples[TISSUE].to_numpy(dtype=str)
    response, altered = study.matrix, study.alterations[study.matrix.columns]
    rows = []
    if alteration is not None:
        carrier = altered.loc[alteration].to_numpy(dtype=float)
        pairs = ((name, response.loc[name].to_numpy(dtype=float), carrier) for name in response.index)
    else:
        values = response.loc[str(drug)].to_numpy(dtype=float)
        pairs = ((name, values, altered.loc[name].to_numpy(dtype=float)) for name in altered.index)
    for name, values, carrier in pairs:
        row = _associate(values, carrier, tissue)
        if row is not None:
            rows.append({"feature": name, **row})
    table = pd.DataFrame(rows, columns=["feature", "n", "n_altered", "effect", "standard_error", "statistic", "p"])
    table["fdr"] = benjamini_hochberg(table["p"].to_numpy(dtype=float))
    return table


def _associate(values: Array, carrier: Array, tissue: NDArray[np.str_]) -> dict[str, float] | None:
    """Least squares of the response on the alteration with tissue as factor (by centring within tissues)."""
    known = ~np.isnan(values)
    values, carrier = values[known], carrier[known]
    names, code = np.unique(tissue[known], return_inverse=True)
    altered = int(carrier.sum())
    if altered < MIN_GROUP or len(values) - altered < MIN_GROUP:
        return None
    count = np.bincount(code)
    y = values - (np.bincount(code, values) / count)[code]
    x = carrier - (np.bincount(code, carrier) / count)[code]
    within, freedom = float(x @ x), len(values) - len(names) - 1
    if within < 1e-9 or freedom < 1:
        return None
    effect = float(x @ y) / within
    residual = y - effect * x
    error = float(np.sqrt(residual @ residual / freedom / within))
    statistic = effect / error
    p = float(2.0 * student.sf(abs(statistic), freedom))
    return {
        "n": len(values),
        "n_altered": altered,
        "effect": effect,
        "standard_error": error,
        "statistic": statistic,
        "p": p,
    }


def _report(study: Study, table: pd.DataFrame, chosen: str, *, by_drug: bool) -> list[Finding]:
    ledger = Ledger(study, "drug_association", int(table["n"].max()))
    for row in table.head(REPORTED).itertuples():
        side = "more sensitive" if row.effect < 0 else "more resistant"
        pair = f"{chosen} are {side} to {{feature}}" if by_drug else f"{{feature}} are {side} to {chosen}"
        ledger.add(
            f"Cell lines with {pair} (difference of ln IC50 {{effect:.2f}}, {{n_altered}} of {{n}} lines altered, "
            "p = {p:.2g}, FDR = {fdr:.2g}, adjusted for tissue)"
            + ("" if row.fdr < FDR_LIMIT else "; not significant after correction"),
            Cell(table=TABLE, row={"feature": row.feature}, column="effect"),
            unit="ln IC50",
            direction="up" if row.effect > 0 else "down",
        )
    return ledger.write()
