"""Gene set enrichment: do the genes of a set rank higher or lower than all others in the table before?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from labwright.tools.analysis.findings import Cell, Finding, Ledger, read_table, write_table
from labwright.tools.analysis.multiple_testing import FDR_LIMIT, benjamini_hochberg
from labwright.tools.analysis.study import Study
from labwright.tools.analysis.style import DOWN, GREY, UP, new_figure, save_figure, short

TABLE = "gene_set_enrichment.csv"
SOURCES = ("differential_expression.csv", "prognostic_features.csv")
REPORTED, SHOWN, LEADING = 10, 12, 8


def gene_set_enrichment(study: Study, *, min_size: int = 15, max_size: int = 300) -> list[Finding]:
    """Test every gene set against the ranked genes of the upstream table.

    Args:
        study: a data set with gene symbols; `upstream` and `gene_sets` must be given.
        min_size: least number of measured genes in a set.
        max_size: greatest number of measured genes in a set.

    Returns:
        The findings; the table and the figure are in the study's output folder.

    Raises:
        ValueError: the upstream table or the gene sets are missing, or too few names match.
    """
    statistic, source = upstream_statistic(study)
    sets = read_gene_sets(study)
    table = _test_sets(statistic, sets, (min_size, max_size))
    if len(table) < 10:
        raise ValueError(f"only {len(table)} gene sets match the feature names; gene symbols are needed")
    write_table(study, table, TABLE)
    _draw(table, study.out / "gene_set_enrichment.png", f"{len(table):,} sets, {len(statistic):,} genes ({source})")
    ledger = Ledger(study, "gene_set_enrichment", len(statistic))
    for row in table.head(REPORTED).itertuples():
        side = "up" if row.auc > 0.5 else "down"
        ledger.add(
            f"{{gene_set}}: its {{size}} measured genes rank {'higher' if side == 'up' else 'lower'} than the others "
            "(AUC {auc:.2f}, p = {p:.2g}, FDR = {fdr:.2g}; leading genes {leading_genes})"
            + ("" if row.fdr < FDR_LIMIT else "; not significant after correction"),
            Cell(table=TABLE, row={"gene_set": row.gene_set}, column="auc"),
            direction="up" if side == "up" else "down",
        )
    return ledger.write()


def upstream_statistic(study: Study) -> tuple[pd.Series, str]:
    """The test statistic of every gene in the table of the task before.

    Args:
        study: the study, with `upstream`.

    Returns:
        Statistic by gene, without missing values, and the name of the table.

    Raises:
        ValueError: no table of a fitting operator is there.
    """
    if study.upstream is None:
        raise ValueError("no upstream outputs: run differential_expression or prognostic_features first")
    for name in SOURCES:
        path = study.upstream / name
        if path.is_file():
            table = read_table(path)
            return table.set_index("feature")["statistic"].dropna().astype(float), name
    raise ValueError(f"{study.upstream} holds none of {', '.join(SOURCES)}")


def read_gene_sets(study: Study) -> dict[str, list[str]]:
    """Gene sets by name from the GMT file of the study.

    Args:
        study: the study, with `gene_sets`.

    Returns:
        Genes of each set.

    Raises:
        ValueError: there is no GMT file.
    """
    files = sorted(study.gene_sets.glob("*.gmt")) if study.gene_sets and study.gene_sets.is_dir() else []
    if not files:
        raise ValueError(f"no GMT file in {study.gene_sets}; materialise the gene sets first")
    rows = (line.split("\t") for line in files[0].read_text(encoding="utf-8").splitlines())
    return {row[0]: [gene for gene in row[2:] if gene] for row in rows}


def _test_sets(statistic: pd.Series, sets: dict[str, list[str]], sizes: tuple[int, int]) -> pd.DataFrame:
    values = statistic.to_numpy()
    ranks, n = rankdata(values), len(values)
    _, tied = np.unique(values, return_counts=True)
    ties = float((tied.astype(float) ** 3 - tied).sum())
    place = {gene: i for i, gene in enumerate(statistic.index)}
    rows = []
    for name, genes in sets.items():
        members = sorted({place[gene] for gene in genes if gene in place})
        size = len(members)
        if not sizes[0] <= size <= sizes[1] or size >= n:
            continue
        u = ranks[members].sum() - size * (size + 1) / 2.0
        variance = size * (n - size) / 12.0 * ((n + 1) - ties / (n * (n - 1.0)))
        z = (u - size * (n - size) / 2.0) / np.sqrt(variance)
        order = sorted(members, key=lambda i: -values[i] if z > 0 else values[i])[:LEADING]
        rows.append((name, size, u / (size * (n - size)), z, 2.0 * norm.sf(abs(z)), " ".join(statistic.index[order])))
    table = pd.DataFrame(rows, columns=["gene_set", "size", "auc", "statistic", "p", "leading_genes"])
    table.insert(5, "fdr", benjamini_hochberg(table["p"].to_numpy(dtype=float)))
    return table.sort_values(["p", "gene_set"], ignore_index=True)


def _draw(table: pd.DataFrame, path: Path, title: str) -> None:
    high, low = table[table["auc"] > 0.5].head(SHOWN), table[table["auc"] <= 0.5].head(SHOWN)
    shown = pd.concat([high, low.iloc[::-1]]).iloc[::-1]
    figure, (axis,) = new_figure(9.0, 1.6 + 0.27 * len(shown))
    score = -np.log10(shown["fdr"].clip(lower=1e-300)) * np.where(shown["auc"] > 0.5, 1.0, -1.0)
    paint = [GREY if row.fdr >= FDR_LIMIT else UP if row.auc > 0.5 else DOWN for row in shown.itertuples()]
    axis.barh(range(len(shown)), score, color=paint, height=0.75)
    names = [f"{short(row.gene_set.split(' (GO:')[0], 58)} ({row.size})" for row in shown.itertuples()]
    axis.set_yticks(range(len(shown)), names, fontsize=8.5)
    axis.axvline(0.0, color="#666666", lw=0.8)
    axis.set(
        xlabel="-log10 FDR, signed by direction (right: higher statistic)", title=title, ylim=(-0.7, len(shown) - 0.3)
    )
    axis.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    save_figure(figure, path)
