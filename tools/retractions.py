"""Retractions and expressions of concern: the register that a Retraction Watch file fills, and the check of papers.

The file is the one that Crossref publishes (retraction_watch.csv). What a source says of a paper is a
`Retraction` with the date as of which it says so; a paper that nobody could look up stays "unknown".
"""

from __future__ import annotations

import csv
import io
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from labwright.domain import Paper, PaperIds, Retraction
from labwright.errors import SourceUnavailable, UnreadableCorpus
from labwright.tools.entrez import PubMedSource
from labwright.tools.sources import bare_doi
from labwright.tools.standing import worst

COLUMNS: Final = (
    "Record ID", "OriginalPaperDOI", "OriginalPaperPubMedID", "RetractionNature", "RetractionDate", "Reason",
)  # fmt: skip
NATURES: Final = {"retraction": "retracted", "expression of concern": "concern", "reinstatement": "reinstated"}
DATES: Final = ("%m/%d/%Y %H:%M", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
NO_ID: Final = ("", "0", "unavailable", "none", "n/a")
_SCHEMA: Final = """
create table notices (record text, doi text, pmid text, status text, happened text, reason text);
create index by_doi on notices (doi);
create index by_pmid on notices (pmid);
create table facts (name text primary key, value text);
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import found."""

    notices: int
    """Retractions, expressions of concern and reinstatements taken over."""
    passed_over: int
    """Rows of another nature (corrections), or without DOI and PMID."""
    newest: str
    """Date of the newest notice, ISO."""


class RetractionRegister:
    """The notices of one imported file, looked up by DOI and PMID."""

    def __init__(self, path: Path) -> None:
        """Use `path`; without a file there, nothing is known."""
        self._path = path

    def load(self, table: Path, today: date) -> Imported:
        """Take over a Retraction Watch file in place of what was there; all of it or nothing.

        Args:
            table: CSV with at least the columns of `COLUMNS`, UTF-8 or Latin-1.
            today: date of the import, shown with every look-up.

        Raises:
            UnreadableCorpus: the file is missing, cut off, or has other columns or dates.
        """
        notices, passed_over = [], 0
        for row in _rows(table):
            if row is None:
                passed_over += 1
            else:
                notices.append(row)
        if not notices:
            raise UnreadableCorpus(f"{table}: no retraction in it; is it Crossref's retraction_watch.csv?")
        newest = max(row[4] for row in notices)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(part)) as db, db:
            db.executescript(_SCHEMA)
            db.executemany("insert into notices values (?, ?, ?, ?, ?, ?)", notices)
            db.executemany("insert into facts values (?, ?)", [("imported", today.isoformat()), ("newest", newest)])
        part.replace(self._path)
        return Imported(len(notices), passed_over, newest)

    def standing(self, ids: PaperIds) -> Retraction:
        """What the register says of a paper; "unknown" when there is no register or no DOI and PMID.

        Raises:
            UnreadableCorpus: the register is damaged.
        """
        doi, pmid = bare_doi(ids.doi), ids.pmid.strip()
        if not (doi or pmid) or not self._path.is_file():
            return Retraction()
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
                facts = dict(db.execute("select name, value from facts"))
                rows = db.execute(
                    "select status, happened, reason from notices where (doi = ? and doi <> '') or "
                    "(pmid = ? and pmid <> '') order by happened, status",
                    (doi, pmid),
                ).fetchall()
        except sqlite3.DatabaseError as error:
            raise UnreadableCorpus(
                f"{self._path}: damaged register ({error}); import it again with `labwright corpus retractions FILE`"
            ) from error
        source = f"Retraction Watch (newest notice {facts['newest']})"
        status, detail = _verdict(rows)
        fields = {"status": status, "checked_at": facts["imported"], "source": source, "detail": detail}
        return Retraction.model_validate(fields)


def check(
    papers: Sequence[Paper],
    register: RetractionRegister,
    pubmed: PubMedSource | None,
    note: Callable[[str], None] = lambda text: None,
) -> list[Paper]:
    """The papers with their standing: that of their record, of the register, and of PubMed where still unknown.

    Args:
        papers: to check, in any state.
        register: notices imported from Retraction Watch.
        pubmed: asked about papers with a PMID or DOI that nobody has checked; None asks nobody.
        note: told when PubMed was out of reach.
    """
    checked = [_with(paper, register.standing(paper.ids)) for paper in papers]
    unknown = [paper for paper in checked if paper.retraction.status == "unknown"]
    if pubmed is None or not unknown:
        return checked
    try:
        by_pmid = {p.ids.pmid: p for p in pubmed.fetch([p.ids.pmid for p in unknown if p.ids.pmid])}
        by_doi = pubmed.by_doi([p.ids.doi for p in unknown if p.ids.doi and p.ids.pmid not in by_pmid])
    except SourceUnavailable as error:
        note(f"retractions were not checked with PubMed: {error}")
        return checked
    looked_up = {id(p): by_pmid.get(p.ids.pmid) or by_doi.get(bare_doi(p.ids.doi)) for p in unknown}
    return [_with(p, found.retraction) if (found := looked_up.get(id(p))) else p for p in checked]


def _with(paper: Paper, said: Retraction) -> Paper:
    if said.status == "unknown":
        return paper
    return paper.model_copy(update={"retraction": worst(paper.retraction, said)})


def _verdict(rows: Sequence[tuple[str, str, str]]) -> tuple[str, str]:
    """Status and detail after all notices, oldest first: a reinstatement undoes what came before it."""
    status, detail = "none", ""
    for kind, happened, reason in rows:
        if kind == "reinstated":
            status, detail = "none", f"reinstated on {happened}"
        elif kind == "retracted" or status != "retracted":
            status, detail = kind, f"{happened}: {reason}"
    return status, detail


def _rows(table: Path) -> Iterator[tuple[str, str, str, str, str, str] | None]:
    """One notice a row; None for a row that says nothing about the standing of a paper."""
    reader = csv.DictReader(io.StringIO(_text(table), newline=""), strict=True)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise UnreadableCorpus(f"{table}: no column {', '.join(missing)}; it must be Crossref's retraction_watch.csv")
    try:
        for row in reader:
            where = f"{table}:{reader.line_num}"
            if any(row[name] is None for name in reader.fieldnames or ()):
                raise UnreadableCorpus(f"{where}: fewer columns than the first line; download the file again")
            yield _notice(row, where)
    except csv.Error as error:
        raise UnreadableCorpus(f"{table}:{reader.line_num}: {error}; download the file again") from error


def _notice(row: Mapping[str, str], where: str) -> tuple[str, str, str, str, str, str] | None:
    status = NATURES.get(row["RetractionNature"].strip().casefold())
    doi, pmid = _id(bare_doi(row["OriginalPaperDOI"])), _id(row["OriginalPaperPubMedID"].strip().removesuffix(".0"))
    if status is None or not (doi or pmid):
        return None
    happened = _date(row["RetractionDate"].strip(), where)
    reasons = [part.strip().lstrip("+").strip() for part in row["Reason"].split(";")]
    return row["Record ID"].strip(), doi, pmid, status, happened, "; ".join(filter(None, reasons))


def _id(text: str) -> str:
    return "" if text.casefold() in NO_ID else text


def _date(text: str, where: str) -> str:
    for form in DATES:
        try:
            return datetime.strptime(text, form).date().isoformat()
        except ValueError:
            continue
    raise UnreadableCorpus(f"{where}: RetractionDate {text[:40]!r} is no date; expected month/day/year")


def _text(table: Path) -> str:
    try:
        body = table.read_bytes()
    except OSError as error:
        raise UnreadableCorpus(f"{table}: {error.strerror}; check the path and its permissions") from error
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")  # older exports
