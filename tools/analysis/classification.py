"""Classifier of samples, judged by repeated cross-validation against permuted labels."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from labwright.tools.analysis.findings import Cell, Finding, Ledger, write_table
from labwright.tools.analysis.study import Study
from labwright.tools.analysis.style import PALETTE, new_figure, save_figure, short

PREDICTIONS, PERFORMANCE = "predictions.csv", "performance.csv"
FOLDS, PERMUTATIONS, DRAWS = 5, 20, 500
Array = NDArray[np.float64]
Codes = NDArray[np.intp]


def classify_samples(study: Study, *, group_column: str, max_features: int = 50, repeats: int = 5) -> list[Finding]:
    """Predict the levels of a column from expression in held-out samples.

    Args:
        study: a data set with expression.
        group_column: column that holds the classes.
        max_features: most features kept by the filter inside each fold.
        repeats: repeats of the cross-validation.

    Returns:
        The findings; tables and figure are in the study's output folder.

    Raises:
        ValueError: fewer than two classes of five samples.
    """
    labels = study.labels(group_column, least=FOLDS)
    levels = study.levels(group_column, labels)
    values = study.expression[labels.index].to_numpy().T  # (n, p)
    code = np.array([levels.index(label) for label in labels])
    rng = np.random.default_rng(study.seed)
    seeds = rng.integers(2**31, size=repeats + PERMUTATIONS)
    held = [cross_validate(values, code, max_features, int(seed)) for seed in seeds[:repeats]]
    predictions = pd.concat(_prediction_table(labels, levels, result, repeat + 1) for repeat, result in enumerate(held))
    write_table(study, predictions, PREDICTIONS)
    probabilities = [result[1] for result in held]
    shuffled = []
    for seed in seeds[repeats:]:
        mixed = rng.permutation(code)
        shuffled.append(scores(mixed, cross_validate(values, mixed, max_features, int(seed))[1]))
    performance = _performance_table(code, probabilities, np.array(shuffled), rng)
    write_table(study, performance, PERFORMANCE)
    title = f"{group_column} (n = {len(labels)}, {repeats} x {FOLDS}-fold cross-validation)"
    draw = _draw_roc if len(levels) == 2 else _draw_confusion
    draw(code, np.mean(probabilities, axis=0), levels, (study.out / "classify_samples.png", title))
    return _report(study, group_column, len(labels))


def cross_validate(values: Array, code: Codes, most: int, seed: int) -> tuple[Codes, Array]:
    """Fit on each training part, predict the held-out part; filter and scaling see the training part only.

    Args:
        values: samples by features, (n, p).
        code: class of each sample, length n.
        most: most features kept by the filter.
        seed: seed of the folds.

    Returns:
        Fold of each sample (1 to FOLDS) and its class probabilities, (n, classes).
    """
    fold = np.zeros(len(code), dtype=np.intp)
    probability = np.zeros((len(code), int(code.max()) + 1))
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for number, (train, test) in enumerate(splitter.split(values, code)):
        model = Pipeline(
            [
                ("filter", SelectKBest(f_classif, k=min(most, values.shape[1]))),
                ("scale", StandardScaler()),
                ("fit", LogisticRegression(C=0.1, max_iter=400, tol=1e-3)),
            ]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(values[train], code[train])
        fold[test] = number + 1
        probability[test] = model.predict_proba(values[test])
    return fold, probability


def scores(code: Codes, probability: Array) -> tuple[float, float]:
    """Area under the ROC curve (mean of one-versus-rest) and balanced accuracy.

    Args:
        code: class of each sample, length n.
        probability: class probabilities, (n, classes).

    Returns:
        Both in [0, 1], higher is better.
    """
    ranks = rankdata(probability, axis=0)
    classes = range(1, 2) if probability.shape[1] == 2 else range(probability.shape[1])
    areas = []
    for k in classes:
        inside = code == k
        first, second = int(inside.sum()), int((~inside).sum())
        if first and second:
            areas.append((ranks[inside, k].sum() - first * (first + 1) / 2.0) / (first * second))
    right = probability.argmax(axis=1) == code
    present = np.unique(code)
    return float(np.mean(areas)), float(np.mean([right[code == k].mean() for k in present]))


def _prediction_table(labels: pd.Series, levels: list[str], result: tuple[Codes, Array], repeat: int) -> pd.DataFrame:
    fold, probability = result
    table = pd.DataFrame({"sample": labels.index, "repeat": repeat, "fold": fold, "class": labels.to_numpy()})
    table["predicted"] = [levels[k] for k in probability.argmax(axis=1)]
    for k, level in enumerate(levels):
        table[f"p_{level}"] = probability[:, k]
    return table


def _performance_table(
    code: Codes, probabilities: list[Array], shuffled: Array, rng: np.random.Generator
) -> pd.DataFrame:
    each = np.array([scores(code, probability) for probability in probabilities])  # (repeats, 2)
    drawn = np.zeros((DRAWS, 2))
    for draw in range(DRAWS):
        pick = rng.integers(len(code), size=len(code))
        while len(np.unique(code[pick])) < 2:
            pick = rng.integers(len(code), size=len(code))
        drawn[draw] = np.mean([scores(code[pick], probability[pick]) for probability in probabilities], axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    rows = []
    for k, measure in enumerate(("auc", "balanced_accuracy")):
        mean = each[:, k].mean()
        as_good = (1 + int((shuffled[:, k] >= mean).sum())) / (1 + len(shuffled))
        rows.append(
            {
                "measure": measure,
                "mean": mean,
                "low95": low[k],
                "high95": high[k],
                "permuted_mean": shuffled[:, k].mean(),
                "permuted_max": shuffled[:, k].max(),
                "permutation_p": as_good,
            }
        )
    return pd.DataFrame(rows)


def _draw_roc(code: Codes, probability: Array, levels: list[str], where: tuple[Path, str]) -> None:
    order = np.argsort(-probability[:, 1], kind="stable")
    hit = code[order] == 1
    true_share, false_share = np.cumsum(hit) / hit.sum(), np.cumsum(~hit) / (~hit).sum()
    figure, (axis,) = new_figure(5.8, 5.2)
    axis.plot(np.r_[0, false_share], np.r_[0, true_share], color=PALETTE[0], lw=2)
    axis.plot([0, 1], [0, 1], color="#888888", lw=0.8, ls="--")
    area = scores(code, probability)[0]
    axis.text(0.97, 0.05, f"AUC {area:.3f} of predictions averaged over repeats", ha="right", transform=axis.transAxes)
    negative, positive = (short(level, 24) for level in levels)
    axis.set(xlabel=f"False positive rate ({negative} called {positive})", title=where[1])
    axis.set(ylabel=f"True positive rate ({positive} found)", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    save_figure(figure, where[0])


def _draw_confusion(code: Codes, probability: Array, levels: list[str], where: tuple[Path, str]) -> None:
    table = np.zeros((len(levels), len(levels)))
    np.add.at(table, (code, probability.argmax(axis=1)), 1)
    share = table / table.sum(axis=1, keepdims=True)
    size = 3.6 + 0.48 * len(levels)
    figure, (axis,) = new_figure(size + 1.2, size)
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(table):
        axis.text(
            j,
            i,
            f"{int(count)}",
            ha="center",
            va="center",
            color="white" if share[i, j] > 0.6 else "#333333",
            fontsize=9,
        )
    names = [short(level, 26) for level in levels]
    axis.set_xticks(range(len(levels)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(levels)), names)
    axis.set(xlabel="Predicted, held out", ylabel="Known")
    figure.suptitle(where[1], fontsize=10.5)
    figure.colorbar(image, ax=axis, label="Share of the known class", shrink=0.8)
    save_figure(figure, where[0])


def _report(study: Study, group_column: str, n: int) -> list[Finding]:
    ledger = Ledger(study, "classify_samples", n)
    for measure, name in (("auc", "area under the ROC curve"), ("balanced_accuracy", "balanced accuracy")):
        ledger.add(
            f"Expression predicts {group_column} in held-out samples with {name} {{mean:.3f}} (95% CI {{low95:.3f}}-"
            "{high95:.3f}); with permuted labels {permuted_mean:.3f} (permutation p = {permutation_p:.2g})",
            Cell(table=PERFORMANCE, row={"measure": measure}, column="mean"),
        )
    return ledger.write()
