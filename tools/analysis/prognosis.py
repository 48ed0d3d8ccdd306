"""Prognostic genes one by one: univariate Cox for every feature."""

from __future__ import annotations

import numpy as np
import pandas as pd

from labwright.tools.analysis.cox_univariate import fit_each
from labwright.tools.analysis.findings import Cell, Finding, Ledger, write_table
from labwright.tools.analysis.multiple_testing import FDR_LIMIT, benjamini_hochberg
from labwright.tools.analysis.study import Study
from labwright.tools.analysis.volcano import draw_volcano

TABLE = "prognostic_features.csv"
REPORTED = 10


def prognostic_features(study: Study) -> list[Finding]:
    """Test every feature for association with survival.

    Args:
        study: a data set with expression and follow-up.

    Returns:
        The findings; the table and the figure are in the study's output folder.

    Raises:
        ValueError: the data set has no follow-up or no expression.
    """
    outcome = study.outcome()
    values = study.expression[outcome.index]
    fit = fit_each(values.to_numpy(), outcome["time"].to_numpy(), outcome["event"].to_numpy())
    table = pd.DataFrame(
        {
            "feature": values.index,
            "hazard_ratio": np.exp(fit.coefficient),
            "low95": np.exp(fit.coefficient - 1.959964 * fit.standard_error),
            "high95": np.exp(fit.coefficient + 1.959964 * fit.standard_error),
            "coefficient": fit.coefficient,
            "statistic": fit.z,
            "p": fit.p,
            "fdr": benjamini_hochberg(fit.p),
        }
    ).sort_values(["p", "feature"], ignore_index=True)
    write_table(study, table, TABLE)
    endpoint, n = study.card["survival"]["endpoint"], len(outcome)
    draw_volcano(
        table.assign(effect=table["coefficient"] / np.log(2.0)),
        study.out / "prognostic_features.png",
        x_label="log2 hazard ratio per standard deviation",
        title=f"Genes and {endpoint} (n = {n}, {int(outcome['event'].sum())} events)",
        sides=("higher hazard", "lower hazard"),
    )
    return _report(study, table, n)


def _report(study: Study, table: pd.DataFrame, n: int) -> list[Finding]:
    endpoint = study.card["survival"]["endpoint"]
    ledger = Ledger(study, "prognostic_features", n)
    for row in table.head(REPORTED).itertuples():
        risk = "higher" if row.coefficient > 0 else "lower"
        ledger.add(
            f"{{feature}}: higher expression goes with {risk} hazard of {endpoint} (hazard ratio "
            "{hazard_ratio:.2f} per SD, 95% CI {low95:.2f}-{high95:.2f}, p = {p:.2g}, FDR = {fdr:.2g})"
            + ("" if row.fdr < FDR_LIMIT else "; not significant after correction"),
            Cell(table=TABLE, row={"feature": row.feature}, column="hazard_ratio"),
            direction="up" if row.coefficient > 0 else "down",
        )
    return ledger.write()
