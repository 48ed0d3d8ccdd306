"""Recomputations for differential expression, enrichment and drug response, with SciPy and statsmodels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import mannwhitneyu, norm
from scipy.stats import t as student

from labwright.tools.analysis.check_parts import Check, Evidence, check_fdr, close, verdict
from labwright.tools.analysis.findings import read_table

LN2 = np.log(2.0)


def check_differential_expression(evidence: Evidence) -> Iterator[Check]:
    """All moderated t statistics with least squares and root finding, or the count model gene by gene."""
    study, params = evidence.study, evidence.params
    table = evidence.table("differential_expression.csv")
    samples = study.samples[study.samples[params["group_column"]].isin((params["reference"], params["test"]))]
    block = params.get("block_column")
    if block:
        sizes = study.samples[block].value_counts()
        samples = samples[samples[block].map(sizes) >= 2]
    in_test = (samples[params["group_column"]] == params["test"]).astype(float)
    design = pd.DataFrame({"intercept": 1.0, "test": in_test})
    if block:
        design = design.join(pd.get_dummies(samples[block], drop_first=True).astype(float))
    yield check_fdr("differential_expression.csv", table)
    yield verdict("sorted by p", table["p"].dropna().is_monotonic_increasing)
    counts = study.card["kind"] == "rnaseq_counts"
    yield from (_check_counts if counts else _check_values)(evidence, table, design)


def _check_values(evidence: Evidence, table: pd.DataFrame, design: pd.DataFrame) -> Iterator[Check]:
    values = evidence.study.expression[design.index]
    yield verdict("one row per feature", sorted(table["feature"].astype(str)) == sorted(values.index.astype(str)))
    x, y = design.to_numpy(), values.loc[table["feature"]].to_numpy()
    in_test = design["test"].to_numpy() > 0
    yield close("mean of the test group", table["mean_test"], y[:, in_test].mean(axis=1), atol=1e-5)
    yield close("mean of the reference group", table["mean_reference"], y[:, ~in_test].mean(axis=1), atol=1e-5)
    solution, squares, _, _ = np.linalg.lstsq(x, y.T, rcond=None)
    yield close("log2 fold changes refitted", table["log2_fold_change"], solution[1], atol=1e-5)
    df = len(x) - x.shape[1]
    variance = squares / df
    prior_df, prior = _prior(variance, df)
    posterior = (
        np.full_like(variance, prior) if np.isinf(prior_df) else (prior_df * prior + df * variance) / (prior_df + df)
    )
    statistic = solution[1] / np.sqrt(posterior * np.linalg.inv(x.T @ x)[1, 1])
    yield close("moderated t recomputed", table["statistic"], statistic, rtol=2e-3, atol=1e-4)
    p = 2.0 * student.sf(np.abs(statistic), min(prior_df + df, df * len(y)))
    yield close("p recomputed", table["p"], p, rtol=2e-2, atol=1e-300)


def _prior(variance: np.ndarray, df: int) -> tuple[float, float]:
    logs = np.log(variance[variance > 0]) - digamma(df / 2) + np.log(df / 2)
    excess = np.var(logs, ddof=1) - polygamma(1, df / 2)
    if excess <= 0:
        return float("inf"), float(np.exp(logs.mean()))
    half = brentq(lambda x: polygamma(1, x) - excess, 1e-6, 1e8)
    return 2.0 * half, float(np.exp(logs.mean() + digamma(half) - np.log(half)))


def _check_counts(evidence: Evidence, table: pd.DataFrame, design: pd.DataFrame) -> Iterator[Check]:
    counts = evidence.study.matrix[design.index]
    counts = counts[counts.sum(axis=1) >= 10]
    yield verdict(
        "one row per counted feature",
        sorted(table["feature"].astype(str)) == sorted(counts.index.astype(str)),
        f"{len(table)} rows",
    )
    with np.errstate(divide="ignore"):
        logs = np.log(counts[(counts > 0).all(axis=1)].to_numpy(dtype=float))
    factors = np.exp(np.median(logs - logs.mean(axis=1, keepdims=True), axis=0))
    ordered = counts.loc[table["feature"]].to_numpy(dtype=float)
    yield close("normalised means recomputed", table["base_mean"], (ordered / factors).mean(axis=1), rtol=1e-3)
    yield close(
        "statistic is effect over error", table["statistic"], table["log2_fold_change"] / table["standard_error"]
    )
    known = table["p"].notna()
    yield close("p from the statistic", table["p"][known], 2.0 * norm.sf(table["statistic"][known].abs()), atol=1e-300)
    tested, left_out = table[table["fdr"].notna()], table[table["fdr"].isna() & known]
    filtered = left_out.empty or left_out["base_mean"].max() <= tested["base_mean"].min() * 1.01
    yield verdict("only low counts were left out", filtered and len(tested) > 0.4 * len(table), f"{len(tested)} tested")
    rows = tested.iloc[evidence.pick(len(tested), 12)]
    fits = [_refit(counts.loc[row.feature], row.dispersion, design, factors) for row in rows.itertuples()]
    yield close(
        "12 fold changes refitted",
        rows["log2_fold_change"],
        [f.params["test"] / LN2 for f in fits],
        rtol=2e-2,
        atol=2e-2,
    )
    yield close(
        "12 standard errors refitted", rows["standard_error"], [f.bse["test"] / LN2 for f in fits], rtol=6e-2, atol=1e-2
    )


def _refit(counts: pd.Series, dispersion: float, design: pd.DataFrame, factors: np.ndarray) -> Any:
    family = sm.families.NegativeBinomial(alpha=dispersion)
    return sm.GLM(counts.to_numpy(dtype=float), design, family=family, offset=np.log(factors)).fit()


def check_gene_set_enrichment(evidence: Evidence) -> Iterator[Check]:
    """Sets counted again; 20 sets retested with SciPy's rank test on the upstream table."""
    study, table = evidence.study, evidence.table("gene_set_enrichment.csv")
    if study.upstream is None or study.gene_sets is None:
        yield verdict("upstream table and gene sets are there", False)
        return
    names = ("differential_expression.csv", "prognostic_features.csv")
    source = next(study.upstream / name for name in names if (study.upstream / name).is_file())
    upstream = read_table(source).dropna(subset=["statistic"])
    statistic = upstream["statistic"].to_numpy(dtype=float)
    features = upstream["feature"].astype(str)
    sets = {}
    for line in next(iter(sorted(study.gene_sets.glob("*.gmt")))).read_text(encoding="utf-8").splitlines():
        name, _, *genes = line.split("\t")
        sets[name] = features.isin(set(genes) - {""}).to_numpy()
    low, high = evidence.params["min_size"], evidence.params["max_size"]
    eligible = {name for name, inside in sets.items() if low <= inside.sum() <= high}
    yield verdict(
        "every eligible set is tested",
        set(table["gene_set"]) == eligible and len(table) == len(eligible),
        f"{len(table)} sets",
    )
    yield check_fdr("gene_set_enrichment.csv", table)
    yield verdict("sorted by p", table["p"].is_monotonic_increasing)
    rows = table.iloc[evidence.pick(len(table))]
    tests = [_rank_test(statistic, sets[name]) for name in rows["gene_set"]]
    yield close("set sizes recounted", table["size"], [sets[name].sum() for name in table["gene_set"]])
    yield close("20 AUC retested", rows["auc"], [auc for auc, _ in tests])
    yield close("20 p values retested", rows["p"], [p for _, p in tests], rtol=1e-2, atol=1e-300)
    inside = [set(row.leading_genes.split()) <= set(features[sets[row.gene_set]]) for row in rows.itertuples()]
    yield verdict("leading genes belong to their sets", all(inside))


def _rank_test(statistic: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    first, second = statistic[inside], statistic[~inside]
    test = mannwhitneyu(first, second, method="asymptotic", use_continuity=False)
    return float(test.statistic) / (len(first) * len(second)), float(test.pvalue)


def check_drug_association(evidence: Evidence) -> Iterator[Check]:
    """Tested pairs counted again; 20 refitted by least squares with tissue dummies."""
    study, params, table = evidence.study, evidence.params, evidence.table("drug_association.csv")
    tissue = pd.get_dummies(study.samples["tissue"], drop_first=True).astype(float)
    altered = study.alterations[study.matrix.columns]
    by_drug = params.get("alteration") is not None
    names = study.matrix.index if by_drug else altered.index
    pairs = {
        str(name): (
            study.matrix.loc[name] if by_drug else study.matrix.loc[params["drug"]],
            altered.loc[params["alteration"]] if by_drug else altered.loc[name],
        )
        for name in names
    }
    eligible = {name for name, pair in pairs.items() if _testable(*pair, study.samples["tissue"])}
    yield verdict(
        "every testable pair is tested",
        set(table["feature"]) == eligible and len(table) == len(eligible),
        f"{len(table)} pairs",
    )
    yield check_fdr("drug_association.csv", table)
    yield verdict("sorted by p", table["p"].is_monotonic_increasing)
    known = [pairs[name][0].notna() for name in table["feature"]]
    yield close("lines recounted", table["n"], [k.sum() for k in known])
    yield close(
        "altered lines recounted",
        table["n_altered"],
        [pairs[f][1][k].sum() for f, k in zip(table["feature"], known, strict=True)],
    )
    rows = table.iloc[evidence.pick(len(table))]
    fits = [_ols(*pairs[name], tissue) for name in rows["feature"]]
    yield close("20 effects refitted", rows["effect"], [fit.params["altered"] for fit in fits], atol=1e-6)
    yield close("20 p values refitted", rows["p"], [fit.pvalues["altered"] for fit in fits], rtol=1e-2, atol=1e-300)


def _testable(response: pd.Series, altered: pd.Series, tissue: pd.Series) -> bool:
    known = response.notna()
    carrier = altered[known]
    mixed = carrier.groupby(tissue[known]).nunique().max() == 2
    return bool(carrier.sum() >= 3 and (1 - carrier).sum() >= 3 and mixed)


def _ols(
    response: pd.Series, altered: pd.Series, tissue: pd.DataFrame
) -> sm.regression.linear_model.RegressionResultsWrapper:
    known = response.notna()
    design = tissue[known].assign(altered=altered[known].astype(float), intercept=1.0)
    design = design.loc[:, (design != 0).any()]
    return sm.OLS(response[known].astype(float), design).fit()
