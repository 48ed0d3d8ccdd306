"""The reader of GEO series matrices. Runs inside the sandbox only."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labwright.tools.analysis.convert_raw import Raw

BEGIN, END = "!series_matrix_table_begin", "!series_matrix_table_end"


def read_series_matrix(source: Mapping[str, Any], folder: Path) -> Raw:
    """A series matrix: characteristics as sample columns, values on a log2 scale.

    Values that are not logarithms yet (by the rule that GEO2R applies to quantiles) are taken to log2;
    what is not positive is then missing. Features without any value are left out.

    Raises:
        ValueError: the file is cut off, or holds no values.
    """
    path = folder / str(source["members"][0]["name"])
    with gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="") as file:
        samples = _samples(file)
        lines = []
        for line in file:
            if line.startswith(END):
                break
            lines.append(line)
        else:
            raise ValueError(f"{path.name} is cut off: its table has no end")
    table = pd.read_csv(StringIO("".join(lines)), sep="\t", index_col=0, na_values=["null", "NULL"])
    matrix = table.apply(pd.to_numeric, errors="coerce").dropna(how="all")
    if matrix.empty:
        raise ValueError(f"{path.name} holds no values; sequencing series keep theirs in supplementary files")
    matrix = matrix.loc[~matrix.index.duplicated(), list(samples.index)]
    return Raw(samples, np.log2(matrix.where(matrix > 0)) if not _is_log(matrix) else matrix)


def _samples(file: Iterator[str]) -> pd.DataFrame:
    """The characteristics above the table, a row a sample; reads up to the table's first line."""
    names: list[str] = []
    found: list[dict[str, str]] = []
    for row in csv.reader(_until_table(file), delimiter="\t"):
        if row and row[0] == "!Sample_geo_accession":
            names = row[1:]
            found = [{} for _ in names]
        elif row and row[0] == "!Sample_characteristics_ch1":
            # One can stand in another row for another sample, so each goes by its own name.
            for sample, text in zip(found, row[1:], strict=False):
                key, colon, value = text.partition(":")
                if colon:
                    sample.setdefault(key.strip(), value.strip())
    if not names:
        raise ValueError("the file names no samples")
    return pd.DataFrame(found, index=pd.Index(names), dtype="object").fillna("")


def _until_table(file: Iterator[str]) -> Iterator[str]:
    for line in file:
        if line.startswith(BEGIN):
            return
        yield line
    raise ValueError("the file is cut off: it has no table")


def _is_log(matrix: pd.DataFrame) -> bool:
    """GEO2R's rule: a 99th percentile above 100, or a wide range above zero, means that it is not."""
    values = matrix.to_numpy(dtype=float)
    low, quarter, high, top = np.nanquantile(values, [0.0, 0.25, 0.99, 1.0])
    return not (high > 100 or (top - low > 50 and quarter > 0))
