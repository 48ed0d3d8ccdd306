"""Every card is whole, is a valid Dataset, and describes its data by counted numbers."""

from __future__ import annotations

from typing import Any

import pytest

from labwright.domain import Dataset
from labwright.errors import NoUsableData
from labwright.tools.analysis.contracts import OPERATORS, feasible
from labwright.tools.catalogue.catalogue import card, load_cards
from labwright.tools.corpus.records import load_records

IDS = [
    "actg320",
    "airway",
    "colon",
    "dlbcl_chop",
    "gbsg2",
    "gdsc17",
    "gse1992",
    "gse4335",
    "gse7390",
    "nci60",
    "nki70",
    "oligodendroglioma",
    "ovarian_meta",
    "pbc",
    "pbmc68k",
    "tissue_expression",
    "veteran",
    "whas500",
]


def test_the_catalogue_holds_the_promised_data_sets() -> None:
    assert [loaded["id"] for loaded in load_cards()] == IDS


@pytest.mark.parametrize("dataset_id", IDS)
def test_card_is_a_dataset(dataset_id: str) -> None:
    dataset = Dataset.model_validate(card(dataset_id))
    assert dataset.n_samples
    assert dataset.description
    assert dataset.licence


@pytest.mark.parametrize("dataset_id", IDS)
def test_groups_are_levels_of_categorical_columns(dataset_id: str) -> None:
    loaded = card(dataset_id)
    columns: dict[str, dict[str, Any]] = loaded["columns"]
    assert set(loaded["groups"]) == {name for name, column in columns.items() if column["type"] == "categorical"}
    for name, levels in loaded["groups"].items():
        assert columns[name]["levels"] == list(levels)
        assert sum(levels.values()) + columns[name]["missing"] == loaded["n_samples"]


@pytest.mark.parametrize("dataset_id", IDS)
def test_files_and_members_are_pinned(dataset_id: str) -> None:
    loaded = card(dataset_id)
    assert "samples.parquet" in loaded["files"]
    assert ("matrix.parquet" in loaded["files"]) == (loaded["n_features"] > 0)
    pins = [*loaded["files"].values(), *(member["sha256"] for member in loaded["source"]["members"])]
    pins += [archive["archive_sha256"] for archive in loaded["source"]["archives"]]
    assert all(len(pin) == 64 for pin in pins)
    packages = {archive["package"] for archive in loaded["source"]["archives"]}
    assert {member["package"] for member in loaded["source"]["members"]} == packages


@pytest.mark.parametrize("dataset_id", IDS)
def test_survival_names_typed_columns(dataset_id: str) -> None:
    loaded = card(dataset_id)
    if loaded["survival"]:
        assert loaded["columns"][loaded["survival"]["time"]]["type"] == "time"
        assert loaded["columns"][loaded["survival"]["event"]]["type"] == "event"


@pytest.mark.parametrize("dataset_id", IDS)
def test_every_data_set_can_carry_an_analysis(dataset_id: str) -> None:
    possible = [name for name, contract in OPERATORS.items() if feasible(contract, card(dataset_id)) is None]
    assert len(possible) >= 2


@pytest.mark.parametrize(
    ("dataset_id", "possible", "impossible"),
    [
        ("gse7390", "survival_signature", "gene_set_enrichment"),
        ("airway", "differential_expression", "survival_curves"),
        ("gdsc17", "drug_association", "classify_samples"),
        ("gbsg2", "cox_regression", "prognostic_features"),
    ],
)
def test_feasibility_follows_the_data(dataset_id: str, possible: str, impossible: str) -> None:
    assert feasible(OPERATORS[possible], card(dataset_id)) is None
    assert feasible(OPERATORS[impossible], card(dataset_id)) is not None


def test_a_card_is_found_by_accession() -> None:
    assert card("gse52778")["id"] == "airway"


@pytest.mark.parametrize("name", ["", "gse999", "airway2"])
def test_an_unknown_data_set_is_named(name: str) -> None:
    with pytest.raises(NoUsableData, match="not in the catalogue"):
        card(name)


@pytest.mark.parametrize("dataset_id", IDS)
def test_every_card_says_where_its_data_come_from_and_what_they_showed(dataset_id: str) -> None:
    """Source paper, licence, organism, assay, n, columns with units, and known results that somebody published or counted."""
    loaded = card(dataset_id)
    assert len(loaded["reference"]["citation"]) > 20
    assert loaded["reference"]["checked_in"]
    assert all(loaded[field] for field in ("licence", "organism", "assay", "n_samples"))
    assert loaded["size_mb"] >= 0
    for name, column in loaded["columns"].items():
        assert column["description"], name
        assert column.get("unit") or column["type"] not in ("numeric", "time"), name
    assert loaded["known_results"]
    for known in loaded["known_results"]:
        assert len(known["statement"]) > 15
        assert len(known["citation"]) > 10


def test_identifiers_of_cards_are_those_of_the_embedded_corpus() -> None:
    """A PMID or DOI stands on a card only where a record that says how it was checked has it too."""
    known = {(record.pmid, record.doi) for record in load_records()}
    pmids, dois = {pmid for pmid, _ in known} - {""}, {doi for _, doi in known} - {""}
    given = [loaded["reference"] for loaded in load_cards()]
    assert {r["pmid"] for r in given if "pmid" in r} <= pmids
    assert {r["doi"] for r in given if "doi" in r} <= dois
    assert sum("doi" in r for r in given) >= 14
