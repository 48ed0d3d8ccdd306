"""From raw rows of `labwright bench ensemble` to its figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labwright.eval.suites.ensemble_data import MEMBERS, RELEASED_BATCH
from labwright.eval.suites.figures import Row, figure
from labwright.models.topla.quality import macro_f1

PUBLISHED = {"Llama-2-70b-chat": 28.0258, "gemma-7b": 36.2293, "phi-2": 44.5538, "Mistral-7B": 39.6572}
"""Macro test accuracy of single models, per cent, as the released notebook prints it; its Mixtral is another run."""
RESAMPLES = 2_000
TASKWISE = "macro test accuracy"

Tasks = list[NDArray[np.float64]]
"""Right or wrong of each test row, an array a task."""


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured is absent."""
    return [{**one, "raw": raw} for make in (_bbh, _pruning, _pubmedqa, _summary) for one in make(rows)]


def _bbh(rows: Sequence[Row]) -> list[dict[str, Any]]:
    runs: dict[tuple[str, str], list[Tasks]] = {}
    for row in rows:
        if row["kind"] == "bbh":
            right = [np.array([float(c) for c in task]) for task in row["right"]]
            runs.setdefault((row["labels"], row["method"]), []).append(right)
    if not runs:
        return []
    means = {key: _mean_over_seeds(seeds) for key, seeds in runs.items()}
    made = [_singles(means)]
    for name, key in (
        ("bbh_weighted_compat", ("released", "released recipe")),
        ("bbh_weighted_clean", ("released", "clean")),
    ):
        if key in means:
            made.append(_macro(name, means[key], runs[key], "released labels"))
    made += [*_gain(means, runs), *_batch_means(runs)]
    for (labels, method), tasks in sorted(means.items()):
        if method not in ("clean", "released recipe") or labels == "repaired":
            name = f"bbh_{labels}_{method.lower().replace(' ', '_')}"
            made.append(_macro(name, tasks, runs[labels, method], f"{labels} labels"))
    return made


def _mean_over_seeds(seeds: Sequence[Tasks]) -> Tasks:
    return [np.mean([run[t] for run in seeds], axis=0) for t in range(len(seeds[0]))]


def _macro(name: str, tasks: Tasks, seeds: Sequence[Tasks], note: str) -> dict[str, Any]:
    low, high = np.quantile(_resampled(tasks), [0.025, 0.975])
    each = [statistics.fmean(float(t.mean()) for t in run) for run in seeds]
    if len(seeds) > 1:
        note += f"; mean of {len(seeds)} seeds, {min(each):.4f} to {max(each):.4f}"
    rows = sum(len(t) for t in tasks)
    note += "; 24 tasks, interval by bootstrap of the rows of each task"
    return figure(name, statistics.fmean(each), TASKWISE, rows, low=float(low), high=float(high), note=note)


def _batch_means(runs: dict[tuple[str, str], list[Tasks]]) -> list[dict[str, Any]]:
    """The released recipe in the accuracy that was published: a mean over batches, a short last one included."""

    def accuracy(right: NDArray[np.float64]) -> float:
        batches = np.split(right, range(RELEASED_BATCH, len(right), RELEASED_BATCH))
        return float(np.mean([batch.mean() for batch in batches]))

    done = runs.get(("released", "released recipe"), [])
    each = [statistics.fmean(accuracy(task) for task in run) for run in done]
    if not each:
        return []
    note = f"mean accuracy of batches of {RELEASED_BATCH}, as the .5405 that was published of one run; "
    note += f"mean of {len(each)} seeds, {min(each):.4f} to {max(each):.4f}"
    return [figure("bbh_weighted_compat_batch_mean", statistics.fmean(each), TASKWISE, len(each), note=note)]


def _resampled(tasks: Tasks, seed: int = 0) -> NDArray[np.float64]:
    """Macro means of resampled rows; with one seed the same rows for every method."""
    rng = np.random.default_rng(seed)
    parts = [task[rng.integers(0, len(task), (RESAMPLES, len(task)))].mean(axis=1) for task in tasks]
    return np.asarray(np.mean(parts, axis=0))


def _singles(means: dict[tuple[str, str], Tasks]) -> dict[str, Any]:
    macro = {
        name: 100 * statistics.fmean(float(t.mean()) for t in means["released", f"single {name}"])
        for name in MEMBERS
        if ("released", f"single {name}") in means
    }
    matching = sum(abs(macro[name] - value) < 5e-5 for name, value in PUBLISHED.items() if name in macro)
    note = "to 4 decimals of the published ones; " + ", ".join(f"{n} {v:.4f}" for n, v in macro.items())
    return figure("bbh_singles_matching", matching, "models", len(PUBLISHED), note=note)


def _gain(means: dict[tuple[str, str], Tasks], runs: dict[tuple[str, str], list[Tasks]]) -> list[dict[str, Any]]:
    ours = means.get(("repaired", "clean"))
    singles = {m: t for (labels, m), t in means.items() if labels == "repaired" and m.startswith("single ")}
    if ours is None or len(singles) < len(MEMBERS):
        return []
    best = max(singles, key=lambda m: statistics.fmean(float(t.mean()) for t in singles[m]))
    gain = _resampled(ours) - _resampled(singles[best])
    low, high = np.quantile(gain, [0.025, 0.975])
    value = statistics.fmean(float(a.mean() - b.mean()) for a, b in zip(ours, singles[best], strict=True))
    note = (
        f"clean, mean of {len(runs['repaired', 'clean'])} seeds, over {best}; repaired labels, rows resampled in pairs"
    )
    rows = sum(len(t) for t in ours)
    unit = "difference of macro test accuracies"
    return [figure("bbh_repaired_gain", value, unit, rows, low=float(low), high=float(high), note=note)]


def _pruning(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = [row for row in rows if row["kind"] == "pruning"]
    if not done:
        return []
    seconds = sorted(row["seconds"] for row in done)
    ratios = sorted((row["sample_seconds"] / row["sample"]) / (row["seconds"] / row["subsets"]) for row in done)
    worst = max(row["largest_difference"] for row in done)
    what = f"{done[0]['subsets']} subsets of 16 members over 5,000 rows"
    spread = {"low": ratios[0], "high": ratios[-1]}
    note = (
        f"time a subset of {done[0]['sample']} random ones scored one by one, over that of all together, paired; "
        f"largest difference of their scores {worst:.1e}; low and high are the extremes"
    )
    return [
        figure("prune65k_s", statistics.median(seconds), "s", len(done), low=seconds[0], high=seconds[-1], note=what),
        figure("prune_speedup", statistics.median(ratios), "ratio", len(done), note=note, **spread),
    ]


def _pubmedqa(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of the newest ensemble: its accuracy, the best member's, their difference, and every member of the pool."""
    done = [row for row in rows if row["kind"] == "pubmedqa_ensemble"]
    if not done:
        return []
    row = done[-1]
    right = {name: np.array([float(c) for c in word]) for name, word in row["right"].items()}
    ours, best = right[row["joining"]], right[row["best_member"]]
    half = f"{len(ours)} questions that chose nothing, chosen on {row['chosen_on']} others"
    most = f"the most frequent answer is right on {row['majority']:.4f}"
    made = [
        _share("pubmedqa_best_member_acc", best, f"{row['best_member']}, best on the choosing half; {half}; {most}"),
        _share("pubmedqa_ensemble_acc", ours, f"{', '.join(row['members'])} by {row['joining']}; {half}; {most}"),
        _share("pubmedqa_gain", ours - best, "ensemble less best member, questions resampled in pairs", "difference"),
    ]
    left_out = "; ".join(f"not {name}: {why}" for name, why in row["excluded"].items())
    made.append(figure("pubmedqa_members", len(row["pool"]), "models", len(ours), note=left_out))
    for name, values in right.items():
        made.append(_share(f"pubmedqa_acc_{_slug(name)}", values, half))
        if name in row["unscaled"]:
            given = np.array([float(c) for c in row["unscaled"][name]])
            made.append(_share(f"pubmedqa_unscaled_acc_{_slug(name)}", given, f"as it gave its answers; {half}"))
        f1 = macro_f1(row["confusion"][name])
        made.append(figure(f"pubmedqa_macro_f1_{_slug(name)}", f1, "mean F1", len(ours), note=half))
    for cost, unit in (("seconds", "s"), ("tokens", "tokens")):
        mine = sum(row[cost][m] for m in row["members"])
        each = ", ".join(f"{m} {v:g}" for m, v in row[cost].items())
        made.append(figure(f"pubmedqa_ensemble_{cost}", mine, f"{unit} a question", len(ours), note=each))
    return made


def _summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = [row for row in rows if row["kind"] == "summary"]
    if not done:
        return []
    row = done[-1]
    notes = {
        "free_rouge_1": f"freely written: the result; trained from scratch on {row['trained_on']} questions",
        "teacher_forced_rouge_1": "each token with the right answer before it, as the released code scores: no result",
        "fuser_rouge_1": "the first member writes from the drafts of all",
    }
    return [
        _share(f"summary_{_slug(name)}", np.array(scores), notes.get(name, "a member's own answers"), "ROUGE-1 F")
        for name, scores in row["scores"].items()
    ]


def _share(name: str, values: NDArray[np.float64], note: str, unit: str = "share") -> dict[str, Any]:
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return figure(name, float(values.mean()), unit, len(values), low=float(low), high=float(high), note=note)


def _slug(name: str) -> str:
    return name.lower().replace(" ", "_").replace(":", "_")
