"""Volcano plot: effect against significance, with the most significant names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from labwright.tools.analysis.multiple_testing import FDR_LIMIT
from labwright.tools.analysis.style import DOWN, GREY, UP, label_points, new_figure, save_figure, short

LABELLED = 20


def draw_volcano(
    table: pd.DataFrame, path: Path, *, x_label: str, title: str, sides: tuple[str, str] = ("up", "down")
) -> None:
    """Draw and write a volcano plot.

    Args:
        table: columns feature, effect, p, fdr, sorted by p.
        path: file to write.
        x_label: what the effect is, with unit.
        title: title, with the number of samples.
        sides: what a positive and a negative effect are called.
    """
    shown = table.dropna(subset=["p", "effect"])
    least = shown["p"][shown["p"] > 0].min() if (shown["p"] > 0).any() else 1e-300
    height = -np.log10(shown["p"].clip(lower=least))
    significant = shown["fdr"] < FDR_LIMIT
    figure, (axis,) = new_figure(7.0, 5.2)
    for mask, colour, name in (
        (~significant, GREY, "not significant"),
        (significant & (shown["effect"] > 0), UP, sides[0]),
        (significant & (shown["effect"] <= 0), DOWN, sides[1]),
    ):
        label = f"{name} ({int(mask.sum()):,})"
        axis.scatter(shown["effect"][mask], height[mask], s=9, c=colour, label=label, linewidths=0, rasterized=True)
    _frame(axis, shown["effect"], height)
    axis.set(xlabel=x_label, ylabel="-log10 p", title=title)
    axis.legend(title=f"FDR < {FDR_LIMIT:g}", loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=2)
    figure.canvas.draw()
    top = shown.head(LABELLED).index
    names = [(shown["effect"][i], height[i], short(str(shown["feature"][i]), 26)) for i in top]
    label_points(axis, names)
    save_figure(figure, path)


def _frame(axis: Axes, effect: pd.Series, height: pd.Series) -> None:
    reach = float(np.abs(effect).max()) * 1.25 or 1.0
    axis.set_xlim(-reach, reach)
    axis.set_ylim(0.0, float(height.max()) * 1.06 or 1.0)
    axis.axvline(0.0, color="#888888", lw=0.6)
