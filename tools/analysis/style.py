"""One look for every figure: readable sizes, a palette for colour-blind readers, deterministic files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.use("Agg")

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#4D4D4D")
"""Okabe and Ito's colours, black softened."""
GREY = "#B8B8B8"
UP, DOWN = "#D55E00", "#0072B2"
DPI = 160
_RC = {
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.labelsize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "labwright",
}


def new_figure(width: float, height: float, *, columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with its axes in reading order.

    Args:
        width: inches.
        height: inches.
        columns: axes side by side.
        rows: axes one above the other.

    Returns:
        The figure and `rows * columns` axes.
    """
    with mpl.rc_context(_RC):
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    mpl.rcParams.update(_RC)
    return figure, [axis for line in axes for axis in line]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG without a time stamp and close it.

    Args:
        figure: the figure.
        path: file to write.
    """
    figure.savefig(path, dpi=DPI, metadata={"Software": "labwright"}, facecolor="white")
    plt.close(figure)


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name; beyond the palette, from a continuous map.

    Args:
        names: distinct names.

    Returns:
        Name to colour.
    """
    if len(names) <= len(PALETTE):
        return dict(zip(names, PALETTE, strict=False))
    ramp = mpl.colormaps["turbo"]
    return {name: mpl.colors.to_hex(ramp(0.05 + 0.9 * i / (len(names) - 1))) for i, name in enumerate(names)}


def short(text: str, most: int = 48) -> str:
    """A label cut to a length.

    Args:
        text: the label.
        most: greatest number of characters.

    Returns:
        The label, with an ellipsis where it was cut.
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def label_points(axis: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside points of a scatter plot; a name that finds no free place near its point is left out.

    Args:
        axis: the axes; its limits must be final and the figure drawn once.
        points: x, y and name, most important first.
    """
    pixels = axis.figure.dpi / 72.0
    line = 12.5 * pixels
    taken: list[tuple[float, float, float]] = []
    for x, y, name in points:
        px, py = axis.transData.transform((x, y))
        width = 5.4 * pixels * len(name) + 8.0 * pixels
        right = px + width < axis.bbox.x1
        left_edge = px if right else px - width
        for step in (0, -1, 1, -2, 2):
            level = py + step * line
            inside = axis.bbox.y0 + line / 2 < level < axis.bbox.y1
            free = all(
                abs(level - other) >= line or left_edge + width < start or end < left_edge
                for start, end, other in taken
            )
            if inside and free:
                taken.append((left_edge, left_edge + width, level))
                _annotate(axis, (x, y, name), (level - py) / pixels, right=right)
                break


def _annotate(axis: Axes, point: tuple[float, float, str], shift: float, *, right: bool) -> None:
    axis.annotate(
        point[2],
        point[:2],
        xytext=(6 if right else -6, shift),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        fontsize=8.5,
        arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "#888888"} if shift else None,
    )
