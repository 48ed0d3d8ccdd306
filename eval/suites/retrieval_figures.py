"""From raw rows of `labwright bench retrieval` to its figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from labwright.eval.suites import injections
from labwright.eval.suites.figures import Row, bootstrap, figure
from labwright.eval.suites.retrieval_ranking import MODES, ndcg, recall
from labwright.eval.suites.screen import wilson


def figures_of(rows: Sequence[Row], raw: str) -> list[dict[str, Any]]:
    """Every figure that the rows can carry; one that was not measured is absent."""
    return [{**one, "raw": raw} for make in MAKERS for one in make(rows)]


def _ranking(rows: Sequence[Row]) -> list[dict[str, Any]]:
    figures = []
    for name, kind, metric in (
        ("scifact_ndcg10", "scifact_query", ndcg),
        ("scifact_recall100", "scifact_query", recall),
        ("med_ndcg10", "med_query", ndcg),
    ):
        done = [row["ranks"] for row in rows if row["kind"] == kind]
        if done:
            values = {mode: [metric(ranks[mode]) for ranks in done] for mode in MODES}
            low, high = bootstrap(values["hybrid"])
            note = ", ".join(f"{mode} {statistics.fmean(values[mode]):.4f}" for mode in MODES if mode != "hybrid")
            mean = statistics.fmean(values["hybrid"])
            figures.append(figure(name, mean, "mean over queries", len(done), low=low, high=high, note=note))
    return figures


def _times(rows: Sequence[Row]) -> list[dict[str, Any]]:
    times: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if row["kind"] == "query_times":
            size, mode = row["name"].split(":")
            times.setdefault(mode, {})[int(size)] = sorted(row["ms"])
    figures, growth = [], {}
    for mode, by_size in times.items():
        small, large = min(by_size), max(by_size)
        ms = by_size[small]
        note = f"{small} documents, query encoded; low and high are the quartiles"
        quartiles = {"low": ms[len(ms) // 4], "high": ms[3 * len(ms) // 4]}
        figures.append(figure(f"query_p50_ms_{mode}", statistics.median(ms), "ms", len(ms), note=note, **quartiles))
        if large > small:
            growth[mode] = statistics.median(by_size[large]) / statistics.median(ms)
    if growth:
        worst = max(growth, key=lambda mode: growth[mode])
        each = ", ".join(f"{mode} {value:.2f}" for mode, value in growth.items())
        note = f"{small} to {large} documents; the worse of {each}"
        figures.append(figure("growth_5k_50k", growth[worst], "ratio of medians", len(times[worst][large]), note=note))
    return figures


def _rates(rows: Sequence[Row]) -> list[dict[str, Any]]:
    figures = []
    rates = [row["documents"] / row["seconds"] for row in rows if row["kind"] == "sparse_indexing"]
    if rates:
        note = "median of repeats, each over all abstracts, committed; low and high are the extremes"
        spread = {"low": round(min(rates), 1), "high": round(max(rates), 1)}
        figures.append(
            figure("sparse_docs_per_s", statistics.median(rates), "documents/s", len(rates), note=note, **spread)
        )
    pairs = [row for row in rows if row["kind"] == "dense_indexing"]
    if pairs:
        ratios = [row["index_s"] / row["encoder_s"] for row in pairs]
        note = (
            f"whole index over the bare encoder on the same texts, in turn; {pairs[0]['texts']} texts (passage, title, "
            f"sentences) of {pairs[0]['documents']} documents, {statistics.median(r['passages_s'] for r in pairs):.1f} s for the "
            f"passages alone, {statistics.median(r['index_s'] for r in pairs):.1f} s indexed; median, low and high are the extremes"
        )
        spread = {"low": round(min(ratios), 4), "high": round(max(ratios), 4)}
        figures.append(
            figure("dense_over_encoder", statistics.median(ratios), "ratio", len(pairs), note=note, **spread)
        )
    return figures


def _quotes(rows: Sequence[Row]) -> list[dict[str, Any]]:
    figures = []
    damaged = [row for row in rows if row["kind"] == "quote_damaged"]
    if damaged:
        kinds: dict[str, list[bool]] = {}
        for row in damaged:
            kinds.setdefault(row["name"].split(":")[2], []).append(row["found"])
        low, high = wilson(sum(row["found"] for row in damaged), len(damaged))
        note = (
            ", ".join(f"{kind} {sum(found)}/{len(found)}" for kind, found in sorted(kinds.items()))
            + "; Wilson interval"
        )
        share = sum(row["found"] for row in damaged) / len(damaged)
        bounds = {"low": round(low, 4), "high": round(high, 4)}
        figures.append(figure("quote_recall", share, "share", len(damaged), note=note, **bounds))
    fakes = [row for row in rows if row["kind"] == "quote_fake"]
    if fakes:
        accepted = sum(row["accepted"] for row in fakes)
        _, high = wilson(accepted, len(fakes))
        note = "low and high: Wilson interval of the share, as a count"
        figures.append(
            figure(
                "fakes_accepted", accepted, "quotes", len(fakes), low=0.0, high=round(high * len(fakes), 2), note=note
            )
        )
    return figures


def _stances(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = [row for row in rows if row["kind"] == "stance"]
    if not done:
        return []
    right = [row["label"] == row["said"] for row in done]
    low, high = wilson(sum(right), len(right))
    note = ", ".join(
        f"{label} {sum(r['said'] == label for r in of)}/{len(of)}"
        for label in ("support", "contradict", "neither")
        if (of := [r for r in done if r["label"] == label])
    )
    bounds = {"low": round(low, 4), "high": round(high, 4)}
    return [
        figure(
            "stance_accuracy", sum(right) / len(right), "share", len(right), note=f"{note}; Wilson interval", **bounds
        )
    ]


def _screening(rows: Sequence[Row]) -> list[dict[str, Any]]:
    done = [row for row in rows if row["kind"] == "screening"]
    if not done:
        return []
    recalls = [len(set(row["found"]) & set(row["musts"])) / len(row["musts"]) for row in done]
    low, high = bootstrap(recalls)
    each = "; ".join(f"{row['name']} {r:.2f} of {len(row['musts'])}" for row, r in zip(done, recalls, strict=True))
    figures = [figure("search_recall", statistics.fmean(recalls), "share", len(done), low=low, high=high, note=each)]
    offered = [name in row["kept"] for row in done for name in row["found"] if name in row["near_misses"]]
    if offered:
        low, high = wilson(sum(offered), len(offered))
        note = f"{sum(offered)} of the {len(offered)} near misses that the search found; Wilson interval"
        bounds = {"low": round(low, 4), "high": round(high, 4)}
        share = sum(offered) / len(offered)
        figures.append(figure("near_miss_kept_share", share, "share", len(offered), note=note, **bounds))
    return figures


MAKERS: tuple[Callable[[Sequence[Row]], list[dict[str, Any]]], ...] = (
    _ranking,
    _times,
    _rates,
    _quotes,
    _screening,
    _stances,
    injections.figures,
)
"""One maker a kind of measurement; each takes all rows and reads those of its kinds. A new kind is added here, and to
the parts of `labwright.eval.suites.retrieval`."""
