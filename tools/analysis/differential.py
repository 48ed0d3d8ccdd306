"""Differential expression between two groups: moderated t for log values, PyDESeq2 for counts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from labwright.tools.analysis.findings import Cell, Finding, Ledger, write_table
from labwright.tools.analysis.moderated_t import moderated_t
from labwright.tools.analysis.multiple_testing import FDR_LIMIT, benjamini_hochberg
from labwright.tools.analysis.study import MIN_GROUP, Study
from labwright.tools.analysis.volcano import draw_volcano

TABLE = "differential_expression.csv"
REPORTED = 10
MIN_COUNTS = 10
"""Features with fewer counts over all samples are not tested."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two groups of samples and, where given, their blocks."""

    column: str
    reference: str
    test: str
    groups: pd.Series
    """Level by sample name, the two levels only."""
    block: pd.Series | None
    """Block by sample name."""


def differential_expression(
    study: Study, *, group_column: str, reference: str, test: str, block_column: str | None = None
) -> list[Finding]:
    """Compare the expression of every feature between two levels of a column.

    Args:
        study: a data set with expression.
        group_column: column that holds the two levels.
        reference: level the fold change is measured from.
        test: level whose expression is up when the fold change is positive.
        block_column: column of pairs or blocks to adjust for.

    Returns:
        The findings; the table and the figure are in the study's output folder.

    Raises:
        ValueError: a column or level is missing, a group is too small, or the block is confounded.
    """
    contrast = select_samples(study, group_column, (reference, test), block_column)
    counts = study.card["kind"] == "rnaseq_counts"
    table = _test_counts(study, contrast) if counts else _test_values(study, contrast)
    table = table.sort_values(["p", "feature"], ignore_index=True)
    write_table(study, table, TABLE)
    sizes = contrast.groups.value_counts()
    draw_volcano(
        table.assign(effect=table["log2_fold_change"]),
        study.out / "volcano.png",
        x_label=f"log2 fold change ({test} over {reference})",
        title=f"{group_column}: {test} (n = {sizes[test]}) vs {reference} (n = {sizes[reference]})",
    )
    return _report(study, table, contrast)


def _report(study: Study, table: pd.DataFrame, contrast: Contrast) -> list[Finding]:
    ledger = Ledger(study, "differential_expression", len(contrast.groups))
    for row in table.head(REPORTED).itertuples():
        side = "higher" if row.log2_fold_change > 0 else "lower"
        ledger.add(
            f"{{feature}} is {side} in {contrast.test} than in {contrast.reference} samples (log2 fold change "
            "{log2_fold_change:.2f}, p = {p:.2g}, FDR = {fdr:.2g})"
            + ("" if row.fdr < FDR_LIMIT else "; not significant after correction"),
            Cell(table=TABLE, row={"feature": row.feature}, column="log2_fold_change"),
            unit="log2 fold change",
            direction="up" if row.log2_fold_change > 0 else "down",
        )
    return ledger.write()


def select_samples(study: Study, group_column: str, levels: tuple[str, str], block_column: str | None) -> Contrast:
    """The samples of the two levels, with their blocks.

    Args:
        study: the data set.
        group_column: column that holds the levels.
        levels: reference and test level.
        block_column: column of blocks, or None.

    Returns:
        The contrast.

    Raises:
        ValueError: a level is missing or too small, or a block column is unusable.
    """
    labels = study.labels(group_column, least=2)
    for level in levels:
        size = int((labels == level).sum())
        if size < MIN_GROUP:
            raise ValueError(
                f"{group_column} = {level!r} has {size} samples, needed are {MIN_GROUP}; "
                f"levels: {labels.value_counts().to_dict()}"
            )
    groups = labels[labels.isin(levels)]
    block = None
    if block_column is not None:
        if block_column == group_column:
            raise ValueError("block_column must differ from group_column")
        block = study.labels(block_column, least=2).reindex(groups.index).dropna()
        groups = groups[block.index]
    return Contrast(group_column, levels[0], levels[1], groups, block)


def design_of(contrast: Contrast) -> np.ndarray:
    """Model matrix: intercept, test group, then one column per block but the first.

    Args:
        contrast: the groups and blocks.

    Returns:
        Matrix (n, 2 + blocks - 1).
    """
    columns = [np.ones(len(contrast.groups)), (contrast.groups == contrast.test).to_numpy(dtype=float)]
    if contrast.block is not None:
        blocks = sorted(set(contrast.block))
        columns += [(contrast.block == level).to_numpy(dtype=float) for level in blocks[1:]]
    return np.column_stack(columns)


def _test_values(study: Study, contrast: Contrast) -> pd.DataFrame:
    values = study.expression[contrast.groups.index]
    fit = moderated_t(values.to_numpy(), design_of(contrast), 1)
    in_test = (contrast.groups == contrast.test).to_numpy()
    return pd.DataFrame(
        {
            "feature": values.index,
            "mean_reference": values.to_numpy()[:, ~in_test].mean(axis=1),
            "mean_test": values.to_numpy()[:, in_test].mean(axis=1),
            "log2_fold_change": fit.effect,
            "statistic": fit.statistic,
            "p": fit.p,
            "fdr": benjamini_hochberg(fit.p),
        }
    )


def _test_counts(study: Study, contrast: Contrast) -> pd.DataFrame:
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.ds import DeseqStats

    from labwright.tools.analysis.count_inference import BatchInference

    counts = study.matrix[contrast.groups.index]
    counts = counts[counts.sum(axis=1) >= MIN_COUNTS].T
    about = pd.DataFrame(
        {"condition": np.where(contrast.groups == contrast.test, "test", "reference")}, index=counts.index
    )
    formula = "~condition"
    if contrast.block is not None:
        about["block"] = contrast.block.to_numpy()
        formula = "~block + condition"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = DeseqDataSet(
            counts=counts, metadata=about, design=formula, inference=BatchInference(n_cpus=1), quiet=True
        )
        model.deseq2()
        tests = DeseqStats(
            model, contrast=["condition", "test", "reference"], inference=BatchInference(n_cpus=1), quiet=True
        )
        tests.summary()
    found = tests.results_df
    return pd.DataFrame(
        {
            "feature": found.index,
            "base_mean": found["baseMean"].to_numpy(),
            "log2_fold_change": found["log2FoldChange"].to_numpy(),
            "standard_error": found["lfcSE"].to_numpy(),
            "statistic": found["stat"].to_numpy(),
            "p": found["pvalue"].to_numpy(),
            "fdr": found["padj"].to_numpy(),
            "dispersion": model.var["dispersions"].to_numpy(),
        }
    )
