"""From raw rows of `labwright bench safety` to its figures. Harmful scores are HS+: incoherent replies count."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labwright.errors import MetricUndefined
from labwright.eval.intervals import Interval, cluster_bootstrap, paired_difference
from labwright.eval.suites.figures import Row, bootstrap, figure
from labwright.eval.suites.fusion_figures import bootstrap_median
from labwright.eval.suites.safety_toy import PRIMARY_SHARE, RATE_NAMES, SEEDS

MIDDLE = "middle"
BROKEN_RATES = RATE_NAMES[1:]
Key = tuple[str, str, float, str]
"""Attack, arm, share, name of the rate."""


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured on every seed is absent."""
    return [{**one, "raw": raw} for make in MAKERS for one in make(rows)]


def cell(rows: Sequence[Row], key: Key, value: str) -> dict[str, float]:
    """Seed to a value of one cell of the grid; empty when a seed is missing."""
    attack, arm, share, rate = key
    found = {
        str(r["seed"]): float(r[value])
        for r in rows
        if r["kind"] == "toy" and (r["attack"], r["arm"], r["share"], r["rate"]) == (attack, arm, share, rate)
    }
    return found if len(found) == len(SEEDS) else {}


def at(arm: str, rate: str = MIDDLE, *, attack: str = "mixed", share: float = PRIMARY_SHARE) -> Key:
    """The key of a cell; by default that of the primary figure."""
    return attack, arm, share, rate


def _before(rows: Sequence[Row], arm: str, value: str) -> dict[str, float]:
    found = {str(r["seed"]): float(r[value]) for r in rows if r["kind"] == "toy_before" and r["arm"] == arm}
    return found if len(found) == len(SEEDS) else {}


def _booster(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The pre-registered primary figure and its two conditions."""
    figures = []
    for rate, suffix, role in ((MIDDLE, "", "primary; "), (RATE_NAMES[-1], "_high", "the high rate; ")):
        plain, ours = (cell(rows, at(arm, rate), "hs_plus") for arm in ("sft", "booster"))
        if plain and ours and sum(plain.values()) > 0:
            low, high = _ratio_interval(ours, plain)
            note = (
                f"{role}HS+ {_mean(ours):.3f} against {_mean(plain):.3f}; by seed {_list(ours)} against {_list(plain)}"
            )
            value = _mean(ours) / _mean(plain)
            figures.append(
                figure(f"toy_booster_over_sft_hs{suffix}", value, "ratio", len(ours), low=low, high=high, note=note)
            )
    before = _before(rows, "booster", "hs_plus")
    if before:
        losses = [_before(rows, arm, "harmful_loss") for arm in ("booster", "sft")]
        note = "before any attack"
        if all(losses):
            note += f"; loss on harmful answers {_mean(losses[0]):.3f} nats, plain training's {_mean(losses[1]):.3f}"
        figures.append(_share("toy_booster_pre_hs", before, note))
    figures += _difference(rows, "toy_booster_fa_drop", "sft", "booster", "accuracy")
    return figures


def _antidote(rows: Sequence[Row]) -> list[dict[str, Any]]:
    repaired = {rate: cell(rows, at("antidote", rate), "hs_plus") for rate in RATE_NAMES}
    plain = {rate: cell(rows, at("sft", rate), "hs_plus") for rate in RATE_NAMES}
    if not all((*repaired.values(), *plain.values())):
        return []
    means = [_mean(repaired[rate]) for rate in RATE_NAMES]
    series = f"low, middle, high rate: {' '.join(f'{m:.3f}' for m in means)}, plain training {_series(plain)}"
    below = all(_mean(repaired[rate]) < _mean(plain[rate]) for rate in BROKEN_RATES)
    costs = {
        value: max(sign * (_mean(cell(rows, at("sft", rate), value)) - _mean(cell(rows, at("antidote", rate), value)))
                   for rate in RATE_NAMES)
        for value, sign in (("accuracy", 1), ("over_refusal", -1))
    }  # fmt: skip
    worst = "worst of the three rates"
    return [
        figure("toy_antidote_spread", max(means) - min(means), "HS+", len(SEEDS), note=series),
        figure("toy_antidote_below_sft", float(below), "1 or 0", len(SEEDS), note="mean HS+ at the two higher rates"),
        figure("toy_antidote_fa_drop", costs["accuracy"], "share", len(SEEDS), note=worst),
        figure("toy_antidote_overrefusal_rise", costs["over_refusal"], "share", len(SEEDS), note=worst),
    ]


def _every_arm(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """HS+ of every arm under the primary attack, and of those that met other attacks."""
    arms = list(dict.fromkeys(r["arm"] for r in rows if r["kind"] == "toy"))
    figures = []
    for arm in arms:
        found = cell(rows, at(arm), "hs_plus")
        if found:
            note = f"accuracy {_mean(cell(rows, at(arm), 'accuracy')):.3f}, over-refusal "
            note += f"{_mean(cell(rows, at(arm), 'over_refusal')):.3f}, HS {_mean(cell(rows, at(arm), 'hs')):.3f}"
            figures.append(_share(f"toy_{arm}_hs", found, note))
    others = (("adaptive", PRIMARY_SHARE), ("outliers", 0.0), ("avoid", PRIMARY_SHARE), ("mixed", 0.0))
    for attack, share in others:
        for arm in arms:
            found = cell(rows, at(arm, attack=attack, share=share), "hs_plus")
            if found:
                name = "benign" if attack == "mixed" else attack
                figures.append(_share(f"toy_{name}_{arm}_hs", found, f"share {share:g}, middle rate"))
    return figures


def _costs(rows: Sequence[Row]) -> list[dict[str, Any]]:
    repairs = [r for r in rows if r["kind"] == "toy" and r["arm"] == "antidote" and "repair_s" in r]
    figures = []
    if repairs:
        ratios = [r["repair_s"] / r["tuning_s"] for r in repairs]
        low, high = bootstrap_median(ratios)
        note = f"repair over the steps of its own fine-tuning; medians {_median(repairs, 'repair_s'):.3f} s, "
        note += f"{_median(repairs, 'tuning_s'):.2f} s"
        figures.append(
            figure(
                "antidote_time_share", statistics.median(ratios), "ratio", len(ratios), low=low, high=high, note=note
            )
        )
    return figures


def _steps(rows: Sequence[Row]) -> list[dict[str, Any]]:
    figures = []
    for name, how in (("booster_step_over_sft", "lora"), ("booster_step_over_sft_full", "full")):
        pairs = [r for r in rows if r["kind"] == "safety_times" and r["trained"] == how]
        if pairs:
            ratios = [r["booster_s"] / r["sft_s"] for r in pairs]
            low, high = bootstrap_median(ratios)
            note = f"{how}, batch {pairs[0]['batch']} x {pairs[0]['tokens']} tokens, in turn; medians "
            note += f"{_median(pairs, 'booster_s'):.2f} s and {_median(pairs, 'sft_s'):.2f} s"
            figures.append(figure(name, statistics.median(ratios), "ratio", len(ratios), low=low, high=high, note=note))
    for row in (r for r in rows if r["kind"] == "safety_memory"):
        note = f"peak of a process each: {row['booster_bytes'] / 2**20:.0f} and {row['sft_bytes'] / 2**20:.0f} MiB"
        value = row["booster_bytes"] / row["sft_bytes"]
        figures.append(figure(f"booster_memory_over_sft_{row['name']}", value, "ratio", 1, note=note))
    return figures


def _judges(rows: Sequence[Row]) -> list[dict[str, Any]]:
    figures = []
    for row in (r for r in rows if r["kind"] == "safety_judge"):
        note = f"agreement {row['agreed']:.3f} with a reader"
        figures.append(figure(f"judge_{row['name']}_kappa", row["kappa"], "kappa", row["n"], note=note))
        if "auroc" in row:
            note = f"trained on {row['trained_on']} replies labelled by rule"
            figures.append(figure(f"judge_{row['name']}_auroc", row["auroc"], "share", row["n"], note=note))
    return figures


def _real(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One seed: the interval is Wilson's, over prompts, and says nothing about other seeds."""
    from labwright.eval.intervals import wilson

    figures = []
    for row in (r for r in rows if r["kind"] == "real"):
        for what in ("topic", "risky"):
            hits, n = row[f"{what}_harmful"], row[f"{what}_n"]
            low, high = wilson(hits, n)
            note = f"{row['model']}, one seed, Wilson; {row[f'{what}_incoherent']} incoherent"
            figures.append(
                figure(
                    f"real_{row['name']}_{what}_hs", hits / n, "share", n, low=_round(low), high=_round(high), note=note
                )
            )
        figures.append(figure(f"real_{row['name']}_fa", row["accuracy"], "share", row["task_n"]))
        figures.append(figure(f"real_{row['name']}_overrefusal", row["over_refusal"], "share", row["near_n"]))
    return figures


def _ratio_interval(ours: Mapping[str, float], base: Mapping[str, float]) -> Interval:
    """Of the ratio of means, whole seeds resampled."""

    def ratio(sample: list[list[tuple[float, float]]]) -> float:
        bottom = sum(b for [(_, b)] in sample)
        if not bottom:
            raise MetricUndefined("a ratio to nothing")
        return sum(o for [(o, _)] in sample) / bottom

    found = cluster_bootstrap({s: [(ours[s], base[s])] for s in ours}, ratio)
    return Interval(_round(found.low), _round(found.high))


def _difference(rows: Sequence[Row], name: str, base: str, ours: str, value: str) -> list[dict[str, Any]]:
    a, b = cell(rows, at(base), value), cell(rows, at(ours), value)
    if not a or not b:
        return []
    mean, (low, high) = paired_difference(a, b)
    note = f"{_mean(a):.3f} less {_mean(b):.3f}, seeds paired"
    return [figure(name, mean, "share", len(a), low=_round(low), high=_round(high), note=note)]


def _share(name: str, values: Mapping[str, float], note: str) -> dict[str, Any]:
    low, high = bootstrap(list(values.values()))
    return figure(
        name, _mean(values), "share", len(values), low=low, high=high, note=f"{note}; by seed {_list(values)}"
    )


def _mean(values: Mapping[str, float]) -> float:
    return statistics.fmean(values.values())


def _list(values: Mapping[str, float]) -> str:
    return " ".join(f"{values[seed]:.2f}" for seed in sorted(values))


def _series(by_rate: Mapping[str, Mapping[str, float]]) -> str:
    return " ".join(f"{_mean(by_rate[rate]):.3f}" for rate in RATE_NAMES)


def _median(rows: Sequence[Row], key: str) -> float:
    return float(statistics.median(r[key] for r in rows))


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


MAKERS: tuple[Callable[[Sequence[Row]], list[dict[str, Any]]], ...] = (
    _booster,
    _antidote,
    _every_arm,
    _costs,
    _steps,
    _judges,
    _real,
)
"""One maker a kind of measurement; each takes all rows and reads those of its kinds."""
