"""Findings: statements whose every number is read back from a table the operator has written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from labwright.tools.analysis.study import Study

FILE = "findings.json"
Direction = Literal["up", "down", "none"]
Finding = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Where in the written tables a value stands."""

    table: str
    """File name of the table."""
    row: dict[str, Any]
    """Key columns and their values; must name one row."""
    column: str
    """Column of the value."""


@dataclass(slots=True)
class Ledger:
    """Collects findings of one operator and writes them."""

    study: Study
    operator: str
    n: int
    """Samples that entered the analysis."""
    findings: list[Finding] = field(default_factory=list)

    def add(self, statement: str, cell: Cell, *, unit: str = "", direction: Direction = "none") -> None:
        """Add a finding.

        Args:
            statement: text with the columns of the row as format fields, such as `{p:.2g}`.
            cell: where the value stands.
            unit: unit of the value, empty for a plain number.
            direction: whether the value says more or less than the reference.

        Raises:
            ValueError: the cell names no row, or more than one.
        """
        row = look_up(self.study.out / cell.table, cell.row)
        value = row[cell.column]
        self.findings.append(
            {
                "id": f"{self.operator}_{len(self.findings) + 1}",
                "statement": statement.format(**row),
                "value": value,
                "unit": unit,
                "file": cell.table,
                "where": {"row": cell.row, "column": cell.column},
                "direction": direction,
            }
        )

    def write(self) -> list[Finding]:
        """Write `findings.json`.

        Returns:
            The findings, as written.
        """
        document = {
            "operator": self.operator,
            "dataset": self.study.card["id"],
            "n": self.n,
            "findings": self.findings,
        }
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        (self.study.out / FILE).write_text(text + "\n", encoding="utf-8")
        return self.findings


def write_table(study: Study, frame: pd.DataFrame, name: str) -> None:
    """Write a table as CSV with ten significant digits.

    Args:
        study: whose output folder receives it.
        frame: the table; its index is dropped.
        name: file name.
    """
    _read.cache_clear()
    frame.to_csv(study.out / name, index=False, float_format="%.10g", lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    """Read a written table; names such as "NA" or "none" stay text.

    Args:
        path: the CSV file.

    Returns:
        The table, empty cells as missing.
    """
    return pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)


@lru_cache(maxsize=4)
def _read(path: Path) -> pd.DataFrame:
    return read_table(path)


def look_up(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    """The one row of a written table that matches the key columns.

    Args:
        path: the CSV file.
        row: key columns and values.

    Returns:
        Column to value, as plain Python values; missing is None.

    Raises:
        ValueError: no row or several rows match.
    """
    table = _read(path)
    mask = pd.Series(True, index=table.index)
    for column, value in row.items():
        mask &= table[column].astype(str) == str(value)
    if int(mask.sum()) != 1:
        raise ValueError(f"{path.name} has {int(mask.sum())} rows for {row}, needed is one")
    number = int(mask.to_numpy().argmax())
    found = {str(name): table[name].iloc[number] for name in table.columns}
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in found.items()}
    return {name: None if isinstance(value, float) and value != value else value for name, value in plain.items()}
