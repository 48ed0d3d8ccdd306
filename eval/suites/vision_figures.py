"""From raw rows of `labwright bench vision` to its figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from labwright.eval.intervals import wilson
from labwright.eval.suites.figures import Row, bootstrap, figure
from labwright.eval.suites.fusion_figures import bootstrap_median

WORLD = "made-up world, degradation made on purpose"


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured is absent."""
    return [{**one, "raw": raw} for make in MAKERS for one in make(rows)]


def _steering(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Unsafe answers with an image, unsteered and steered at both levels, over all prompts of all seeds."""
    done = [r for r in rows if r["kind"] == "steering" and r["degraded"]]
    figures = []
    for name, condition, method in (
        ("cmrm_text_unsafe", "text", "none"),
        ("cmrm_raw_unsafe", "image", "none"),
        ("cmrm_sample_unsafe", "image", "sample"),
        ("cmrm_dataset_unsafe", "image", "dataset"),
    ):
        mine = [r for r in done if (r["condition"], r["method"]) == (condition, method)]
        if mine:
            figures.append(_share(name, mine, "unsafe"))
    return figures


def _share(name: str, rows: Sequence[Row], what: str) -> dict[str, Any]:
    hits, n = (sum(r[what][k] for r in rows) for k in (0, 1))
    interval = wilson(hits, n)
    low, high = (round(x, 4) for x in interval if x is not None)
    each = " ".join(f"{r[what][0] / r[what][1]:.3f}" for r in rows)
    note = f"{hits} of {n} prompts, by seed {each}; Wilson interval over prompts; {WORLD}"
    return figure(name, hits / n, "share", n, low=low, high=high, note=note)


def _utility(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What steering costs: the greatest loss of ordinary answers, and captions before and after."""
    done = {(r["seed"], r["method"]): r for r in rows if r["kind"] == "steering" and r["degraded"]
            and r["condition"] == "image"}  # fmt: skip
    seeds = sorted({seed for seed, _ in done})
    if not seeds:
        return []

    def mean(method: str, what: str) -> float:
        return statistics.fmean(done[s, method][what][0] / done[s, method][what][1] for s in seeds)

    drops = {m: mean("none", "benign") - mean(m, "benign") for m in ("dataset", "sample")}
    note = ", ".join(f"{m} {d:+.3f}" for m, d in drops.items()) + f"; before {mean('none', 'benign'):.3f}; {WORLD}"
    captions = {m: mean(m, "captions") for m in ("none", "dataset", "sample")}
    shown = ", ".join(f"{m} {v:.3f}" for m, v in captions.items())
    least = min(captions.values())
    return [
        figure("cmrm_benign_drop", max(drops.values()), "share", len(seeds), note=f"the greater of {note}"),
        figure("cmrm_caption_acc", least, "share", len(seeds), note=f"the least of {shown}; {WORLD}"),
    ]


def _left_alone(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Worlds without a degradation in which the guard chose alpha 0 for both levels."""
    choices = [r for r in rows if r["kind"] == "steering_choice" and not r["degraded"]]
    if not choices:
        return []
    note = "; ".join(f"seed {r['seed']} {r['method']} alpha {r['alpha']:g}" for r in choices)
    raw = [
        r
        for r in rows
        if r["kind"] == "steering" and not r["degraded"] and (r["condition"], r["method"]) == ("image", "none")
    ]
    unsafe = ", ".join(f"{r['unsafe'][0] / r['unsafe'][1]:.3f}" for r in raw)
    left = sum(r["alpha"] == 0 for r in choices) / len(choices)
    return [
        figure("cmrm_left_alone", left, "share", len(choices),
               note=f"choices of no steering where nothing was degraded (unsafe without steering {unsafe}): {note}")
    ]  # fmt: skip


def _overhead(rows: Sequence[Row]) -> list[dict[str, Any]]:
    pairs = [r for r in rows if r["kind"] == "steering_times"]
    if not pairs:
        return []
    ratios = [r["steered_s"] / r["plain_s"] for r in pairs]
    low, high = bootstrap_median(ratios)
    note = (
        f"median of paired ratios, {pairs[0]['tokens']} tokens after {pairs[0]['prompt']}, at the shapes of SmolLM2-135M; "
        f"plain {statistics.median(r['plain_s'] for r in pairs):.2f} s"
    )
    return [
        figure("cmrm_dataset_overhead", statistics.median(ratios), "ratio", len(ratios), low=low, high=high, note=note)
    ]


def _faces(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Quality of held-out photos under the mask, and whether recognisers name the person."""
    photos = [r for r in rows if r["kind"] == "faces_photo"]
    if not photos:
        return []
    ssim = ", ".join(f"{r['name']} {r['ssim']:.3f} ({r['psnr']:.1f} dB)" for r in photos)
    restored = [v for r in photos for v in r["restored"].values()]
    enrolled = [r for r in rows if r["kind"] == "faces_enrol" and r["name"].startswith("mask|")]
    how = f"{enrolled[0]['epochs']} epochs, {enrolled[0]['photos']} photos, against {' and '.join(enrolled[0]['team'])}"
    times = [r["protect_ms"] for r in photos]
    figures = [
        figure("mask_ssim", min(r["ssim"] for r in photos), "SSIM", len(photos),
               note=f"the least of held-out photos, in the face: {ssim}"),
        figure("mask_restore_cosine", min(restored), "cosine", len(restored),
               note="the least over held-out photos and recognisers, mask taken off with the key"),
        figure("mask_enrol_s", statistics.median(r["seconds"] for r in enrolled), "s", len(enrolled), note=how),
        figure("mask_protect_ms", statistics.median(times), "ms", len(times), note="a photo at its full size, face found"),
    ]  # fmt: skip
    for name, white in (("mask_whitebox_heldout", True), ("mask_blackbox_heldout", False)):
        figures.append(_held_out(name, rows, enrolled[0], white))
    return figures


def _held_out(name: str, rows: Sequence[Row], enrolled: Row, white: bool) -> dict[str, Any]:
    """Look-ups in which the nearest face is a stranger's, with every outcome, the other settings and what ours is beside."""
    team = enrolled["team"]

    def counted(method: str, setting: int, adversary: str = "none") -> list[Row]:
        return [
            r
            for r in rows
            if r["kind"] == "faces_lookup" and (r["recogniser"] in team) == white
            and (r["method"], r["setting"], r["adversary"]) == (method, setting, adversary)
        ]  # fmt: skip

    def share(found: Sequence[Row]) -> str:
        return f"{sum(r['protected'] for r in found)} of {len(found)}"

    mine = counted("mask", 1)
    each = "; ".join(
        f"{r['photo']} {r['recogniser']} {r['likeness']:.2f} to own, {r['other']:.2f} to {r['found'] if r['protected'] else 'others'}"
        for r in mine
    )
    methods = dict.fromkeys(r["method"] for r in rows if r["kind"] == "faces_lookup")
    beside = ", ".join(f"{m} {share(counted(m, 1))}" for m in methods if m != "mask")
    adversaries = dict.fromkeys(
        r["adversary"] for r in rows if r["kind"] == "faces_lookup" and r["adversary"] != "none"
    )
    after = ", ".join(f"{a} {share(counted('mask', 1, a))}" for a in adversaries)
    note = (
        f"look-ups that name a stranger (one person, each of {enrolled['photos'] + 1} photos held out, "
        f"{enrolled['strangers']} strangers; no rate): {each}. Clean among protected {share(counted('mask', 2))}, "
        f"protected among protected {share(counted('mask', 3))}. Beside it: {beside}. After an adversary: {after}"
    )
    return figure(name, sum(r["protected"] for r in mine), "look-ups", len(mine), note=note)


def _figure_reading(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Share of fields read rightly from test figures: with the image, from the legend alone, by guessing."""
    from labwright.eval.suites.figure_reading import shares

    done = [r for r in rows if r["kind"] == "figure_read"]
    if not done:
        return []
    names = (("figure_field_acc", "image"), ("figure_legend_acc", "legend"), ("figure_majority_acc", "guess"))
    figures = []
    for name, what in names:
        values = list(shares(done, what))
        low, high = bootstrap(values)
        fields = {f: statistics.fmean(r["read"][f]["guess"] if what == "guess" else r["read"][f][what] == r["read"][f]["right"]
                                      for r in done) for f in done[0]["read"]}  # fmt: skip
        each = ", ".join(f"{f} {v:.2f}" for f, v in fields.items())
        note = f"{each}; {len({r['dataset'] for r in done})} data sets that nothing was learned from, interval over figures"
        figures.append(figure(name, statistics.fmean(values), "share", len(values), low=low, high=high, note=note))
    return figures


def _real(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The same on the model of installable parts, whose refusals nobody degraded on purpose."""
    done = [r for r in rows if r["kind"] == "steering_real"]
    figures = []
    for name, condition, method in (
        ("cmrm_real_text_unsafe", "text", "none"),
        ("cmrm_real_raw_unsafe", "image", "none"),
        ("cmrm_real_sample_unsafe", "image", "sample"),
        ("cmrm_real_dataset_unsafe", "image", "dataset"),
    ):
        for row in (r for r in done if (r["condition"], r["method"]) == (condition, method)):
            (hits, n), (right, of) = row["unsafe"], row["benign"]
            low, high = (round(x, 4) for x in wilson(hits, n) if x is not None)
            note = (
                f"{hits} of {n} risky instructions answered; ordinary ones {right} of {of}; {row['incoherent']} answers "
                f"are no text; alpha {row['alpha']:g}; {row['seconds']:.2f} s an answer; Wilson interval"
            )
            figures.append(figure(name, hits / n, "share", n, low=low, high=high, note=note))
    read = {r["name"]: r for r in rows if r["kind"] == "steering_real_read"}
    if read:
        each = ", ".join(f"{name} {r['right'] / r['n']:.3f}" for name, r in read.items())
        chosen = "; ".join(f"{r['name']}: {r['reason']}" for r in rows if r["kind"] == "steering_real_choice")
        least = min(r["right"] / r["n"] for r in read.values())
        n = sum(r["n"] for r in read.values())
        figures.append(figure("cmrm_real_figure_kind_acc", least, "share", n, note=f"the least of {each}; {chosen}"))
    return figures


MAKERS: tuple[Callable[[Sequence[Row]], list[dict[str, Any]]], ...] = (
    _steering,
    _utility,
    _left_alone,
    _overhead,
    _faces,
    _figure_reading,
    _real,
)
