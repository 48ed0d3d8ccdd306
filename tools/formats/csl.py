"""CSL-JSON, the form that citeproc, Zotero and pandoc read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labwright.domain import Paper, PaperIds
from labwright.errors import UnreadableCorpus
from labwright.tools.formats.reading import Document, text_of
from labwright.tools.formats.references import abstract_of, key_of, reference_document
from labwright.tools.standing import standing_note


def read(path: Path, corpus: str) -> list[Document]:
    """Every item of the file.

    Raises:
        UnreadableCorpus: it is not a list of CSL items; the message names the first wrong one.
    """
    try:
        items = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise UnreadableCorpus(f"{path}: not JSON ({error}); export it again as CSL-JSON") from error
    if not isinstance(items, list):
        raise UnreadableCorpus(f"{path}: not a list of CSL items; export it again as CSL-JSON")
    return [_document(item, f"{path}: item {number}", corpus) for number, item in enumerate(items, start=1)]


def write(papers: Iterable[Paper]) -> str:
    """The papers as CSL-JSON."""
    return json.dumps([_item(paper) for paper in papers], ensure_ascii=False, indent=1) + "\n"


def _document(item: Any, where: str, corpus: str) -> Document:
    if not isinstance(item, Mapping) or not _text(item, "title"):
        raise UnreadableCorpus(f"{where}: no title")
    year = re.search(r"\b(1[89]|20)\d\d\b", str(item.get("issued") or ""))
    paper = Paper(
        id=_text(item, "id") or where,
        ids=PaperIds(pmid=_text(item, "PMID"), pmcid=_text(item, "PMCID"), doi=_text(item, "DOI")),
        title=_text(item, "title"),
        authors=tuple(filter(None, map(_name, item.get("author") or ()))),
        abstract=_text(item, "abstract"),
        year=int(year[0]) if year else None,
        journal=_text(item, "container-title"),
        source=corpus,
        mesh=tuple(filter(None, (word.strip() for word in _text(item, "keyword").split(";")))),
    )
    return reference_document(paper)


def _name(author: Any) -> str:
    if not isinstance(author, Mapping):
        return ""
    particle = _text(author, "non-dropping-particle") or _text(author, "dropping-particle")
    family = " ".join(filter(None, [particle, _text(author, "family")]))
    given = _text(author, "given")
    return f"{family}, {given}" if family and given else family or _text(author, "literal")


def _item(paper: Paper) -> dict[str, Any]:
    fields = {
        "id": key_of(paper),
        "type": "article-journal",
        "title": paper.title,
        "author": [_person(name) for name in paper.authors],
        "issued": {"date-parts": [[paper.year]]} if paper.year else None,
        "container-title": paper.journal,
        "DOI": paper.ids.doi,
        "PMID": paper.ids.pmid,
        "PMCID": paper.ids.pmcid,
        "abstract": abstract_of(paper),
        "keyword": "; ".join(paper.mesh),
        "note": standing_note(paper),
    }
    return {name: value for name, value in fields.items() if value}


def _person(name: str) -> dict[str, str]:
    family, comma, given = name.partition(", ")
    return {"family": family, "given": given} if comma else {"literal": name}


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    return " ".join(str(value).split()) if isinstance(value, str | int) else ""
