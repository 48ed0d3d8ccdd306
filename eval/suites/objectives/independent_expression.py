"""Differential expression, enrichment and drug response of the reference scripts: NumPy and SciPy."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from independent import ROOT, Analysis, Data, adjusted, volcano
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import norm, rankdata, tiecorrect
from scipy.stats import t as student
from statsmodels.nonparametric.smoothers_lowess import lowess

GENE_SETS = "go_bp_2023"
MIN_COUNTS, TESTED = 10, 0.7


def compare_arrays(data: Data, column: str, reference: str, test: str) -> None:
    """Two groups by the moderated t test of Smyth 2004, doi:10.2202/1544-6115.1027."""
    out = Analysis("differential_expression", data, group_column=column, reference=reference, test=test)
    labels = data.samples[column].astype(str)
    values = data.log_expression()
    a, b = (values.loc[:, (labels == level).to_numpy()].to_numpy() for level in (reference, test))
    n, df = a.shape[1] + b.shape[1], a.shape[1] + b.shape[1] - 2
    variance = (a.var(axis=1) * a.shape[1] + b.var(axis=1) * b.shape[1]) / df
    prior_df, prior = _prior(variance[variance > 0], df)
    pooled = (
        np.full(len(variance), prior) if np.isinf(prior_df) else (prior_df * prior + df * variance) / (prior_df + df)
    )
    table = pd.DataFrame({"feature": values.index, "mean_reference": a.mean(axis=1), "mean_test": b.mean(axis=1)})
    table["log2_fold_change"] = table["mean_test"] - table["mean_reference"]
    table["statistic"] = table["log2_fold_change"] / np.sqrt(pooled * (1 / a.shape[1] + 1 / b.shape[1]))
    table["p"] = 2 * student.sf(table["statistic"].abs(), min(prior_df + df, df * len(variance)))
    table["fdr"] = adjusted(table["p"])
    _report(out, table.sort_values(["p", "feature"], ignore_index=True), n)


def _prior(variance: np.ndarray, df: int) -> tuple[float, float]:
    """Degrees of freedom and variance of the scaled F distribution whose logarithm has the moments seen (section 6.2)."""
    e = np.log(variance) - digamma(df / 2) + np.log(df / 2)
    left = e.var(ddof=1) - polygamma(1, df / 2)
    if left <= 0:
        return np.inf, float(np.exp(e.mean()))
    d0 = 2 * brentq(lambda half: polygamma(1, half) - left, 1e-4, 1e6)
    return float(d0), float(np.exp(e.mean() + digamma(d0 / 2) - np.log(d0 / 2)))


def compare_counts(data: Data, column: str, levels: tuple[str, str], block: str) -> None:
    """Counts of two groups within blocks: negative binomial regression and Wald test of every gene.

    The dispersion is the larger of the gene's own (by moments) and that of genes as strong, as in Anders and Huber
    2010, doi:10.1186/gb-2010-11-10-r106 (sharing mode "maximum").
    """
    reference, test = levels
    out = Analysis(
        "differential_expression", data, group_column=column, reference=reference, test=test, block_column=block
    )
    about = data.samples[data.samples[column].isin(levels)]
    counts = data.matrix[about.index].astype(float)
    counts = counts[counts.sum(axis=1) >= MIN_COUNTS]
    y = counts.to_numpy().T
    logs = np.log(y[:, (y > 0).all(axis=0)])
    size = np.exp(np.median(logs - logs.mean(axis=0), axis=1))
    x = np.column_stack(
        [np.ones(len(about)), about[column] == test, pd.get_dummies(about[block], drop_first=True)]
    ).astype(float)
    mean = (y / size[:, None]).mean(axis=0)
    _, _, mu = _regress(y, x, size, np.full(y.shape[1], 0.1))
    own = ((y - mu) ** 2 - mu).sum(axis=0) / (mu**2).sum(axis=0) * len(x) / (len(x) - x.shape[1])
    strong = own > 1e-4
    trend = lowess(np.log(own[strong]), np.log(mean[strong]), frac=0.3, delta=0.05, return_sorted=True)
    expected = np.exp(np.interp(np.log(mean), trend[:, 0], trend[:, 1]))
    dispersion = np.maximum(own, expected)
    beta, error, _ = _regress(y, x, size, dispersion)
    table = pd.DataFrame({"feature": counts.index, "base_mean": mean})
    table["log2_fold_change"], table["standard_error"] = beta / np.log(2), error / np.log(2)
    table["statistic"] = table["log2_fold_change"] / table["standard_error"]
    table["p"] = 2 * norm.sf(table["statistic"].abs())
    strong_enough = table["base_mean"] >= table["base_mean"].quantile(1 - TESTED)
    table["fdr"] = adjusted(table["p"].where(strong_enough))
    table["dispersion"] = dispersion
    _report(out, table.sort_values(["p", "feature"], ignore_index=True), len(about))


def _regress(
    y: np.ndarray, x: np.ndarray, size: np.ndarray, dispersion: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fisher scoring of log-linear negative binomial models, all genes at once; effect of column 1, its error, means."""
    beta = np.linalg.lstsq(x, np.log((y + 0.5) / size[:, None]), rcond=None)[0]
    for _ in range(60):
        mu = size[:, None] * np.exp(np.clip(x @ beta, -30, 30))
        weight = mu / (1 + dispersion * mu)
        information = np.einsum("ni,ng,nj->gij", x, weight, x) + 1e-8 * np.eye(x.shape[1])
        step = np.linalg.solve(information, (x.T @ ((y - mu) / (1 + dispersion * mu))).T[:, :, None])[:, :, 0].T
        beta = beta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    error = np.sqrt(np.linalg.inv(information)[:, 1, 1])
    return beta[1], error, size[:, None] * np.exp(np.clip(x @ beta, -30, 30))


def _report(out: Analysis, table: pd.DataFrame, n: int) -> None:
    out.table("differential_expression.csv", table)
    out.figure("volcano.png", volcano(table["log2_fold_change"], table["p"], "log2 fold change"))
    for gene in table["feature"].head(5):
        out.find("differential_expression.csv", {"feature": gene}, "log2_fold_change", gene)
    out.close(n)


def enrich(data: Data, upstream: str, low: int = 15, high: int = 300) -> None:
    """Rank-sum test of every gene set in the statistic of the analysis before, which stands in the folder `upstream`."""
    out = Analysis("gene_set_enrichment", data, min_size=low, max_size=high)
    table = pd.read_csv(f"{upstream}/{upstream}.csv", keep_default_na=False, na_values=[""]).dropna(subset="statistic")
    ranks, n = rankdata(table["statistic"]), len(table)
    place = {gene: i for i, gene in enumerate(table["feature"].astype(str))}
    order = np.argsort(-table["statistic"].to_numpy())
    correction, names, rows = tiecorrect(ranks), table["feature"].to_numpy(), []
    for line in next((ROOT / GENE_SETS).glob("*.gmt")).read_text(encoding="utf-8").splitlines():
        name, _, *genes = line.split("\t")
        members = {place[gene] for gene in genes if gene in place}
        k = len(members)
        if not low <= k <= high:
            continue
        u = ranks[list(members)].sum() - k * (k + 1) / 2
        z = (u - k * (n - k) / 2) / np.sqrt(correction * k * (n - k) * (n + 1) / 12)
        lead = [names[i] for i in (order if z > 0 else order[::-1]) if i in members][:8]
        rows.append((name, k, u / (k * (n - k)), z, 2 * norm.sf(abs(z)), " ".join(lead)))
    found = pd.DataFrame(rows, columns=["gene_set", "size", "auc", "statistic", "p", "leading_genes"])
    found = found.sort_values(["p", "gene_set"], ignore_index=True)
    found.insert(5, "fdr", adjusted(found["p"]))
    out.table("gene_set_enrichment.csv", found)
    best = found.head(20).iloc[::-1]
    figure, axis = plt.subplots(figsize=(11, 7))
    axis.barh(
        best["gene_set"].str[:60],
        best["auc"] - 0.5,
        left=0.5,
        color=plt.get_cmap("viridis")(np.linspace(0, 0.9, len(best))),
    )
    axis.set(xlabel="Area under the curve (0.5: as all genes)")
    out.figure("gene_set_enrichment.png", figure)
    for name in found["gene_set"].head(5):
        out.find("gene_set_enrichment.csv", {"gene_set": name}, "auc", name)
    out.close(n)


def drugs(data: Data, alteration: str | None = None, drug: str | None = None) -> None:
    """Ordinary least squares of ln IC50 on an alteration and the tissue, for every drug or every alteration."""
    out = Analysis("drug_association", data, **({"alteration": alteration} if alteration else {"drug": drug}))
    altered, tissue = data.alterations(), data.samples["tissue"].astype(str)
    rows = []
    for name in data.matrix.index if alteration else altered.index:
        response = data.matrix.loc[name if alteration else drug]
        carrier = altered.loc[alteration or name].astype(float)
        fitted = _within_tissues(response, carrier, tissue)
        rows += [(name, *fitted)] if fitted else []
    columns = ["feature", "n", "n_altered", "effect", "standard_error", "statistic", "p"]
    table = pd.DataFrame(rows, columns=columns).sort_values(["p", "feature"], ignore_index=True)
    table["fdr"] = adjusted(table["p"])
    out.table("drug_association.csv", table)
    out.figure("drug_association.png", volcano(table["effect"], table["p"], "Difference of ln IC50"))
    for name in table["feature"].head(5):
        out.find("drug_association.csv", {"feature": name}, "effect", name)
    out.close(int(table["n"].max()))


def _within_tissues(response: pd.Series, carrier: pd.Series, tissue: pd.Series) -> tuple[float, ...] | None:
    """Lines, altered lines, effect, its error, t and p of the least squares fit with a mean for each tissue.

    By the theorem of Frisch, Waugh and Lovell: response and alteration are regressed on the tissues, then the one
    rest on the other.
    """
    known = response.notna()
    y, x = response[known].to_numpy(), carrier[known].to_numpy()
    if min(x.sum(), len(x) - x.sum()) < 3:
        return None
    means = pd.get_dummies(tissue[known], dtype=float).to_numpy()
    both = np.column_stack([y, x])
    rest = both - means @ np.linalg.lstsq(means, both, rcond=None)[0]
    square = rest[:, 1] @ rest[:, 1]
    if square < 1e-8:  # altered in whole tissues only
        return None
    effect = rest[:, 1] @ rest[:, 0] / square
    df = len(y) - means.shape[1] - 1
    error = np.sqrt(((rest[:, 0] - effect * rest[:, 1]) ** 2).sum() / df / square)
    return len(y), int(x.sum()), effect, error, effect / error, 2 * student.sf(abs(effect / error), df)
