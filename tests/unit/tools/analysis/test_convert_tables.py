"""A user's own tables: what is read, and what is refused in a line that names the place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labwright.tools.analysis.convert import convert
from labwright.tools.analysis.convert_tables import read_tables
from labwright.tools.analysis.study import open_study

SAMPLES = "patient,er,days,died\na,neg,10,no\nb,pos,20,yes\nc,pos,NA,no\n"
MATRIX = "gene\ta\tb\tc\textra\nTP53\t1\t2\t4\t9\nMYC\t\t5\t6\t9\n"


def source(*names: str, scale: str = "log2", column: str = "") -> dict:
    return {"members": [{"name": n} for n in names], "scale": scale, "sample_column": column}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s.csv").write_text(SAMPLES)
    (tmp_path / "m.tsv").write_text(MATRIX)
    with gzip.open(tmp_path / "m.tsv.gz", "wt") as file:
        file.write(MATRIX)
    return tmp_path


@pytest.mark.parametrize("matrix", ["m.tsv", "m.tsv.gz"])
def test_samples_in_their_order_and_nobody_else(folder: Path, matrix: str) -> None:
    raw = read_tables(source("s.csv", matrix), folder)
    assert list(raw.samples.index) == ["a", "b", "c"]
    assert raw.matrix is not None
    assert raw.matrix.loc["TP53"].tolist() == [1, 2, 4]
    assert np.isnan(raw.matrix.loc["MYC", "a"])
    assert read_tables(source("s.csv", matrix, scale="linear"), folder).matrix.loc["TP53", "a"] == 1.0  # type: ignore[union-attr]


def test_counts_are_whole_and_there(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"m\.tsv holds values that are missing or no whole numbers"):
        read_tables(source("s.csv", "m.tsv", scale="counts"), folder)
    (folder / "m.tsv").write_text(MATRIX.replace("MYC\t\t", "MYC\t0\t"))
    counts = read_tables(source("s.csv", "m.tsv", scale="counts"), folder).matrix
    assert counts is not None
    assert (counts.dtypes == np.int64).all()


@pytest.mark.parametrize(
    ("samples", "matrix", "column", "message"),
    [
        (SAMPLES, MATRIX, "subject", r"s\.csv has no column 'subject'; it has patient, er, days, died"),
        (SAMPLES.replace("b,", "a,", 1), MATRIX, "", r"stand twice: a"),
        (SAMPLES.replace("b,", ",", 1), MATRIX, "", r"empty"),
        (SAMPLES.replace("b,", "z,", 1), MATRIX, "", r"m\.tsv has no column for 1 samples of s\.csv: z"),
        (SAMPLES, MATRIX.replace("5", "high"), "", r"m\.tsv holds what is no number: high"),
        (SAMPLES, MATRIX.replace("extra", "b"), "", r"m\.tsv: names of its columns stand twice: b"),
        ("", MATRIX, "", r"s\.csv is no table"),
        ("a,b\n1,2\n1,2,3,4\n", MATRIX, "", r"s\.csv is no table"),
    ],
)
def test_tables_that_are_not_what_they_should_be(
    folder: Path, samples: str, matrix: str, column: str, message: str
) -> None:
    (folder / "s.csv").write_text(samples)
    (folder / "m.tsv").write_text(matrix)
    with pytest.raises(ValueError, match=message):
        read_tables(source("s.csv", "m.tsv", column=column), folder)


def test_negative_values_are_neither_linear_nor_counts(folder: Path) -> None:
    (folder / "m.tsv").write_text(MATRIX.replace("MYC\t\t", "MYC\t-1\t"))
    for scale in ("linear", "counts"):
        with pytest.raises(ValueError, match="holds negative values"):
            read_tables(source("s.csv", "m.tsv", scale=scale), folder)


def test_a_card_and_its_tables_become_a_study(folder: Path, tmp_path: Path) -> None:
    card = {
        "id": "mine",
        "kind": "expression_survival",
        "organism": "Homo sapiens",
        "assay": "RNA-seq",
        "columns": {
            "er": {"type": "categorical", "recode": {"neg": "negative", "pos": "positive"}},
            "days": {"type": "time"},
            "death": {"type": "event", "from": "died", "recode": {"no": 0, "yes": 1}},
        },
        "survival": {"time": "days", "event": "death"},
        "source": {"reader": "tables", **source("s.csv", "m.tsv")},
    }
    out = tmp_path / "out"
    out.mkdir()
    convert(card, folder, out)
    counted = json.loads((out / "card.json").read_text())
    assert counted["groups"] == {"er": {"negative": 1, "positive": 2}}
    assert counted["missing"] == {"er": 0, "days": 1, "death": 0}
    study = open_study(out)
    pd.testing.assert_frame_equal(
        study.outcome(),
        pd.DataFrame({"time": [10.0, 20.0], "event": [0.0, 1.0]}, index=pd.Index(["a", "b"], name="sample")),
    )
