"""GEO: real SOFT text, groups of samples, and a series as a data card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labwright.domain import Dataset
from labwright.tools.geo import GeoSource, Sample, groups, soft_samples
from labwright.tools.geo_card import columns, series_card
from labwright.tools.transport import Damaged, Dated


def test_real_soft_text_is_read(test_data: Path) -> None:
    """Samples as GEO's own example describes them; a characteristic without a colon has no name and is left out."""
    seen = soft_samples((test_data / "ncbi" / "soft_ex_family.txt").read_bytes())
    assert [s.organism for s in seen] == ["Mus musculus"] * 3
    assert seen[0].characteristics == {"Age": "day 4", "Tissue": "blastocytes", "Strain": "129/Sv mice"}
    assert groups(seen) == {}
    (one,) = soft_samples((test_data / "ncbi" / "GSE16.txt").read_bytes())
    assert (one.accession, one.organism) == ("GSM804", "Homo sapiens")


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"^SERIES = GSE1\n!Series_title = x\n", b"\xff\xfe\x00"])
def test_what_holds_no_sample_is_damaged(body: bytes) -> None:
    with pytest.raises(Damaged):
        soft_samples(body)


def samples(*rows: dict[str, str]) -> list[Sample]:
    return [Sample(f"GSM{i}", "t", "Homo sapiens", row) for i, row in enumerate(rows)]


def test_a_characteristic_is_a_group_when_it_parts_the_samples() -> None:
    """Not one level for all, not one for each, not more than a dozen; a missing value belongs to none."""
    rows = [{"arm": "a" if i % 2 else "b", "id": f"p{i}", "organ": "lung", "many": str(i // 2)} for i in range(30)]
    rows[0]["arm"] = ""
    assert groups(samples(*rows)) == {"arm": {"a": 15, "b": 14}}


def test_columns_have_clean_distinct_names() -> None:
    rows = [{"Age (years)": str(40 + i), "age-years": f"{i % 2}", "sample": "x" if i % 2 else "y", "2nd": str(i % 3), "note": f"n{i}"} for i in range(8)]  # fmt: skip
    found = columns(samples(*rows))
    assert {name: c["type"] for name, c in found.items()} == {
        "age_years": "numeric", "age_years_2": "categorical", "sample_": "categorical", "2nd_": "categorical",
    }  # fmt: skip
    assert found["age_years"]["unit"] == "not stated by GEO"
    assert found["age_years_2"]["from"] == "age-years"


def test_a_card_holds_no_text_that_breaks_a_line() -> None:
    rows = [{"arm": "a"}, {"arm": "a"}, {"arm": "b"}]
    series = Dataset(
        id="GSE1", accession="GSE1", title="A\ntitle\u202e" + "x" * 500, description="d\x00e", organism="Homo sapiens",
        assay="Expression profiling by array", n_samples=3, verification="v",
    )  # fmt: skip
    card = series_card(series, samples(*rows), {"url": "http://x", "max_mib": 1, "members": []})
    assert card["title"].startswith("A title x")
    assert len(card["title"]) <= 200
    assert card["description"] == "d e"
    assert Dataset.model_validate({**card, "n_samples": 3}).kind == "expression"


@pytest.mark.parametrize(
    ("accession", "folder"),
    [
        ("GSE16", "GSEnnn/GSE16"),
        ("GSE999", "GSEnnn/GSE999"),
        ("GSE52778", "GSE52nnn/GSE52778"),
        ("GSE123456", "GSE123nnn/GSE123456"),
    ],
)
def test_a_series_lies_in_the_folder_of_its_thousand(accession: str, folder: str) -> None:
    """As GEO's file server sorts them; two platforms give two files, and one without a size is not there."""
    names = [f"{accession}-GPL570_series_matrix.txt.gz", f"{accession}-GPL96_series_matrix.txt.gz"]
    asked: list[str] = []

    class Files:
        def get(self, path: str, params: dict[str, str], read: Any) -> Dated[Any]:
            asked.append(path)
            return Dated(read("".join(f'<a href="{name}">' for name in names).encode()), "2026-01-02")

        def size(self, path: str) -> int | None:
            return 7 if "GPL96" in path else None

    nothing: Any = None
    files: Any = Files()
    assert GeoSource(nothing, nothing, files).matrix_sizes(accession) == {f"series/{folder}/matrix/{names[1]}": 7}
    assert asked == [f"series/{folder}/matrix/"]
