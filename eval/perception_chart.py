"""Perception charts: what people said and what the judge said, by the label that people agreed on.

One column a label b. Above, a pie of how many items people gave which aggregate label, slice b pulled out. Below, bars
over the scale for the items of that slice: every label of people (H), every label of the judge (M), the aggregates of
people (one bar of 1 at b by construction) and of the judge. Compare red with green in a column; green that is missing
at the ends of the scale is range compression; light green that is spread out cannot tell the items apart.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from labwright.errors import SomethingMissing
from labwright.eval.judge_aggregates import Tie
from labwright.eval.judge_arrays import Half, arrays
from labwright.eval.judge_batch import Base, Form
from labwright.eval.judge_labels import Annotations, Floats
from labwright.eval.judge_perception import perception

COLOURS = {"H": "#d62728", "M": "#2ca02c", "H aggregate": "#ffa07a", "M aggregate": "#90ee90"}
PLAIN, PULLED = "#c9d6df", "#5b7c99"
INCHES = 3.0
TALLEST = 1.1


def chart_data(
    data: Annotations, *, form: Form = "distance", base: Base = "e", half: Half = "drop", tie: Tie = "first"
) -> dict[str, Any]:
    """The numbers of the chart, ready for JSON.

    Args:
        data: checked annotations.
        form: "distance" or "divergence".
        base: of the logarithm.
        half: what becomes of items whose median lies between two labels.
        tie: which of several majorities counts.

    Returns:
        labels, n, jsb, coverage, form, base and bins: label, n, weight, H, M, H_aggregate, M_aggregate (each a
        distribution over the labels, all zero in an empty bin), jsd and the reason where it is missing.
    """
    a = arrays(data, half=half, tie=tie)
    seen = perception(a, data.labels, form=form, base=base, half=half)
    k = len(data.labels)
    eye = np.vstack([np.eye(k), np.zeros((1, k))])  # the last row is for a missing judge, index -1
    machine_aggregates = a.bins.T @ eye[a.machine_label]
    bins = [
        {
            **{key: b[key] for key in ("label", "n", "weight")},
            "H": b["P"],
            "M": b["Q"],
            "H_aggregate": (eye[i] * (b["n"] > 0)).tolist(),
            "M_aggregate": _shares(machine_aggregates[i]),
            "jsd": b["jsd"],
            "reason": b["reason"],
        }
        for i, b in enumerate(seen.bins)
    ]
    return {
        "labels": list(data.labels),
        "n": a.size,
        "jsb": seen.value.value,
        "reason": seen.value.reason,
        "coverage": seen.coverage,
        "kind": data.kind,
        "form": form,
        "base": base,
        "bins": bins,
    }


def _shares(row: Floats) -> list[float]:
    total = float(row.sum())
    return [float(x) / total if total else 0.0 for x in row]


def need_matplotlib() -> None:
    """Say at once when charts cannot be drawn.

    Raises:
        SomethingMissing: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise SomethingMissing("charts need matplotlib: pip install 'labwright[charts]'") from error


def perception_chart(numbers: dict[str, Any], path: Path, title: str = "") -> Path:
    """Draw the chart as a PNG file.

    Args:
        numbers: what `chart_data` gave.
        path: the file to write.
        title: name of the data.

    Raises:
        SomethingMissing: matplotlib is not installed.
    """
    path.write_bytes(chart_png(numbers, title))
    return path


def chart_png(numbers: dict[str, Any], title: str = "") -> bytes:
    """The chart as the bytes of a PNG file.

    Raises:
        SomethingMissing: matplotlib is not installed.
    """
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = [str(label) for label in numbers["labels"]]
    figure = Figure(figsize=(max(INCHES * len(labels), 4.5), 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(labels), height_ratios=[1, 3], squeeze=False)
    for i, column in enumerate(numbers["bins"]):
        _pie(axes[0][i], numbers, i)
        _bars(axes[1][i], labels, column, first=i == 0, last=i == len(labels) - 1)
    value = "undefined" if numbers["jsb"] is None else f"{numbers['jsb']:.2f}"
    by = "median" if numbers["kind"] == "ordinal" else "majority"
    figure.suptitle(_plain(f"{title}  binned by {by} of people, weighted JSD {value}".strip()))
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()


def _pie(axis: Any, numbers: dict[str, Any], at: int) -> None:
    column = numbers["bins"][at]
    sizes = [b["n"] for b in numbers["bins"]]
    if any(sizes):
        colours = [PULLED if i == at else PLAIN for i in range(len(sizes))]
        pulled = [0.1 if i == at and column["n"] else 0.0 for i in range(len(sizes))]
        axis.pie(sizes, colors=colours, explode=pulled, startangle=90, wedgeprops={"linewidth": 0})
    else:
        axis.axis("off")
    axis.set_title(f"({column['n']:g} / {numbers['n']})  {100 * column['weight']:.1f} %", fontsize=9)


def _bars(axis: Any, labels: list[str], column: dict[str, Any], *, first: bool, last: bool) -> None:
    width = 0.8 / len(COLOURS)
    for j, (name, colour) in enumerate(COLOURS.items()):
        heights = column[name.replace(" ", "_")]
        places = [i + (j - 1.5) * width for i in range(len(labels))]
        axis.bar(places, heights, width, color=colour, label=name)
    axis.set_xticks(range(len(labels)), [_plain(label) for label in labels])
    axis.set_ylim(0, TALLEST)
    axis.grid(axis="y", alpha=0.4)
    axis.set_axisbelow(True)
    axis.tick_params(labelleft=first)
    if first:
        axis.set_ylabel("probability")
    if last:
        axis.legend(fontsize=8)
    jsd = "nan" if column["jsd"] is None else f"{column['jsd']:.2f}"
    axis.set_title(f"people: {_plain(str(column['label']))}   JSD {jsd}", fontsize=10)


def _plain(text: str) -> str:
    """Text that the drawing library does not take for a formula, shortened."""
    return text.replace("$", "\\$")[:80]
