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
    """Write names beside points of a scatter plot, moved apart where they would overlap.

    Args:
        axis: the axes; its limits must be final.
        points: x, y and name, most important first.
    """
    placed: list[tuple[float, float]] = []
    transform = axis.transData
    for x, y, name in points:
        px, py = transform.transform((x, y))
        level = py
        while any(abs(level - other_y) < 20 and abs(px - other_x) < 130 for other_x, other_y in placed):
            level -= 20
        placed.append((px, level))
        shift = (level - py) * 72.0 / axis.figure.dpi
        right = px < axis.bbox.x0 + 0.7 * axis.bbox.width
        axis.annotate(
            name,
            (x, y),
            xytext=(5 if right else -5, shift),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=8.5,
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "#888888"} if abs(shift) > 4 else None,
        )
