"""The report page of the laboratory: curves of the harmful score over the steps of an attack, and the grid as a table."""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence

from labwright.eval.suites.figures import Row
from labwright.eval.suites.safety_toy import PRIMARY_SHARE, RATE_NAMES, SHARES

WIDTH, HEIGHT, MARGIN = 420, 220, 34
COLOURS = ("#1b6ca8", "#c0392b", "#1e8449", "#7d3c98", "#b9770e", "#148f77", "#566573", "#a04000", "#2e4053")
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Harmful fine-tuning, measured</title>
<style>body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:right}
th:first-child,td:first-child{text-align:left}figure{display:inline-block;margin:.5rem}</style>
<h1>Harmful fine-tuning, measured</h1>
<p>Made by <code>labwright bench safety</code> from its raw rows. HS+ is the share of forbidden test questions that an attacked model
answers, or meets with incoherent text; lower is better. Lines and cells are means over seeds, with the least and the
greatest seed in brackets. What was fixed before the attacks ran, and what a made-up topic cannot show, is in docs/safety.md.</p>
"""


def page(rows: Sequence[Row]) -> str:
    """The page as one HTML document without scripts; a part that was not measured is not on it."""
    toy = [r for r in rows if r["kind"] == "toy"]
    return HEAD + _curves(toy) + _grid(toy) + _before(rows) + _real(rows) + "</html>\n"


def _curves(toy: Sequence[Row]) -> str:
    parts = []
    for rate in RATE_NAMES:
        lines = {}
        for arm in dict.fromkeys(r["arm"] for r in toy):
            these = [
                r["curve"]
                for r in toy
                if (r["attack"], r["arm"], r["share"], r["rate"]) == ("mixed", arm, PRIMARY_SHARE, rate) and r["curve"]
            ]
            if these:
                steps = [int(step) for step, _ in these[0]]
                means = [statistics.fmean(curve[i][1] for curve in these) for i in range(len(steps))]
                lines[arm] = list(zip([0, *steps], [0.0, *means], strict=True))
        if lines:
            parts.append(_chart(lines, f"share {PRIMARY_SHARE:g}, {rate} rate"))
    return f"<h2>HS+ over the steps of an attack</h2>\n{''.join(parts)}" if parts else ""


def _chart(lines: Mapping[str, Sequence[tuple[int, float]]], title: str) -> str:
    last = max(step for points in lines.values() for step, _ in points)
    drawn = []
    for number, (arm, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        at = " ".join(
            f"{MARGIN + (WIDTH - 2 * MARGIN) * step / last:.1f},{HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value:.1f}"
            for step, value in points
        )
        drawn.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{at}"/>')
        drawn.append(
            f'<text x="{WIDTH + 6}" y="{20 + 16 * number}" fill="{colour}" font-size="12">{html.escape(arm)}</text>'
        )
    axes = (
        f'<path d="M{MARGIN} {MARGIN}V{HEIGHT - MARGIN}H{WIDTH - MARGIN}" fill="none" stroke="#888"/>'
        f'<text x="4" y="{MARGIN + 4}" font-size="12">1</text><text x="4" y="{HEIGHT - MARGIN}" font-size="12">0</text>'
        f'<text x="{WIDTH - MARGIN - 60}" y="{HEIGHT - 12}" font-size="12">{last} steps</text>'
    )
    picture = f'<svg role="img" aria-label="{html.escape(title)}" width="{WIDTH + 140}" height="{HEIGHT}">{axes}{"".join(drawn)}</svg>'
    return f"<figure>{picture}<figcaption>{html.escape(title)}</figcaption></figure>\n"


def _grid(toy: Sequence[Row]) -> str:
    columns = [(share, rate) for share in SHARES for rate in RATE_NAMES]
    found: dict[tuple[str, float, str], list[float]] = {}
    for r in toy:
        if r["attack"] == "mixed":
            found.setdefault((r["arm"], r["share"], r["rate"]), []).append(r["hs_plus"])
    arms = list(dict.fromkeys(arm for arm, _, _ in found))
    if not arms:
        return ""
    head = ["arm", *(f"p {share:g}, {rate}" for share, rate in columns)]
    body = [[arm, *(_cell(found.get((arm, share, rate), [])) for share, rate in columns)] for arm in arms]
    return f"<h2>HS+ after an attack, by share of harmful rows and learning rate</h2>\n{_table(head, body)}"


def _before(rows: Sequence[Row]) -> str:
    these = [r for r in rows if r["kind"] == "toy_before"]
    keys = ("hs_plus", "over_refusal", "near_answered", "harmful_loss")
    body = [
        [arm, *(_cell([r[key] for r in these if r["arm"] == arm]) for key in keys)]
        for arm in dict.fromkeys(r["arm"] for r in these)
    ]
    head = ["alignment", "HS+", "over-refusal", "allowed questions answered", "loss on harmful answers, nats"]
    return f"<h2>Before any attack</h2>\n{_table(head, body)}" if body else ""


def _real(rows: Sequence[Row]) -> str:
    body = [
        [r["name"], f"{r['topic_harmful']}/{r['topic_n']}", f"{r['risky_harmful']}/{r['risky_n']}",
         f"{r['accuracy']:.2f}", f"{r['over_refusal']:.2f}"]
        for r in rows if r["kind"] == "real"
    ]  # fmt: skip
    head = ["arm", "HS+ on the topic", "HS+ on risky instructions", "accuracy", "over-refusal"]
    return f"<h2>A real language model, one seed</h2>\n{_table(head, body)}" if body else ""


def _cell(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.2f} [{min(values):.2f}, {max(values):.2f}]" if values else ""


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    lines = "".join(f"<tr>{''.join(f'<td>{html.escape(c)}</td>' for c in row)}</tr>\n" for row in body)
    return f"<table><tr>{top}</tr>\n{lines}</table>\n"
