"""Annotation files, read and checked: long or wide CSV, or JSON of the JUDGE-BENCH form.

Long: a row a label, columns `item`, `source` (human or machine) and `label`; `rater` and `criterion` may be there.
Wide: a row an item, columns `item`, `human_...` and `machine_...`; `criterion` may be there; an empty cell is no label.
JSON: {"annotations": [{metric, category, worst, best}], "instances": [{id, annotations: {metric: {
individual_human_scores: [...]}}}]}; machine labels may stand beside them as individual_machine_scores.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labwright.errors import WrongUse
from labwright.eval.judge_labels import Annotations, Kind, Label, checked

MOST_BYTES = 200_000_000
MOST_LABELS = 50
"""A scale with more labels than this is no scale but free text or a continuous score."""
_WHOLE_AS_FLOAT = re.compile(r"^(-?\d+)\.0+$")
_FRACTION = re.compile(r"-?\d*\.\d+")
SOURCES = {"human": 0, "machine": 1}
HOW = "see docs/judges.md for the two forms"


@dataclass(slots=True)
class _Criterion:
    """Labels of one criterion while the file is read: item to its labels by people and by the judge."""

    rows: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    seen: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, item: str, source: int, label: str) -> None:
        """One label."""
        self.rows.setdefault(item, ([], []))[source].append(label)


def read_annotations(path: Path, *, kind: Kind | None = None, scale: str = "") -> dict[str, Annotations]:
    """Read a file.

    Args:
        path: CSV in UTF-8, or .json.
        kind: by default ordinal where every label is a whole number, else categorical.
        scale: the labels in order: `1:5` or `no,maybe,yes`; by default the smallest to the largest number, or the
            labels in alphabetical order. State it: a label that nobody used is part of the scale too.

    Returns:
        Criterion to its annotations; one criterion named "" where the file has none.

    Raises:
        WrongUse: the file cannot be read, has no such form, or a label is outside the scale.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise WrongUse(f"{path}: larger than {MOST_BYTES // 10**6} MB; split it by criterion")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path}: cannot be read as UTF-8 text: {error}") from error
    if path.suffix.casefold() == ".json":
        return _judge_bench(path, text)
    found = _csv(path, text)
    return {name: _checked(path, name, rows, kind, scale) for name, rows in found.items()}


def _csv(path: Path, text: str) -> dict[str, _Criterion]:
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        columns = [c.strip().casefold() for c in reader.fieldnames or ()]
        if len(set(columns)) != len(columns):
            raise WrongUse(f"{path}: a column name stands twice in the first line; {HOW}")
        reader.fieldnames = columns
        long = {"item", "source", "label"} <= set(columns)
        found = _long(path, reader) if long else _wide(path, reader, columns)
    except csv.Error as error:
        raise WrongUse(f"{path}: no CSV: {error}; {HOW}") from error
    if not any(c.rows for c in found.values()):
        raise WrongUse(f"{path}: no label in it; {HOW}")
    return found


def _long(path: Path, reader: csv.DictReader[str]) -> dict[str, _Criterion]:
    found: dict[str, _Criterion] = {}
    for row in reader:
        item, source, label = (_cell(row, c) for c in ("item", "source", "label"))
        where = f"{path} line {reader.line_num}"
        if None in row or not item or source.casefold() not in SOURCES:
            raise WrongUse(f"{where}: needs an item, a source that is human or machine, and a label; {HOW}")
        if not label:
            continue
        criterion = found.setdefault(_cell(row, "criterion"), _Criterion())
        rater = _cell(row, "rater")
        key = (item, source.casefold(), rater)
        if rater and source.casefold() == "human" and key in criterion.seen:
            raise WrongUse(f"{where}: rater {rater!r} labelled item {item!r} twice; keep one, or name another rater")
        criterion.seen.add(key)
        criterion.add(item, SOURCES[source.casefold()], label)
    return found


def _wide(path: Path, reader: csv.DictReader[str], columns: Sequence[str]) -> dict[str, _Criterion]:
    raters = {c: source for c in columns for name, source in SOURCES.items() if c == name or c.startswith(f"{name}_")}
    unknown = [c for c in columns if c not in raters and c not in ("item", "criterion")]
    if "item" not in columns or 0 not in raters.values() or unknown:
        wrong = f"columns {', '.join(map(repr, unknown))} are none of them" if unknown else "they are not there"
        raise WrongUse(f"{path}: needs columns item,source,label or item,human_...,machine_...; {wrong}; {HOW}")
    found: dict[str, _Criterion] = {}
    for row in reader:
        item = _cell(row, "item")
        criterion = found.setdefault(_cell(row, "criterion"), _Criterion())
        where = f"{path} line {reader.line_num}"
        if None in row or not item:
            raise WrongUse(f"{where}: no item, or more cells than columns; {HOW}")
        if item in criterion.rows:
            raise WrongUse(f"{where}: item {item!r} stands twice; one row an item, or the long form")
        for column, source in raters.items():
            if label := _cell(row, column):
                criterion.add(item, source, label)
    return found


def _cell(row: dict[str, Any], column: str) -> str:
    return str(row.get(column) or "").strip()


def _checked(path: Path, name: str, found: _Criterion, kind: Kind | None, scale: str) -> Annotations:
    for pair in found.rows.values():
        for group in pair:
            group[:] = [_WHOLE_AS_FLOAT.sub(r"\1", label) for label in group]  # 3.0 is how tables with gaps write 3
    given = [label for pair in found.rows.values() for group in pair for label in group]
    numbers = all(_whole(label) for label in given)
    if kind is None and not numbers:
        _refuse_mixture(path, given)
    kind = kind or ("ordinal" if numbers else "categorical")
    if kind == "ordinal" and not numbers:
        odd = next(label for label in given if not _whole(label))
        raise WrongUse(f"{path}: {odd!r} is no whole number, which ordinal labels are; use --kind categorical")
    as_label = int if kind == "ordinal" else str
    labels: list[Label] = _scale(path, scale, given, kind)
    if len(labels) > MOST_LABELS:
        raise WrongUse(f"{path}: {len(labels)} different labels are no scale; bin them first (at most {MOST_LABELS})")
    try:
        return checked(
            [[as_label(x) for x in pair[0]] for pair in found.rows.values()],
            [[as_label(x) for x in pair[1]] for pair in found.rows.values()],
            labels,
            kind,
            items=list(found.rows),
        )
    except WrongUse as error:
        about = f", criterion {name}" if name else ""
        raise WrongUse(f"{path}{about}: {error}; --scale states the labels") from error


def _refuse_mixture(path: Path, given: Sequence[str]) -> None:
    """A scale with one odd label is more likely a slip than a set of categories."""
    odd = next((x for x in given if not _whole(x)), "")
    fraction = next((x for x in given if _FRACTION.fullmatch(x)), "")
    if fraction or any(_whole(x) for x in given):
        raise WrongUse(
            f"{path}: the label {fraction or odd!r} stands among numbers and is no whole number; leave the cell empty "
            "where there is no label, round, or take --kind categorical"
        )


def _whole(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 9


def _scale(path: Path, scale: str, given: Iterable[str], kind: Kind) -> list[Label]:
    if not scale:
        if kind == "ordinal":
            numbers = [int(x) for x in given]
            low, high = min(numbers), max(numbers)
            return list(range(low, min(high, low + MOST_LABELS) + 1))
        return sorted(set(given))
    low_text, colon, high_text = scale.partition(":")
    if colon and _whole(low_text) and _whole(high_text):
        span = range(int(low_text), int(high_text) + 1)[: MOST_LABELS + 1]
        return list(span) if kind == "ordinal" else [str(x) for x in span]
    named = [x.strip() for x in scale.split(",")]
    if kind == "ordinal" and not all(_whole(x) for x in named):
        raise WrongUse(f"{path}: --scale {scale}: give whole numbers such as 1:5, or --kind categorical")
    return [int(x) for x in named] if kind == "ordinal" else list(named)


def _judge_bench(path: Path, text: str) -> dict[str, Annotations]:
    out: dict[str, Annotations] = {}
    try:
        raw = json.loads(text)
        for metric in raw["annotations"]:
            name = str(metric["metric"])
            if metric["category"] != "graded":
                raise WrongUse(f"{path}: criterion {name} is {metric['category']}; write it as CSV, {HOW}")
            rated = [(str(i["id"]), i["annotations"][name]) for i in raw["instances"] if name in i["annotations"]]
            out[name] = checked(
                [[int(x) for x in a["individual_human_scores"]] for _, a in rated],
                [[int(x) for x in a.get("individual_machine_scores", ())] for _, a in rated],
                range(int(metric["worst"]), int(metric["best"]) + 1),
                "ordinal",
                items=[item for item, _ in rated],
            )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise WrongUse(f"{path}: no JSON of the JUDGE-BENCH form: {said}; {HOW}") from error
    if not out:
        raise WrongUse(f"{path}: no criterion in it; {HOW}")
    return out
