"""The reader of a user's own tables: one of samples and, where there are features, one of those. Runs in the sandbox only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labwright.tools.analysis.convert_raw import Raw

NAMED = 5
"""Names that a message lists."""
MISSING = ("", "NA", "NaN", "nan", "null")
"""Of a value in the matrix."""


def read_tables(source: Mapping[str, Any], folder: Path) -> Raw:
    """A table with a row a sample and, as the second member, one with a row a feature and a column a sample.

    `sample_column` names the samples (the first column where it is empty); `scale` of the features is log2, linear
    (log2(x + 1) is taken) or counts.

    Raises:
        ValueError: a table is not rectangular, names a sample twice, or the two do not hold the same samples.
    """
    names = [str(member["name"]) for member in source["members"]]
    samples = _indexed(_table(folder / names[0]), str(source.get("sample_column") or ""), names[0])
    if len(names) == 1:
        return Raw(samples)
    table = _indexed(_table(folder / names[1], numeric=True), "", names[1])
    if lacking := [s for s in samples.index if s not in table.columns]:
        raise ValueError(f"{names[1]} has no column for {len(lacking)} samples of {names[0]}: {_listed(lacking)}")
    return Raw(samples, _scaled(_numbers(table[list(samples.index)], names[1]), str(source["scale"]), names[1]))


def _table(path: Path, *, numeric: bool = False) -> pd.DataFrame:
    """A table as texts; with `numeric`, what can be read as numbers behind the first column is numbers."""
    sep = "," if path.name.lower().removesuffix(".gz").endswith(".csv") else "\t"
    try:
        # Read first: the header alone says whether a name stands twice, which pandas would number in silence.
        head = pd.read_csv(path, sep=sep, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0]
        kinds = {0: str} if numeric else str
        table = pd.read_csv(
            path, sep=sep, dtype=kinds, keep_default_na=False, na_values=list(MISSING) if numeric else []
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError, EOFError) as error:
        raise ValueError(f"{path.name} is no table: {' '.join(str(error).split())}") from error
    if len(twice := head[head.duplicated()]):
        raise ValueError(f"{path.name}: names of its columns stand twice: {_listed(list(twice))}")
    return table


def _indexed(table: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    if column and column not in table.columns:
        raise ValueError(f"{name} has no column {column!r}; it has {_listed(table.columns)}")
    made = table.set_index(column or table.columns[0])
    made.index = made.index.str.strip()
    twice = made.index[made.index.duplicated()]
    if len(twice) or (made.index == "").any():
        raise ValueError(f"{name}: names of its rows are empty or stand twice: {_listed(twice) or 'empty'}")
    return made


def _numbers(table: pd.DataFrame, name: str) -> pd.DataFrame:
    texts = table.select_dtypes(exclude="number")
    wrong = [value for _, column in texts.items() for value in column.dropna() if not _is_number(value)]
    if wrong:
        raise ValueError(f"{name} holds what is no number: {_listed(list(dict.fromkeys(wrong)))}")
    return table.apply(pd.to_numeric).dropna(how="all").astype(float)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _scaled(matrix: pd.DataFrame, scale: str, name: str) -> pd.DataFrame:
    values = matrix.to_numpy()
    if scale == "log2":
        return matrix
    if np.nanmin(values) < 0:
        raise ValueError(f"{name} holds negative values, which {scale} values are not")
    if scale == "linear":
        return np.log2(matrix + 1.0)
    if np.isnan(values).any() or (values != np.rint(values)).any() or values.max() >= 2**31:
        raise ValueError(f"{name} holds values that are missing or no whole numbers, so they are no counts")
    return matrix.astype(np.int64)


def _listed(names: Sequence[Any]) -> str:
    shown = ", ".join(map(str, list(names)[:NAMED]))
    return f"{shown}, ..." if len(names) > NAMED else shown
