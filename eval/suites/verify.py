"""Recompute the figures of a committed benchmark from its raw rows."""

from __future__ import annotations

import json
from pathlib import Path

from labwright.errors import WrongUse
from labwright.eval.suites import (
    ensemble_figures,
    figures,
    fusion_figures,
    judge_figures,
    objective_figures,
    retrieval_figures,
    safety_figures,
    sandbox_figures,
    stack_figures,
    vision_figures,
    web_figures,
)

FOLDER = Path("docs/benchmarks")
MAKERS = {
    "run": figures.figures_of,
    "judges": judge_figures.figures_of,
    "sandbox": sandbox_figures.figures_of,
    "retrieval": retrieval_figures.figures_of,
    "objectives": objective_figures.figures_of,
    "ensemble": ensemble_figures.figures_of,
    "fusion": fusion_figures.figures_of,
    "safety": safety_figures.figures_of,
    "vision": vision_figures.figures_of,
    "stack": stack_figures.figures_of,
    "web": web_figures.figures_of,
}
"""Suite to what makes its figures of its raw rows."""


def verify_suite(suite: str, folder: Path = FOLDER) -> list[str]:
    """Lines that say which figure differs; empty when all agree.

    Raises:
        WrongUse: the benchmark is not there.
    """
    path = folder / f"{suite}.json"
    if not path.is_file() or suite not in MAKERS:
        raise WrongUse(f"{path}: no such benchmark; run it from the project's root with `make bench-{suite}`")
    committed = json.loads(path.read_text(encoding="utf-8"))["figures"]
    raw = committed[0]["raw"]
    rows = [json.loads(line) for line in (folder / "raw" / Path(raw).name).read_text(encoding="utf-8").splitlines()]
    computed = MAKERS[suite](rows, raw)
    differing = [
        f"{c['name']}: committed {c}, computed {d}" for c, d in zip(committed, computed, strict=False) if c != d
    ]
    if len(committed) != len(computed):
        differing.append(f"{len(committed)} figures are committed, {len(computed)} computed")
    from labwright.eval.suites.publish import page  # it needs this module's FOLDER

    readme = folder / "README.md"
    if readme.is_file() and readme.read_text(encoding="utf-8") != page(folder):
        differing.append(f"{readme} is not what `labwright bench publish` makes")
    return differing
