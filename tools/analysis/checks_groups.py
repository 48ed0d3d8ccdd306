"""Recomputations for clusters, markers and classifiers, with SciPy and scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import comb
from scipy.stats import f_oneway, false_discovery_control, mannwhitneyu
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, silhouette_samples

from labwright.tools.analysis.check_parts import Check, Evidence, check_fdr, close, verdict

CLASSIFIER_C = 0.1


def check_marker_features(evidence: Evidence) -> Iterator[Check]:
    """Rows counted; 20 retested with SciPy."""
    study, table = evidence.study, evidence.table("marker_features.csv")
    labels = study.labels(evidence.params["group_column"])
    table = table.assign(level=table["level"].astype(str), feature=table["feature"].astype(str))
    expected = labels.nunique() * len(study.matrix)
    unique = not table.duplicated(["level", "feature"]).any()
    yield verdict("one row per level and feature", len(table) == expected and unique, f"{len(table)} of {expected}")
    yield check_fdr("marker_features.csv", table, by="level")
    yield from _retest(evidence, table.iloc[evidence.pick(len(table))], labels, "level")


def _retest(evidence: Evidence, rows: pd.DataFrame, labels: pd.Series, column: str) -> Iterator[Check]:
    values = evidence.study.expression[labels.index]
    auc: list[float] = []
    p: list[float] = []
    difference: list[float] = []
    for row in rows.to_dict("records"):
        inside = (labels == row[column]).to_numpy()
        feature = values.loc[row["feature"]].to_numpy()
        first, second = feature[inside], feature[~inside]
        if np.ptp(feature) == 0:
            auc, p, difference = [*auc, 0.5], [*p, 1.0], [*difference, 0.0]
            continue
        test = mannwhitneyu(first, second, method="asymptotic", use_continuity=False)
        auc.append(test.statistic / (len(first) * len(second)))
        p.append(test.pvalue)
        difference.append(first.mean() - second.mean())
    yield close(f"{len(rows)} AUC retested", rows["auc"], auc, atol=1e-5)
    yield close(f"{len(rows)} p values retested", rows["p"], p, rtol=2e-2, atol=1e-300)
    yield close(f"{len(rows)} differences of means", rows["difference"], difference, atol=1e-4)


def check_cluster_samples(evidence: Evidence) -> Iterator[Check]:
    """Samples, labels, silhouette, agreement and markers recomputed."""
    study = evidence.study
    clusters = evidence.table("clusters.csv").astype({"sample": str, "cluster": str})
    quality = evidence.table("cluster_quality.csv").set_index("measure")["value"]
    yield verdict("one row per sample", clusters["sample"].tolist() == study.matrix.columns.tolist())
    names = clusters.set_index("sample")["cluster"]
    yield close("clusters counted", quality["clusters"], names.nunique())
    wanted = evidence.params.get("clusters")
    if wanted and evidence.params.get("method") == "kmeans":
        yield verdict("as many clusters as asked for", names.nunique() == wanted)
    points = _components(study.expression)
    for number in (0, 1):
        along = np.corrcoef(points[:, number], clusters[f"pc{number + 1}"])[0, 1]
        yield verdict(f"component {number + 1} recomputed", abs(along) > 0.99, f"correlation {along:.4f}")
    column = evidence.params.get("label_column")
    if column:
        labels = study.samples[column]
        same = clusters["label"].fillna("").tolist() == labels.fillna("").astype(str).tolist()
        yield verdict("labels are those of the data", same)
        known = labels.dropna().index
        yield close("adjusted Rand index", quality["adjusted_rand_index"], _rand(labels[known], names[known]))
    if names.nunique() > 1:
        yield close("silhouette", quality["silhouette"], silhouette_samples(points, names).mean(), rtol=0, atol=0.01)
        yield from _check_markers(evidence, names)


def _check_markers(evidence: Evidence, names: pd.Series) -> Iterator[Check]:
    markers = evidence.table("cluster_markers.csv").astype({"cluster": str, "feature": str})
    yield from _retest(evidence, markers.iloc[evidence.pick(len(markers))], names, "cluster")
    wanted = {
        cluster: min(20, len(evidence.study.matrix)) for cluster, size in names.value_counts().items() if size >= 3
    }
    yield verdict("20 markers for each cluster", markers["cluster"].value_counts().to_dict() == wanted)
    first = markers[markers["cluster"] == "1"]
    inside = (names == "1").to_numpy()
    values = evidence.study.expression
    varying = np.ptp(values.to_numpy(), axis=1) > 0
    p = np.ones(len(values))
    tests = mannwhitneyu(
        values.loc[varying, inside], values.loc[varying, ~inside], axis=1, method="asymptotic", use_continuity=False
    )
    p[varying] = tests.pvalue
    fdr = pd.Series(false_discovery_control(p), index=values.index)
    yield close("FDR of cluster 1 over all features", first["fdr"], fdr[first["feature"]], rtol=2e-2, atol=1e-300)


def _components(values: pd.DataFrame) -> np.ndarray:
    spread = values.std(axis=1)
    kept = spread[spread > 0].sort_values(ascending=False, kind="stable").head(2000).index
    matrix = values.loc[kept].to_numpy()
    scaled = (matrix - matrix.mean(axis=1, keepdims=True)) / matrix.std(axis=1, ddof=1, keepdims=True)
    left, size, _ = np.linalg.svd(scaled.T, full_matrices=False)
    most = min(20, scaled.shape[1] - 1, scaled.shape[0] - 1)
    return np.asarray(left[:, :most] * size[:most])


def _rand(labels: pd.Series, names: pd.Series) -> float:
    cells = pd.crosstab(labels.to_numpy(), names.to_numpy()).to_numpy()
    together = comb(cells, 2).sum()
    rows, columns = comb(cells.sum(axis=1), 2).sum(), comb(cells.sum(axis=0), 2).sum()
    chance = rows * columns / comb(cells.sum(), 2)
    return float((together - chance) / ((rows + columns) / 2.0 - chance))


def check_classify_samples(evidence: Evidence) -> Iterator[Check]:
    """Predictions complete, scores recomputed, the first fold refitted without the pipeline."""
    study, table = (
        evidence.study,
        evidence.table("predictions.csv").astype({"sample": str, "class": str, "predicted": str}),
    )
    labels = study.labels(evidence.params["group_column"], least=5)
    levels = study.levels(evidence.params["group_column"], labels)
    repeats = evidence.params["repeats"]
    counted = table.groupby("repeat")["sample"].apply(lambda part: sorted(part) == sorted(labels.index))
    yield verdict("every sample is held out once per repeat", len(counted) == repeats and counted.all())
    yield verdict(
        "classes are those of the data", (labels[table["sample"]].to_numpy() == table["class"].to_numpy()).all()
    )
    probability = table[[f"p_{level}" for level in levels]].to_numpy()
    yield close("probabilities add up to 1", probability.sum(axis=1), np.ones(len(table)))
    yield verdict(
        "predicted is the most probable", (np.array(levels)[probability.argmax(axis=1)] == table["predicted"]).all()
    )
    performance = evidence.table("performance.csv").set_index("measure")
    yield close(
        "AUC recomputed",
        performance.loc["auc", "mean"],
        np.mean([_auc(part, levels) for _, part in table.groupby("repeat")]),
    )
    accuracy = [balanced_accuracy_score(part["class"], part["predicted"]) for _, part in table.groupby("repeat")]
    yield close("balanced accuracy recomputed", performance.loc["balanced_accuracy", "mean"], np.mean(accuracy))
    inside = (performance["low95"] <= performance["mean"]) & (performance["mean"] <= performance["high95"])
    yield verdict("the intervals hold the means", inside.all())
    chance = abs(performance.loc["auc", "permuted_mean"] - 0.5) < 0.15
    yield verdict("permuted labels give chance", chance, f"AUC {performance.loc['auc', 'permuted_mean']:.3f}")
    yield _check_refit(evidence, table, labels, levels)


def _auc(part: pd.DataFrame, levels: list[str]) -> float:
    if len(levels) == 2:
        return float(roc_auc_score(part["class"] == levels[1], part[f"p_{levels[1]}"]))
    return float(np.mean([roc_auc_score(part["class"] == level, part[f"p_{level}"]) for level in levels]))


def _check_refit(evidence: Evidence, table: pd.DataFrame, labels: pd.Series, levels: list[str]) -> Check:
    """Filter, scale and fit on the training samples of the first fold by hand; predict the held-out ones."""
    first = table[table["repeat"] == table["repeat"].min()].set_index("sample")
    test = first.index[first["fold"] == first["fold"].min()]
    train = first.index[first["fold"] != first["fold"].min()]
    values = evidence.study.expression.T
    groups = [values.loc[train][(labels[train] == level).to_numpy()].to_numpy() for level in levels]
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.nan_to_num(f_oneway(*groups).statistic, nan=-1.0)
    kept = np.argsort(-score, kind="stable")[: evidence.params["max_features"]]
    x = values.loc[train].to_numpy()[:, kept]
    centre, spread = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    code = labels[train].map({level: k for k, level in enumerate(levels)})
    model = LogisticRegression(C=CLASSIFIER_C, max_iter=2000).fit((x - centre) / spread, code)
    again = model.predict_proba((values.loc[test].to_numpy()[:, kept] - centre) / spread)
    found = first.loc[test, [f"p_{level}" for level in levels]].to_numpy()
    return close("first fold refitted on its training samples only", found.ravel(), again.ravel(), rtol=0, atol=0.02)
