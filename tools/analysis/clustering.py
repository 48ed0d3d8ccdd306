"""Unsupervised clusters of samples or cells, their markers, and their agreement with known labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.neighbors import kneighbors_graph

from labwright.tools.analysis.findings import Cell, Finding, Ledger, write_table
from labwright.tools.analysis.markers import one_versus_rest
from labwright.tools.analysis.study import MIN_GROUP, Study
from labwright.tools.analysis.style import colours, new_figure, save_figure, short

CLUSTERS, QUALITY, MARKERS = "clusters.csv", "cluster_quality.csv", "cluster_markers.csv"
VARIABLE, COMPONENTS, NEIGHBOURS, KEPT_MARKERS = 2000, 20, 15, 20
Array = NDArray[np.float64]


def cluster_samples(
    study: Study, *, method: str = "kmeans", clusters: int | None = None, label_column: str | None = None
) -> list[Finding]:
    """Cluster samples on principal components and say how well defined the clusters are.

    Args:
        study: a data set with expression.
        method: "kmeans" or "leiden".
        clusters: number of k-means clusters; None takes the best silhouette of 2 to 10.
        label_column: known labels to compare with.

    Returns:
        The findings; tables and figure are in the study's output folder.

    Raises:
        ValueError: too few samples, or the label column is missing.
    """
    values = study.expression
    labels = study.labels(label_column, least=1) if label_column else None
    if values.shape[1] < 8:
        raise ValueError(f"{values.shape[1]} samples are too few to cluster, needed are 8")
    points, explained = principal_components(values, study.seed)
    found = _leiden(points, study.seed) if method == "leiden" else _kmeans(points, clusters, study.seed)
    names = pd.Series(found, index=values.columns)
    levels = sorted(set(names), key=int)
    table = pd.DataFrame({"sample": values.columns, "cluster": found, "pc1": points[:, 0], "pc2": points[:, 1]})
    if labels is not None:
        table["label"] = labels.reindex(values.columns).to_numpy()
    write_table(study, table, CLUSTERS)
    write_table(study, _quality(points, names, labels), QUALITY)
    kept = [level for level in levels if (names == level).sum() >= MIN_GROUP]
    if len(set(names)) > 1:
        tests = one_versus_rest(values, names, kept).groupby("level", sort=False).head(KEPT_MARKERS)
        write_table(study, tests.rename(columns={"level": "cluster"}), MARKERS)
    _draw(table, explained, study.out / "clusters.png")
    return _report(study, table, kept, label_column)


def principal_components(values: pd.DataFrame, seed: int) -> tuple[Array, Array]:
    """Scores of the most variable features, standardised.

    Args:
        values: features by samples.
        seed: seed of the solver.

    Returns:
        Scores (n, components) and the share of variance of each component.
    """
    spread = values.std(axis=1)
    chosen = spread.sort_values(ascending=False, kind="stable").head(VARIABLE)
    chosen = chosen[chosen > 0]
    matrix = values.loc[chosen.index].to_numpy()
    scaled = ((matrix - matrix.mean(axis=1, keepdims=True)) / chosen.to_numpy()[:, None]).T
    components = min(COMPONENTS, *(size - 1 for size in scaled.shape))
    model = PCA(components, svd_solver="full", random_state=seed).fit(scaled)
    scores = model.transform(scaled)
    signs = np.sign(scores[np.abs(scores).argmax(axis=0), range(components)])
    return scores * signs, model.explained_variance_ratio_


def _kmeans(points: Array, clusters: int | None, seed: int) -> list[str]:
    most = min(10, len(points) // MIN_GROUP)
    tried = [clusters] if clusters else list(range(2, most + 1))
    fits = [KMeans(k, n_init=10, random_state=seed).fit_predict(points) for k in tried]
    scores = [silhouette_score(points, fit) for fit in fits]
    return _by_size(fits[int(np.argmax(scores))])


def _leiden(points: Array, seed: int) -> list[str]:
    import igraph
    import leidenalg

    near = kneighbors_graph(points, min(NEIGHBOURS, len(points) - 1), include_self=True)
    shared = (near @ near.T).tocoo()
    upper = shared.row < shared.col
    overlap = shared.data[upper]
    size = near.sum(axis=1).A1 if hasattr(near, "A1") else np.asarray(near.sum(axis=1)).ravel()
    rows, cols = shared.row[upper], shared.col[upper]
    weight = overlap / (size[rows] + size[cols] - overlap)
    kept = weight > 1.0 / 15.0
    graph = igraph.Graph(len(points), list(zip(rows[kept].tolist(), cols[kept].tolist(), strict=True)))
    partition = leidenalg.find_partition(
        graph, leidenalg.RBConfigurationVertexPartition, weights=weight[kept].tolist(), seed=seed
    )
    return _by_size(np.array(partition.membership))


def _by_size(found: NDArray[np.int_]) -> list[str]:
    """Clusters numbered from 1 by falling size."""
    sizes = pd.Series(found).value_counts(sort=False)
    order = sizes.reset_index().sort_values(["count", "index"], ascending=[False, True])["index"]
    rank = {cluster: str(i + 1) for i, cluster in enumerate(order)}
    return [rank[cluster] for cluster in found]


def _quality(points: Array, names: pd.Series, labels: pd.Series | None) -> pd.DataFrame:
    rows = [("clusters", float(names.nunique()))]
    if names.nunique() > 1:
        rows.append(("silhouette", float(silhouette_score(points, names))))
    if labels is not None:
        rows.append(("adjusted_rand_index", float(adjusted_rand_score(labels, names[labels.index]))))
    return pd.DataFrame(rows, columns=["measure", "value"])


def _draw(table: pd.DataFrame, explained: Array, path: Path) -> None:
    columns = ["cluster", "label"] if "label" in table else ["cluster"]
    figure, axes = new_figure(5.6 * len(columns) + 0.4, 4.8, columns=len(columns))
    for axis, column in zip(axes, columns, strict=True):
        names = table[column].dropna().unique()
        levels = sorted(names, key=int) if column == "cluster" else sorted(names)
        for level, colour in colours(levels).items():
            part = table[table[column] == level]
            text = f"{short(str(level), 26)} ({len(part)})"
            axis.scatter(part["pc1"], part["pc2"], s=14, color=colour, label=text, alpha=0.85, linewidths=0)
        axis.set(xlabel=f"PC1 ({explained[0]:.0%} of variance)", ylabel=f"PC2 ({explained[1]:.0%} of variance)")
        axis.set_title(f"{'Clusters' if column == 'cluster' else 'Known labels'} (n = {len(table)})")
        axis.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2 if len(levels) > 4 else len(levels), fontsize=8
        )
    save_figure(figure, path)


def _report(study: Study, table: pd.DataFrame, kept: list[str], label_column: str | None) -> list[Finding]:
    ledger = Ledger(study, "cluster_samples", len(table))
    n = table["cluster"].nunique()
    if n > 1:
        ledger.add(
            f"{n} clusters with mean silhouette {{value:.2f}} (1 is well separated, 0 is none)",
            Cell(table=QUALITY, row={"measure": "silhouette"}, column="value"),
        )
    if label_column:
        ledger.add(
            f"Clusters agree with {label_column}: adjusted Rand index {{value:.2f}} (0 is chance, 1 is identity)",
            Cell(table=QUALITY, row={"measure": "adjusted_rand_index"}, column="value"),
        )
    if n < 2:
        return ledger.write()
    markers = pd.read_csv(study.out / MARKERS, dtype={"cluster": str}, keep_default_na=False)
    for cluster in kept:
        names = markers[markers["cluster"] == cluster]["feature"].head(3)
        for name in names:
            ledger.add(
                "{feature} is higher in cluster {cluster} than in the others (AUC {auc:.2f})",
                Cell(table=MARKERS, row={"cluster": cluster, "feature": str(name)}, column="auc"),
                direction="up",
            )
    return ledger.write()
