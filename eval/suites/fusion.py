"""`labwright bench fusion`: the mixture of aligned models, measured (docs/benchmarks/README.md names every figure).

Parts: `toy`, whose right answer is known; `speed`, a mixture beside its dense base at a real model's shapes; `real`, a
model of 135 million parameters aligned, fused and judged beside every baseline; `run`, a run that it designs and reviews.
A part is a function of PARTS that puts rows, and a maker of `fusion_figures.MAKERS` that reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labwright.eval.suites import fusion_real, fusion_speed, fusion_toy
from labwright.eval.suites.document import document
from labwright.eval.suites.fusion_figures import figures_of
from labwright.eval.suites.parts import command, refuse_unknown
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import RAW
from labwright.models.extras import require

Say = Callable[[str], None]
QUICK_PAIRS = 5
PAGE = Path("docs/benchmarks/fusion.html")
"""Models, router and drift of the real fusion."""


def _toy(rows: Rows, quick: bool, say: Say) -> None:
    for seed in fusion_toy.SEEDS[:1] if quick else fusion_toy.SEEDS:
        missing = [name for name, *_ in fusion_toy.conditions() if not rows.has("toy", f"{seed}:{name}")]
        for row in fusion_toy.toy_rows(seed, missing, say) if missing else ():
            rows.add(row["kind"], row["name"], {k: v for k, v in row.items() if k not in ("kind", "name")})


def _speed(rows: Rows, quick: bool, say: Say) -> None:
    if not rows.has_kind("fusion_times"):
        for row in fusion_speed.speed_rows(QUICK_PAIRS if quick else fusion_speed.PAIRS, say):
            rows.add(row["kind"], row["name"], {k: v for k, v in row.items() if k not in ("kind", "name")})


PARTS: Mapping[str, Callable[[Rows, bool, Say], None]] = {
    "toy": _toy,
    "speed": _speed,
    "real": fusion_real.measure,
    "run": fusion_real.run,
}
"""One part a kind of measurement; it measures what the rows do not hold."""


def measure(*, quick: bool, parts: Sequence[str], say: Say) -> dict[str, Any]:
    """Run the suite and return its document; rows that are there already are not measured again.

    Args:
        quick: one seed of the toy, few pairs of times, few examples and items; in files of its own.
        parts: of PARTS; none means all.
        say: shows progress.

    Raises:
        WrongUse: an unknown part.
        SomethingMissing: the extra `local` is not installed.
    """
    refuse_unknown(parts, PARTS)
    require("local", "the benchmark of fusions")
    RAW.mkdir(parents=True, exist_ok=True)
    name = "fusion-quick" if quick else "fusion"
    rows = Rows(RAW / f"{name}.jsonl")
    for part in parts or tuple(PARTS):
        PARTS[part](rows, quick, say)
    if not quick and (html := fusion_real.page(rows.all())):
        PAGE.write_text(html, encoding="utf-8")
    typed = command("fusion", parts, quick=quick)
    return document("fusion", typed, figures_of(rows.all(), f"docs/benchmarks/raw/{name}.jsonl"))
