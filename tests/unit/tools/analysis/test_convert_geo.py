"""GEO series matrices: characteristics, log scale, and files that cannot be used."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

pd = pytest.importorskip("pandas")

from labwright.tools.analysis.convert_geo import read_series_matrix  # noqa: E402

HEAD = (
    '!Series_title\t"A series"\n\n'
    '!Sample_title\t"one"\t"two"\t"three"\n'
    '!Sample_geo_accession\t"GSM1"\t"GSM2"\t"GSM3"\n'
    '!Sample_characteristics_ch1\t"treatment: drug"\t"treatment: none"\t"age: 60"\n'
    '!Sample_characteristics_ch1\t"age: 50"\t"age: 55"\t"treatment: drug"\n'
    '!Sample_characteristics_ch1\t"no colon"\t""\t""\n'
    "!series_matrix_table_begin\n"
    '"ID_REF"\t"GSM1"\t"GSM2"\t"GSM3"\n'
)
END = "!series_matrix_table_end\n"


def read(folder: Path, rows: str, head: str = HEAD, end: str = END):
    (folder / "m.txt.gz").write_bytes(gzip.compress((head + rows + end).encode()))
    return read_series_matrix({"members": [{"name": "m.txt.gz"}]}, folder)


def test_log_values_are_kept_and_characteristics_go_by_their_name(tmp_path: Path) -> None:
    raw = read(tmp_path, '"p1"\t5.5\t6.5\t7.5\n"p2"\tnull\t1.0\t\n"p3"\t\t\t\n"p1"\t9\t9\t9\n')
    assert raw.samples.to_dict("index") == {
        "GSM1": {"treatment": "drug", "age": "50"},
        "GSM2": {"treatment": "none", "age": "55"},
        "GSM3": {"treatment": "drug", "age": "60"},
    }
    assert raw.matrix.loc["p1"].tolist() == [5.5, 6.5, 7.5]
    assert raw.matrix.loc["p2"].isna().tolist() == [True, False, True]
    assert raw.matrix.index.tolist() == ["p1", "p2"]


def test_raw_intensities_become_logarithms(tmp_path: Path) -> None:
    raw = read(tmp_path, '"p1"\t1024\t256\t4\n"p2"\t0\t-3\t65536\n')
    assert raw.matrix.loc["p1"].tolist() == [10.0, 8.0, 2.0]
    assert raw.matrix.loc["p2"].isna().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("rows", "head", "end", "why"),
    [
        ("", HEAD, END, "holds no values"),
        ('"p1"\t1\t2\t3\n', HEAD, "", "its table has no end"),
        ("", HEAD[: HEAD.index("!series_matrix")], "", "it has no table"),
        ('"p1"\t1\t2\t3\n', HEAD.replace("geo_accession", "other"), END, "names no samples"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, rows: str, head: str, end: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(tmp_path, rows, head, end)


def test_a_file_that_is_cut_off_is_no_shorter_data_set(tmp_path: Path) -> None:
    rows = "".join(f'"p{i}"\t{i}.5\t{i}.25\t{i * 7 % 13}\n' for i in range(5000))
    whole = gzip.compress((HEAD + rows + END).encode())
    (tmp_path / "m.txt.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EOFError):
        read_series_matrix({"members": [{"name": "m.txt.gz"}]}, tmp_path)
