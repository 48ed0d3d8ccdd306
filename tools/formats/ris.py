"""RIS through rispy; the PMID in AN and the PMCID in C2, as EndNote and PubMed write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labwright.domain import Paper, PaperIds
from labwright.errors import UnreadableCorpus
from labwright.tools.formats.reading import Document, text_of
from labwright.tools.formats.references import abstract_of, key_of, reference_document
from labwright.tools.standing import standing_note

_JOURNAL = ("journal_name", "secondary_title", "alternate_title3", "alternate_title2", "alternate_title1")


def read(path: Path, corpus: str) -> list[Document]:
    """Every entry of the file.

    Raises:
        UnreadableCorpus: an entry has no end or no title.
    """
    import rispy

    text = text_of(path)
    begun = len(re.findall(r"(?m)^TY  ?- ", text))
    try:
        entries = rispy.loads(text)
    except (ValueError, KeyError, OSError) as error:
        raise UnreadableCorpus(f"{path}: not RIS ({error}); export it again") from error
    if len(entries) != begun:
        raise UnreadableCorpus(f"{path}: {begun} entries begin (TY) but {len(entries)} are whole (ER); export it again")
    return [_document(entry, f"{path}: entry {number}", corpus) for number, entry in enumerate(entries, start=1)]


def write(papers: Iterable[Paper]) -> str:
    """The papers as RIS."""
    import rispy

    return str(rispy.dumps([_entry(paper) for paper in papers]))


def _document(entry: Mapping[str, Any], where: str, corpus: str) -> Document:
    title = _text(entry, "title", "primary_title")
    if not title:
        raise UnreadableCorpus(f"{where}: no title (TI or T1)")
    year = re.search(r"\b(1[89]|20)\d\d\b", _text(entry, "year", "date", "publication_year"))
    accession = _text(entry, "accession_number")
    pmcid = next((found for name in ("custom2", "custom1") if (found := _text(entry, name)).startswith("PMC")), "")
    paper = Paper(
        id=_text(entry, "id") or where,
        ids=PaperIds(pmid=accession if accession.isdecimal() else "", pmcid=pmcid, doi=_text(entry, "doi")),
        title=title,
        authors=tuple(" ".join(name.split()) for name in entry.get("authors") or entry.get("first_authors") or ()),
        abstract=_text(entry, "abstract", "notes_abstract"),
        year=int(year[0]) if year else None,
        journal=_text(entry, *_JOURNAL),
        source=corpus,
        mesh=tuple(" ".join(word.split()) for word in entry.get("keywords") or ()),
    )
    return reference_document(paper)


def _entry(paper: Paper) -> dict[str, Any]:
    fields = {
        "type_of_reference": "JOUR",
        "id": key_of(paper),
        "title": paper.title,
        "authors": list(paper.authors),
        "abstract": abstract_of(paper),
        "year": str(paper.year or ""),
        "journal_name": paper.journal,
        "doi": paper.ids.doi,
        "accession_number": paper.ids.pmid,
        "custom2": paper.ids.pmcid,
        "keywords": list(paper.mesh),
        "notes": [standing_note(paper)],
    }
    return {name: value for name, value in fields.items() if value}


def _text(entry: Mapping[str, Any], *names: str) -> str:
    return next((" ".join(str(entry[name]).split()) for name in names if entry.get(name)), "")
