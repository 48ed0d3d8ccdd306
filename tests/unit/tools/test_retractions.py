"""The register of notices, the check of papers, and that nothing retracted is evidence."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from labwright.domain import Paper, PaperIds, Retraction
from labwright.errors import RetractedEvidence, SourceUnavailable, UnreadableCorpus
from labwright.tools.retractions import RetractionRegister, check
from labwright.tools.sources import deduplicate
from labwright.tools.standing import require_citable, standing, worst

COLUMNS = (
    "Record ID", "Title", "Subject", "Institution", "Journal", "Publisher", "Country", "Author", "URLS", "ArticleType",
    "RetractionDate", "RetractionDOI", "RetractionPubMedID", "OriginalPaperDate", "OriginalPaperDOI",
    "OriginalPaperPubMedID", "RetractionNature", "Reason", "Paywalled", "Notes",
)  # fmt: skip
"""The columns of the file that Crossref publishes, in its order."""
TODAY = date(2026, 3, 4)


def row(number: int, nature: str, *, doi: str = "unavailable", pmid: str = "0", on: str = "4/15/2021 0:00", reason: str = "+Fraud;+Error in Data;") -> dict[str, str]:  # fmt: skip
    return dict.fromkeys(COLUMNS, "x, \"y\"\nz") | {
        "Record ID": str(number), "RetractionNature": nature, "OriginalPaperDOI": doi, "OriginalPaperPubMedID": pmid,
        "RetractionDate": on, "Reason": reason,
    }  # fmt: skip


def table(folder: Path, *rows: dict[str, str], encoding: str = "utf-8") -> Path:
    path = folder / "retraction_watch.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def register(tmp_path: Path) -> RetractionRegister:
    register = RetractionRegister(tmp_path / "cache" / "retractions.sqlite")
    register.load(
        table(
            tmp_path,
            row(1, "Retraction", doi="10.1/Gone"),
            row(2, "Expression of concern", pmid="22"),
            row(3, "Correction", doi="10.1/corrected"),
            row(4, "Retraction", doi="10.1/back", on="1/2/2019 0:00"),
            row(5, "Reinstatement", doi="10.1/back", on="6/7/2020 0:00"),
            row(6, "Expression of concern", doi="10.1/both", on="1/1/2020 0:00"),
            row(7, "Retraction", doi="10.1/both", on="2/1/2020 0:00"),
            row(8, "Expression of concern", doi="10.1/both", on="3/1/2020 0:00"),
            row(9, "Retraction"),
        ),
        TODAY,
    )
    return register


def paper(name: str = "p", *, said: Retraction = Retraction(), **ids: str) -> Paper:  # noqa: B008
    return Paper(id=name, ids=PaperIds(**ids), title=name, abstract="x", source="mine", retraction=said)


@pytest.mark.parametrize(
    ("ids", "status", "detail"),
    [
        ({"doi": "10.1/gone"}, "retracted", "2021-04-15: Fraud; Error in Data"),
        ({"doi": "https://doi.org/10.1/GONE"}, "retracted", "2021-04-15: Fraud; Error in Data"),
        ({"pmid": "22"}, "concern", "2021-04-15: Fraud; Error in Data"),
        ({"doi": "10.1/corrected"}, "none", ""),
        ({"doi": "10.1/back"}, "none", "reinstated on 2020-06-07"),
        ({"doi": "10.1/both"}, "retracted", "2020-02-01: Fraud; Error in Data"),
        ({"doi": "10.1/other", "pmid": "33"}, "none", ""),
        ({"pmid": "0"}, "none", ""),
    ],
)
def test_a_paper_is_looked_up_by_doi_and_pmid(
    register: RetractionRegister, ids: dict[str, str], status: str, detail: str
) -> None:
    said = register.standing(PaperIds(**ids))
    assert (said.status, said.detail) == (status, detail)
    assert (said.checked_at, said.source) == ("2026-03-04", "Retraction Watch (newest notice 2021-04-15)")


def test_a_paper_that_cannot_be_looked_up_was_not_checked(register: RetractionRegister, tmp_path: Path) -> None:
    assert register.standing(PaperIds(pmcid="PMC1")) == Retraction()
    assert RetractionRegister(tmp_path / "none.sqlite").standing(PaperIds(doi="10.1/gone")) == Retraction()
    assert Retraction().words == "not checked"


def test_an_import_says_what_it_found_and_replaces_the_last(register: RetractionRegister, tmp_path: Path) -> None:
    found = register.load(
        table(tmp_path, row(1, "Retraction", doi="10.1/new", on="2022-05-06"), row(2, "Correction")), TODAY
    )
    assert (found.notices, found.passed_over, found.newest) == (1, 1, "2022-05-06")
    assert register.standing(PaperIds(doi="10.1/gone")).status == "none"
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["retractions.sqlite"]


def test_an_old_export_in_latin_1_is_read(register: RetractionRegister, tmp_path: Path) -> None:
    register.load(table(tmp_path, row(1, "Retraction", doi="10.1/a", reason="+Möller;"), encoding="latin-1"), TODAY)
    assert register.standing(PaperIds(doi="10.1/a")).detail == "2021-04-15: Möller"


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda body: body[: len(body) - 40], r"csv:\d+: fewer columns than the first line; download the file again"),
        (lambda body: body.replace(b"RetractionNature", b"Nature"), "no column RetractionNature"),
        (lambda body: body.replace(b"4/15/2021 0:00", b"yesterday"), r"csv:\d+: RetractionDate 'yesterday' is no date"),
        (lambda body: b"", "no column Record ID"),
        (lambda body: body.split(b"\n")[0] + b"\n", "no retraction in it"),
    ],
)
def test_a_damaged_file_changes_nothing(register: RetractionRegister, tmp_path: Path, damage: Any, why: str) -> None:
    path = table(tmp_path, row(1, "Retraction", doi="10.1/a"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UnreadableCorpus, match=why):
        register.load(path, TODAY)
    assert register.standing(PaperIds(doi="10.1/gone")).status == "retracted"


def test_a_missing_file_and_a_damaged_register_are_named(register: RetractionRegister, tmp_path: Path) -> None:
    with pytest.raises(UnreadableCorpus, match="No such file"):
        register.load(tmp_path / "none.csv", TODAY)
    (tmp_path / "cache" / "retractions.sqlite").write_bytes(b"not sqlite at all" * 100)
    with pytest.raises(UnreadableCorpus, match="labwright corpus retractions FILE"):
        register.standing(PaperIds(doi="10.1/gone"))


class AskedPubMed:
    """Stands in for PubMed: knows one retracted paper by either name."""

    def __init__(self, *, down: bool = False) -> None:
        self.asked: list[list[str]] = []
        self._down = down
        said = Retraction(status="retracted", checked_at="2026-03-04", source="PubMed")
        self._known = paper("pmid5", pmid="5", doi="10.1/five", said=said)

    def fetch(self, pmids: list[str]) -> list[Paper]:
        if self._down:
            raise SourceUnavailable("NCBI efetch cannot be reached (ConnectError)")
        self.asked.append(pmids)
        return [self._known] if "5" in pmids else []

    def by_doi(self, dois: list[str]) -> dict[str, Paper]:
        self.asked.append(dois)
        return {"10.1/five": self._known} if "10.1/FIVE" in dois else {}


def test_pubmed_is_asked_about_what_nobody_has_checked(tmp_path: Path) -> None:
    pubmed: Any = AskedPubMed()
    nothing = RetractionRegister(tmp_path / "none.sqlite")
    known = paper("k", pmid="7", said=Retraction(status="none", checked_at="2026-01-01", source="PubMed"))
    found = check(
        [known, paper("a", pmid="5"), paper("b", doi="10.1/FIVE"), paper("c"), paper("d", pmid="8")], nothing, pubmed
    )
    assert [p.retraction.status for p in found] == ["none", "retracted", "retracted", "unknown", "unknown"]
    assert pubmed.asked == [["5", "8"], ["10.1/FIVE"]]
    assert [p.id for p in found] == ["k", "a", "b", "c", "d"]


def test_a_pubmed_out_of_reach_leaves_papers_unchecked_and_says_so(register: RetractionRegister) -> None:
    notes: list[str] = []
    pubmed: Any = AskedPubMed(down=True)
    found = check([paper("a", pmcid="PMC1")], register, pubmed, notes.append)
    assert found[0].retraction.status == "unknown"
    assert notes == ["retractions were not checked with PubMed: NCBI efetch cannot be reached (ConnectError)"]


def test_two_sources_are_both_named_and_the_graver_counts(register: RetractionRegister) -> None:
    none = Retraction(status="none", checked_at="2026-01-02", source="PubMed")
    (same,) = check([paper(doi="10.1/other", said=none)], register, None)
    assert same.retraction.source == "PubMed and Retraction Watch (newest notice 2021-04-15)"
    assert same.retraction.checked_at == "2026-01-02"
    (worse,) = check([paper(doi="10.1/gone", said=none)], register, None)
    assert worse.retraction.status == "retracted"
    retracted = Retraction(status="retracted", checked_at="2026-01-02", source="PubMed")
    (kept,) = check([paper(doi="10.1/other", said=retracted)], register, None)
    assert kept.retraction == retracted


def test_the_order_of_gravity() -> None:
    order = ["unknown", "none", "concern", "notice", "retracted"]
    said = [Retraction.model_validate({"status": s}) for s in order]
    for low, one in enumerate(said):
        for high, two in enumerate(said):
            assert worst(one, two).status == order[max(low, high)]


def test_a_retraction_is_not_lost_among_duplicates() -> None:
    """PMC's record knows of no retraction and comes later."""
    retracted = Retraction(status="retracted", source="PubMed")
    (found,) = deduplicate([paper("a", doi="10.1/x", said=retracted), paper("b", doi="10.1/X")])
    assert (found.id, found.retraction) == ("b", retracted)


@pytest.mark.parametrize("status", ["retracted", "notice"])
def test_what_is_retracted_or_a_notice_cannot_be_evidence(status: str) -> None:
    with pytest.raises(RetractedEvidence, match=r"^p is .*\(PubMed\); it cannot be evidence$") as caught:
        require_citable(paper(said=Retraction.model_validate({"status": status, "source": "PubMed"})))
    assert (caught.value.paper, caught.value.status) == ("p", status)


@pytest.mark.parametrize("status", ["unknown", "none", "concern"])
def test_the_rest_may_be_cited(status: str) -> None:
    require_citable(paper(said=Retraction.model_validate({"status": status})))


@pytest.mark.parametrize(
    ("types", "links", "status", "detail"),
    [
        (("Retracted Publication",), {}, "retracted", ""),
        ((), {"RetractionIn": "J. 2020 (PMID 9)"}, "retracted", "J. 2020 (PMID 9)"),
        (("Retraction of Publication",), {}, "notice", ""),
        (("Retraction Notice",), {}, "notice", ""),
        ((), {"RetractionOf": "J. 2019"}, "notice", "J. 2019"),
        (("Expression of Concern",), {"ExpressionOfConcernFor": "J"}, "notice", "J"),
        ((), {"ExpressionOfConcernIn": "J"}, "concern", "J"),
        ((), {"ErratumIn": "J", "CommentIn": "K"}, "none", ""),
        (("Retracted Publication",), {"ExpressionOfConcernIn": "J"}, "retracted", ""),
    ],
)
def test_a_pubmed_record_s_standing(types: tuple[str, ...], links: dict[str, str], status: str, detail: str) -> None:
    said = standing(types, links, checked_at="2026-01-02", source="PubMed")
    assert (said.status, said.detail, said.checked_at) == (status, detail, "2026-01-02")
