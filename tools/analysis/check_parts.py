"""Checks that hold for every operator: ranges of tables, FDR, figures that show something, findings that cite cells.

A check is a mapping with `check`, `passed` and `detail`. Statistics are recomputed in `checks_*.py`, by other
code than the operator's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from labwright.tools.analysis.contract_types import OperatorContract
from labwright.tools.analysis.findings import look_up, read_table
from labwright.tools.analysis.study import Study

Check = dict[str, Any]
MIN_WIDTH, MIN_HEIGHT = 600, 400
_SHARES = ("p", "fdr", "ph_p", "auc", "concordance", "permutation_p", "log_rank_p")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w]|\.\d)")
_CONSTANTS = frozenset({0.0, 0.5, 1.0, 95.0})
"""Numbers that statements use as explanation ("0.5 is chance", "95% CI")."""


@dataclass(slots=True)
class Evidence:
    """What is checked: the data, the parameters, the outputs."""

    study: Study
    """The data set; its `out` is a scratch path that is never written to."""
    params: Mapping[str, Any]
    """As `validate_params` returned them."""
    out: Path
    """Outputs of the operator."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Tables read so far."""

    def table(self, name: str) -> pd.DataFrame:
        """A table of the outputs."""
        if name not in self.tables:
            self.tables[name] = read_table(self.out / name)
        return self.tables[name]

    def pick(self, n: int, size: int = 20) -> list[int]:
        """Row numbers for a recomputation: the first ones and random others, always the same."""
        first = list(range(min(n, size // 2)))
        rest = np.random.default_rng(20260101).permutation(np.arange(len(first), n))[: size - len(first)]
        return [*first, *sorted(int(i) for i in rest)]


def verdict(name: str, passed: object, detail: str = "") -> Check:
    """One result.

    Args:
        name: what was checked.
        passed: whether it holds.
        detail: numbers behind it.

    Returns:
        The mapping that `check` lists.
    """
    return {"check": name, "passed": bool(passed), "detail": detail}


def close(name: str, found: object, expected: object, *, rtol: float = 1e-3, atol: float = 1e-6) -> Check:
    """Compare numbers with a recomputation; missing values must be missing in both.

    Args:
        name: what was compared.
        found: values of the outputs.
        expected: recomputed values.
        rtol: relative tolerance.
        atol: absolute tolerance.

    Returns:
        The verdict, with the largest deviation.
    """
    a, b = np.atleast_1d(np.asarray(found, dtype=float)), np.atleast_1d(np.asarray(expected, dtype=float))
    if a.shape != b.shape:
        return verdict(name, False, f"{a.shape} values, expected {b.shape}")
    equal = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    worst = int(np.argmin(equal)) if not equal.all() else 0
    shown = f"{a[worst]:.6g} against {b[worst]:.6g}" if len(a) else "no value"
    return verdict(name, len(a) and equal.all(), f"{int(equal.sum())} of {len(a)} agree; e.g. {shown}")


def check_files(contract: OperatorContract, out: Path) -> Iterator[Check]:
    """Every declared output is there and not empty.

    Args:
        contract: the operator.
        out: its outputs.

    Yields:
        One verdict per output.
    """
    for spec in contract.outputs:
        path = out / spec.name
        yield verdict(f"{spec.name} exists", path.is_file() and path.stat().st_size > 0)


def check_figure(path: Path) -> Check:
    """A figure decodes, is large enough and shows something.

    Args:
        path: the PNG file.

    Returns:
        The verdict.
    """
    try:
        pixels = np.asarray(matplotlib.image.imread(path, format="png"), dtype=float)[..., :3]
    except (OSError, SyntaxError, ValueError, IndexError) as error:
        return verdict(f"{path.name} decodes", False, str(error))
    height, width = pixels.shape[:2]
    inked = float((pixels.min(axis=-1) < 0.9).mean())
    tones = len(np.unique((pixels[::3, ::3] * 31).astype(int).reshape(-1, 3), axis=0))
    good = width >= MIN_WIDTH and height >= MIN_HEIGHT and 0.002 < inked < 0.98 and tones >= 8
    return verdict(f"{path.name} shows something", good, f"{width} x {height}, {inked:.1%} inked, {tones} tones")


def check_ranges(name: str, table: pd.DataFrame) -> Iterator[Check]:
    """Probabilities and concordances lie in [0, 1]; no infinite number anywhere.

    Args:
        name: file name of the table.
        table: the table.

    Yields:
        One verdict per column that has a range, and one for the rest.
    """
    yield verdict(f"{name} has rows", len(table) > 0, f"{len(table)} rows")
    for column in _SHARES:
        if column in table:
            values = pd.to_numeric(table[column], errors="coerce").dropna()
            unread = int(table[column].notna().sum()) - len(values)
            yield verdict(
                f"{name}: {column} in [0, 1]", unread == 0 and values.between(0, 1).all(), f"{len(values)} values"
            )
    numbers = table.select_dtypes("number").to_numpy(dtype=float)
    yield verdict(f"{name}: finite", not np.isinf(numbers).any())


def check_fdr(name: str, table: pd.DataFrame, by: str | None = None) -> Check:
    """The FDR column is Benjamini and Hochberg's adjustment of the p column, over the tested rows.

    Args:
        name: file name of the table.
        table: columns p and fdr.
        by: column of families that are adjusted apart, or None.

    Returns:
        The verdict.
    """
    parts = [part for _, part in table.groupby(by, sort=False)] if by else [table]
    found, expected = [], []
    for part in parts:
        tested = part[part["fdr"].notna()]
        if len(tested):
            found.append(tested["fdr"].to_numpy(dtype=float))
            expected.append(false_discovery_control(tested["p"].to_numpy(dtype=float)))
    if not found:
        return verdict(f"{name}: FDR recomputed", False, "no tested row")
    return close(f"{name}: FDR recomputed", np.concatenate(found), np.concatenate(expected), atol=1e-300)


def check_findings(contract: OperatorContract, evidence: Evidence) -> Iterator[Check]:
    """Every finding points to one cell, its value is that cell, and its statement's numbers are of that row.

    Args:
        contract: the operator.
        evidence: the outputs.

    Yields:
        Verdicts on the document and on each finding.
    """
    document = json.loads((evidence.out / "findings.json").read_text(encoding="utf-8"))
    of_task = (document["operator"], document["dataset"]) == (contract.name, evidence.study.card["id"])
    yield verdict("findings.json names the operator and the data set", of_task)
    findings = document["findings"]
    yield verdict("findings.json holds findings", len(findings) > 0, f"{len(findings)}")
    tables = {spec.name for spec in contract.outputs if spec.type == "table"}
    for finding in findings:
        yield _check_finding(finding, evidence.out, tables)


def _check_finding(finding: Mapping[str, Any], out: Path, tables: set[str]) -> Check:
    name = f"finding {finding['id']} equals its cell"
    if finding["file"] not in tables:
        return verdict(name, False, f"{finding['file']} is no output table")
    try:
        row = look_up(out / finding["file"], finding["where"]["row"])
        value = row[finding["where"]["column"]]
    except (KeyError, ValueError) as error:
        return verdict(name, False, str(error))
    same = isinstance(finding["value"], int | float) and np.isclose(float(finding["value"]), float(value), rtol=1e-9)
    if not same:
        return verdict(name, False, f"{finding['value']} in the finding, {value} in the table")
    strange = _strange_numbers(str(finding["statement"]), row)
    return verdict(name, not strange, f"numbers not in the row: {strange}" if strange else f"{value}")


def _strange_numbers(statement: str, row: Mapping[str, Any]) -> list[str]:
    """Decimal numbers of a statement that no cell of its row rounds to."""
    values = [float(v) for v in row.values() if isinstance(v, int | float)]
    for text in row.values():
        if isinstance(text, str) and text:
            statement = statement.replace(text, " ")
    strange = []
    for token in _NUMBER.findall(statement):
        number = float(token)
        if ("." not in token and "e" not in token) or number in _CONSTANTS:
            continue
        mantissa, _, power = token.partition("e")
        unit = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
        if not any(abs(number - v) <= 0.501 * unit + 1e-9 * abs(v) for v in values):
            strange.append(token)
    return strange
