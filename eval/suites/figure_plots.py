"""Figures with known content, drawn from the data sets of the catalogue: what a model that sees learns from and is measured on.

Training, validation and test use different data sets. Each figure has a legend as papers have them, which tells some of
its content; the direction is told rarely.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labwright.agents.figures import DIRECTIONS, Field

KINDS = ("survival curves", "box plot", "scatter plot", "bar chart", "histogram")
TEST = ("gse1992", "pbc", "tissue_expression", "veteran")
VALIDATION = ("gbsg2", "nci60")
FEATURES = 60
"""Features of a matrix that are plotted, drawn by the seed of the data set."""
LEAST, MOST_GROUPS = 12, 4
CLEAR = 0.3
"""Deviations, rank correlation or share of survivors from which a direction is one."""
WANTED, TRIES = 0.6, 8
"""Share of the figures for which a clear direction is looked for, and how often."""
INCHES, DPI = 4.0, 112


@dataclass(frozen=True, slots=True)
class Plot:
    """What a figure shows."""

    id: str
    dataset: str
    kind: str
    x: str
    y: str
    groups: tuple[str, ...]
    direction: str
    n: int
    legend: str
    others: tuple[str, ...]
    """Other columns of the data set, which the axes might have shown."""

    def truth(self) -> dict[str, str]:
        """Field to what is right."""
        return {"kind": self.kind, "x": self.x, "y": self.y, "groups": str(len(self.groups)), "direction": self.direction,
                "n": str(self.n)}  # fmt: skip

    def fields(self) -> list[Field]:
        """The questions, each with its options in an order of its own."""
        draw = random.Random(self.id)  # noqa: S311
        away = [o for o in self.others if o not in (self.x, self.y)]
        near = [n for n in (round(self.n * f) for f in (0.5, 0.8, 1.25, 2.0, 3.0)) if n != self.n and n > 0]
        options = {
            "kind": list(KINDS),
            "x": [self.x, *draw.sample(away, min(3, len(away)))],
            "y": [self.y, *draw.sample(away, min(3, len(away)))],
            "groups": ["1", "2", "3", "4"],
            "direction": list(DIRECTIONS),
            "n": [str(self.n), *map(str, draw.sample(sorted(set(near)), min(3, len(set(near)))))],
        }
        for listed in options.values():
            draw.shuffle(listed)
        return [Field(name, tuple(listed)) for name, listed in options.items()]


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Time to an event."""

    time: NDArray[np.float64]
    event: NDArray[np.float64]
    """1 where it was seen."""
    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class Table:
    """A data set as columns: numbers, and labels with two to four levels that are drawn as groups."""

    name: str
    numbers: Mapping[str, NDArray[np.float64]]
    labels: Mapping[str, NDArray[np.str_]]
    survival: FollowUp | None


@lru_cache(maxsize=32)
def read_table(folder: Path) -> Table:
    """A converted data set as columns.

    Args:
        folder: with card.json and samples.parquet, and where there is one matrix.parquet.
    """
    import pyarrow.parquet as parquet

    card: dict[str, Any] = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    samples = parquet.read_table(folder / "samples.parquet").to_pydict()
    survival = card.get("survival") or None
    outcome = {survival["time"], survival["event"]} if survival else set()
    numbers: dict[str, NDArray[np.float64]] = {}
    labels: dict[str, NDArray[np.str_]] = {}
    outcomes: dict[str, NDArray[np.float64]] = {}
    for name, values in samples.items():
        if name == "sample":
            continue
        if all(v is None or isinstance(v, int | float) for v in values):
            column = np.array([np.nan if v is None else float(v) for v in values])
            if name in outcome:
                outcomes[name] = column
            elif len(np.unique(column[~np.isnan(column)])) >= 8:
                numbers[name] = column
        else:
            labels[name] = np.array(["" if v is None else str(v) for v in values])
    if (folder / "matrix.parquet").is_file():
        numbers |= _features(folder, samples["sample"])
    followed = None
    if survival:
        followed = FollowUp(outcomes[survival["time"]], outcomes[survival["event"]], survival["event"],
                            survival.get("unit", ""))  # fmt: skip
    return Table(folder.name, numbers, labels, followed)


def _features(folder: Path, samples: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    import pyarrow.parquet as parquet

    whole = parquet.read_table(folder / "matrix.parquet")
    names = whole.column("feature").to_pylist()
    rows = sorted(random.Random(folder.name).sample(range(len(names)), min(FEATURES, len(names))))  # noqa: S311
    chosen = whole.take(rows)
    matrix = np.array([chosen.column(s).to_numpy(zero_copy_only=False) for s in samples], float)
    return {f"{names[row]} expression": matrix[:, i] for i, row in enumerate(rows)}


def draw_plot(table: Table, number: int) -> tuple[Plot, bytes]:
    """Figure `number` of a data set: what it shows, and the PNG."""
    draw = random.Random(f"{table.name}:{number}")  # noqa: S311
    makers = [_scatter, _histogram]
    if table.labels:
        makers += [_boxes, _bars]
    if table.survival and table.labels:
        makers.append(_survival)
    make, wanted = draw.choice(makers), draw.random() < WANTED
    found: tuple[Content, Any] | None = None
    for _ in range(TRIES):
        # A maker needs columns with enough values; one that finds none in its tries leaves it to the histogram.
        found = make(table, draw) or found
        if found is not None and (found[0]["direction"] != "neither" or not wanted):
            break
    found = found or _histogram(table, draw)
    if found is None:
        raise ValueError(f"{table.name} has no columns to draw")
    plot = _plot(table, number, found[0], draw)
    return plot, _png(plot, found[1], draw)


Content = dict[str, Any]


def _plot(table: Table, number: int, content: Content, draw: random.Random) -> Plot:
    others = tuple(sorted({*table.numbers, *table.labels}))
    plot = Plot(id=f"{table.name}-{number}", dataset=table.name, legend="", others=others, **content)
    return Plot(**{**asdict(plot), "groups": plot.groups, "others": others, "legend": _legend(plot, draw)})


def _legend(plot: Plot, draw: random.Random) -> str:
    """Text under the figure: some of its content."""
    said = []
    if draw.random() < 0.5:
        said.append(f"{plot.kind.capitalize()}.")
    if draw.random() < 0.5:
        said.append(f"{plot.y} by {plot.x}.")
    if draw.random() < 0.4 and len(plot.groups) > 1:
        said.append(f"Groups: {', '.join(plot.groups)}.")
    if draw.random() < 0.3:
        said.append(f"n = {plot.n}.")
    if draw.random() < 0.1 and plot.direction != "neither":
        said.append(f"The measure {plot.direction}.")
    return " ".join([f"Figure {draw.randint(1, 9)}.", *said])


def _some(values: NDArray[Any], draw: random.Random) -> NDArray[np.intp]:
    """Rows with a value, a random share of them."""
    there = np.flatnonzero(~np.isnan(values) if values.dtype.kind == "f" else values != "")
    share = draw.choice((0.4, 0.6, 0.8, 1.0))
    kept = max(LEAST, round(share * len(there)))
    order = np.random.default_rng(draw.randrange(2**31)).permutation(there)
    return np.sort(order[:kept])


def _levels(labels: NDArray[np.str_], draw: random.Random) -> list[str]:
    """Two to four levels of a column that enough samples have, in alphabetical order."""
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    enough = [str(n) for n, c in zip(names, counts, strict=True) if c >= 5]
    if len(enough) < 2:
        return []
    return sorted(draw.sample(enough, min(len(enough), draw.randint(2, MOST_GROUPS))))


def _scatter(table: Table, draw: random.Random) -> tuple[Content, Any] | None:
    from scipy.stats import spearmanr

    names = sorted(table.numbers)
    if len(names) < 2:
        return None
    x, y = draw.sample(names, 2)
    rows = _some(table.numbers[x] + table.numbers[y], draw)
    if len(rows) < LEAST:
        return None
    a, b = table.numbers[x][rows], table.numbers[y][rows]
    if not np.ptp(a) or not np.ptp(b):
        return None
    slope = float(spearmanr(a, b).statistic)
    content = {"kind": "scatter plot", "x": x, "y": y, "groups": ("all",), "direction": _sign(slope), "n": len(rows)}

    def paint(axes: Any, colours: Sequence[str]) -> None:
        axes.scatter(a, b, s=draw.choice((6, 12, 24)), color=colours[0], alpha=draw.choice((0.4, 0.8)))

    return content, paint


def _histogram(table: Table, draw: random.Random) -> tuple[Content, Any] | None:
    if not table.numbers:
        return None
    x = draw.choice(sorted(table.numbers))
    rows = _some(table.numbers[x], draw)
    if len(rows) < LEAST:
        return None
    values = table.numbers[x][rows]
    content = {"kind": "histogram", "x": x, "y": "number of samples", "groups": ("all",), "direction": "neither",
               "n": len(rows)}  # fmt: skip

    def paint(axes: Any, colours: Sequence[str]) -> None:
        axes.hist(values, bins=draw.choice((8, 15, 25)), color=colours[0], edgecolor=draw.choice(("white", "black")))

    return content, paint


def _boxes(table: Table, draw: random.Random) -> tuple[Content, Any] | None:
    return _grouped(table, draw, "box plot")


def _bars(table: Table, draw: random.Random) -> tuple[Content, Any] | None:
    return _grouped(table, draw, "bar chart")


def _grouped(table: Table, draw: random.Random, kind: str) -> tuple[Content, Any] | None:
    """A measure by groups; the direction is from the first group to the last, in deviations of the measure."""
    x = draw.choice(sorted(table.labels))
    if not table.numbers:
        return None
    y = draw.choice(sorted(table.numbers))
    levels = _levels(table.labels[x], draw)
    rows = _some(table.numbers[y], draw)
    rows = rows[np.isin(table.labels[x][rows], levels)]
    parts = [table.numbers[y][rows][table.labels[x][rows] == level] for level in levels]
    if len(levels) < 2 or min(map(len, parts)) < 3:
        return None
    spread = float(np.std(table.numbers[y][rows]))
    middle = np.median if kind == "box plot" else np.mean
    step = float(middle(parts[-1]) - middle(parts[0])) / spread if spread else 0.0
    content = {"kind": kind, "x": x, "y": y, "groups": tuple(levels), "direction": _sign(step), "n": len(rows)}

    def paint(axes: Any, colours: Sequence[str]) -> None:
        if kind == "bar chart":
            axes.bar(levels, [float(np.mean(p)) for p in parts], color=colours, yerr=[float(np.std(p)) for p in parts])
            return
        drawn = axes.boxplot(parts, tick_labels=levels, patch_artist=True)
        for patch, colour in zip(drawn["boxes"], colours, strict=False):
            patch.set_facecolor(colour)

    return content, paint


def _survival(table: Table, draw: random.Random) -> tuple[Content, Any] | None:
    """Kaplan-Meier curves; the direction is from the first group to the last, of the mean share left over time."""
    from scipy.stats import CensoredData, ecdf

    assert table.survival is not None  # noqa: S101  (asked by the caller)
    followed = table.survival
    x = draw.choice(sorted(table.labels))
    levels = _levels(table.labels[x], draw)
    rows = _some(followed.time + followed.event, draw)
    rows = rows[np.isin(table.labels[x][rows], levels)]
    curves, lasts = [], []
    for level in levels:
        mine = rows[table.labels[x][rows] == level]
        if len(mine) < 5:
            return None
        t, e = followed.time[mine], followed.event[mine].astype(bool)
        curve = ecdf(CensoredData(uncensored=t[e], right=t[~e])).sf if e.any() else None
        curves.append(curve)
        lasts.append(float(t.max()))
    if len(levels) < 2:
        return None
    shared = np.linspace(0, min(lasts), 20)  # as far as every group was followed
    left = [1.0 if curve is None else float(np.mean(curve.evaluate(shared))) for curve in curves]
    content = {"kind": "survival curves", "x": f"time ({followed.unit})", "y": f"share without {followed.name}",
               "groups": tuple(levels), "direction": _sign((left[-1] - left[0]) * 3), "n": len(rows)}  # fmt: skip

    def paint(axes: Any, colours: Sequence[str]) -> None:
        longest = float(np.nanmax(followed.time[rows]))
        for level, curve, colour in zip(levels, curves, colours, strict=False):
            at = np.array([0.0, longest]) if curve is None else np.append(0.0, curve.quantiles)
            share = np.ones(2) if curve is None else np.append(1.0, curve.probabilities)
            axes.step(at, share, where="post", color=colour, label=level, linewidth=draw.choice((1.2, 2.0)))
        axes.set_ylim(0, 1.03)
        axes.legend(fontsize=7)

    return content, paint


def _sign(value: float) -> str:
    return "rises" if value > CLEAR else "falls" if value < -CLEAR else "neither"


PALETTES = (
    ("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    ("#1b9e77", "#d95f02", "#7570b3", "#e7298a"),
    ("#444444", "#999999", "#bbbbbb", "#777777"),
)


def _png(plot: Plot, paint: Any, draw: random.Random) -> bytes:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with mpl.rc_context({"font.size": draw.choice((8, 9, 10)), "figure.constrained_layout.use": True}):
        figure, axes = pyplot.subplots(figsize=(INCHES * draw.choice((1.0, 1.3)), INCHES), dpi=DPI)
        paint(axes, draw.choice(PALETTES))
        axes.set_xlabel(plot.x)
        axes.set_ylabel(plot.y)
        if draw.random() < 0.8:
            axes.set_title(f"n = {plot.n}")
        if draw.random() < 0.5:
            axes.spines[["top", "right"]].set_visible(False)
        kept = io.BytesIO()
        figure.savefig(kept, format="png", metadata={"Software": "labwright"}, facecolor="white")
        pyplot.close(figure)
    return kept.getvalue()


def make_plots(tables: Sequence[Table], each: int, folder: Path) -> list[Plot]:
    """Draw `each` figures of every data set into a folder; figures that are there are not drawn again.

    Returns:
        What they show, data set after data set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / "plots.jsonl"
    known = {}
    if listed.is_file():
        for line in listed.read_text(encoding="utf-8").splitlines():
            held = json.loads(line)
            known[held["id"]] = Plot(**{**held, "groups": tuple(held["groups"]), "others": tuple(held["others"])})
    plots = []
    with listed.open("a", encoding="utf-8") as out:
        for table in tables:
            for number in range(each):
                name = f"{table.name}-{number}"
                if name not in known or not (folder / f"{name}.png").is_file():
                    known[name], image = draw_plot(table, number)
                    (folder / f"{name}.png").write_bytes(image)
                    out.write(json.dumps(asdict(known[name])) + "\n")
                plots.append(known[name])
    return plots


def pictures_sha256(plots: Sequence[Plot]) -> str:
    """Hash of what the figures show, which decides how they are drawn."""
    return hashlib.sha256("\n".join(json.dumps(asdict(p), sort_keys=True) for p in plots).encode()).hexdigest()
