"""Markers, clusters and classifiers of the reference scripts: SciPy's rank test and scikit-learn."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from independent import Analysis, Data, adjusted, components
from scipy.stats import mannwhitneyu, norm
from sklearn.cluster import KMeans
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score, roc_auc_score, silhouette_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 7
PERMUTATIONS, DRAWS = 10, 60


def rank_tests(values: pd.DataFrame, inside: np.ndarray) -> pd.DataFrame:
    """One group of samples against all others in every feature, best marker first."""
    first, second = values.loc[:, inside].to_numpy(), values.loc[:, ~inside].to_numpy()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a constant feature has no test
        test = mannwhitneyu(first, second, axis=1, method="asymptotic", use_continuity=False)
    varies = np.ptp(values.to_numpy(), axis=1) > 0
    auc = np.where(varies, test.statistic / (first.shape[1] * second.shape[1]), 0.5)
    p = np.where(varies, test.pvalue, 1.0)
    table = pd.DataFrame({"feature": values.index, "difference": first.mean(axis=1) - second.mean(axis=1), "auc": auc})
    table["statistic"] = np.sign(auc - 0.5) * norm.isf(np.clip(p, 1e-300, 1.0) / 2)
    table["p"] = p
    table["fdr"] = adjusted(table["p"])
    return table.sort_values(["statistic", "feature"], ascending=[False, True], ignore_index=True)


def markers(data: Data, column: str) -> None:
    """Markers of every level of a column."""
    out = Analysis("marker_features", data, group_column=column)
    labels = data.groups(column)
    values = data.log_expression()[labels.index]
    levels = [level for level in data.card["groups"][column] if (labels == level).any()]
    parts = [rank_tests(values, (labels == level).to_numpy()).assign(level=level) for level in levels]
    table = pd.concat(parts, ignore_index=True)
    out.table("marker_features.csv", table[["level", "feature", "difference", "auc", "statistic", "p", "fdr"]])
    best = list(dict.fromkeys(gene for part in parts for gene in part["feature"].head(5)))
    means = pd.DataFrame({level: values.loc[best, (labels == level).to_numpy()].mean(axis=1) for level in levels})
    figure, axis = plt.subplots(figsize=(3 + 0.3 * len(best), 2.5 + 0.4 * len(levels)))
    image = axis.imshow(((means.T - means.mean(axis=1)) / means.std(axis=1)).to_numpy(), aspect="auto", cmap="viridis")
    figure.colorbar(image, label="Mean, standardised")
    axis.set_xticks(range(len(best)), best, rotation=90)
    axis.set_yticks(range(len(levels)), levels)
    out.figure("marker_features.png", figure)
    for level, part in zip(levels, parts, strict=True):
        gene = part["feature"].iloc[0]
        out.find("marker_features.csv", {"level": level, "feature": gene}, "auc", f"{gene} in {level}")
    out.close(len(labels))


def cluster(data: Data, column: str) -> None:
    """k-means on the principal components, as many clusters as have the best silhouette, against the known labels."""
    out = Analysis("cluster_samples", data, method="kmeans", label_column=column)
    values = data.log_expression()
    scores = components(values)
    fits = [KMeans(k, n_init=20, random_state=SEED).fit_predict(scores) for k in range(2, 11)]
    found = max(fits, key=lambda fit: silhouette_score(scores, fit))
    order = pd.Series(found).value_counts().index.tolist()
    names = np.array([str(order.index(number) + 1) for number in found])
    labels = data.samples[column]
    table = pd.DataFrame({"sample": values.columns, "cluster": names, "pc1": scores[:, 0], "pc2": scores[:, 1]})
    table["label"] = labels.reindex(values.columns).to_numpy()
    out.table("clusters.csv", table)
    known = table["label"].notna()
    quality = {
        "clusters": len(order),
        "silhouette": silhouette_score(scores, names),
        "adjusted_rand_index": adjusted_rand_score(table["label"][known].astype(str), names[known]),
    }
    out.table("cluster_quality.csv", pd.DataFrame(quality.items(), columns=["measure", "value"]))
    large = [name for name in sorted(set(names), key=int) if (names == name).sum() >= 3]
    parts = [rank_tests(values, names == name).head(20).assign(cluster=name) for name in large]
    out.table("cluster_markers.csv", pd.concat(parts, ignore_index=True))
    figure, axes = plt.subplots(1, 2, figsize=(13, 5.5), sharey=True)
    for axis, by in zip(axes, ("cluster", "label"), strict=True):
        for level, part in table.groupby(by, observed=True):
            axis.scatter(part["pc1"], part["pc2"], s=16, label=str(level)[:24])
        axis.set(xlabel="PC1", ylabel="PC2", title=by)
        axis.legend(fontsize=7)
    out.figure("clusters.png", figure)
    out.find("cluster_quality.csv", {"measure": "adjusted_rand_index"}, "value", f"Clusters against {column}")
    out.close(len(table))


def classify(data: Data, column: str, genes: int = 50, repeats: int = 3) -> None:
    """Logistic regression on the best genes of each training part; repeated 5-fold cross-validation."""
    out = Analysis("classify_samples", data, group_column=column, max_features=genes, repeats=repeats)
    labels = data.groups(column, least=5)
    levels = [level for level in data.card["groups"][column] if (labels == level).any()]
    x, y = data.log_expression()[labels.index].T.to_numpy(), labels.map(levels.index).to_numpy()
    model = make_pipeline(SelectKBest(f_classif, k=genes), StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    tables, probabilities = [], []
    for repeat in range(repeats):
        splitter = StratifiedKFold(5, shuffle=True, random_state=SEED + repeat)
        probability = cross_val_predict(model, x, y, cv=splitter, method="predict_proba")
        fold = np.zeros(len(y), dtype=int)
        for number, (_, test) in enumerate(splitter.split(x, y)):
            fold[test] = number + 1
        table = pd.DataFrame({"sample": labels.index, "repeat": repeat + 1, "fold": fold, "class": labels.to_numpy()})
        table["predicted"] = [levels[k] for k in probability.argmax(axis=1)]
        tables.append(table.assign(**{f"p_{level}": probability[:, k] for k, level in enumerate(levels)}))
        probabilities.append(probability)
    out.table("predictions.csv", pd.concat(tables, ignore_index=True))
    rng = np.random.default_rng(SEED)
    shuffled = []
    for _ in range(PERMUTATIONS):
        mixed = rng.permutation(y)
        splitter = StratifiedKFold(5, shuffle=True, random_state=SEED)
        shuffled.append(_scores(mixed, cross_val_predict(model, x, mixed, cv=splitter, method="predict_proba")))
    true = np.mean([_scores(y, probability) for probability in probabilities], axis=0)
    drawn = np.array([_redrawn(y, probabilities, rng) for _ in range(DRAWS)])
    rows = []
    for k, measure in enumerate(("auc", "balanced_accuracy")):
        null = np.array([score[k] for score in shuffled])
        low, high = np.quantile(drawn[:, k], [0.025, 0.975])
        rows.append(
            {"measure": measure, "mean": true[k], "low95": min(low, true[k]), "high95": max(high, true[k]),
             "permuted_mean": null.mean(), "permuted_max": null.max(),
             "permutation_p": (1 + (null >= true[k]).sum()) / (1 + len(null))}
        )  # fmt: skip
    out.table("performance.csv", pd.DataFrame(rows))
    counts = pd.crosstab(labels.to_numpy(), tables[0]["predicted"].to_numpy()).reindex(
        index=levels, columns=levels, fill_value=0
    )
    figure, axis = plt.subplots(figsize=(8, 6.5))
    figure.colorbar(axis.imshow(counts.div(counts.sum(axis=1), axis=0), cmap="viridis"), label="Share of the class")
    axis.set_xticks(range(len(levels)), levels, rotation=45)
    axis.set_yticks(range(len(levels)), levels)
    axis.set(xlabel="Predicted, held out", ylabel="Known")
    out.figure("classify_samples.png", figure)
    for measure in ("auc", "balanced_accuracy"):
        out.find("performance.csv", {"measure": measure}, "mean", f"Held-out {measure}")
    out.close(len(labels))


def _scores(y: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    area = np.mean([roc_auc_score(y == k, probability[:, k]) for k in range(probability.shape[1])])
    return float(area), float(balanced_accuracy_score(y, probability.argmax(axis=1)))


def _redrawn(y: np.ndarray, probabilities: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Scores of patients drawn anew within each class, so that no class is lost."""
    pick = np.concatenate([rng.choice(np.flatnonzero(y == k), (y == k).sum()) for k in np.unique(y)])
    return np.mean([_scores(y[pick], probability[pick]) for probability in probabilities], axis=0)
