"""PubMed records as papers."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from labwright.domain import Paper, PaperIds, Retraction
from labwright.tools.standing import standing
from labwright.tools.transport import Dated

_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_SPACE = re.compile(r"\s+")


def pubmed_papers(reply: Dated[Any], source: str) -> Iterator[Paper]:
    """Papers of a parsed PubmedArticleSet, books' chapters among them, each with the date of the reply.

    Args:
        reply: what `labwright.tools.eutils.parsed` made of an efetch reply.
        source: name of the literature source.
    """
    for record in reply.value.get("PubmedArticle", ()):
        yield _article(record, source, reply.on)
    for record in reply.value.get("PubmedBookArticle", ()):
        yield _chapter(record["BookDocument"], source, reply.on)


def _article(record: Mapping[str, Any], source: str, on: str) -> Paper:
    citation = record["MedlineCitation"]
    article = citation["Article"]
    journal = article["Journal"]
    pmid = str(citation["PMID"])
    types = tuple(str(kind) for kind in article.get("PublicationTypeList", ()))
    return Paper(
        id=f"pmid{pmid}",
        ids=_ids(record.get("PubmedData", {}).get("ArticleIdList", ()), pmid),
        title=plain(article["ArticleTitle"]),
        authors=_authors(article.get("AuthorList", ())),
        abstract=_abstract(article),
        year=_year(journal.get("JournalIssue", {}).get("PubDate", {})),
        journal=plain(journal.get("Title", "")),
        source=source,
        types=types,
        mesh=tuple(str(h["DescriptorName"]) for h in citation.get("MeshHeadingList", ())),
        retrieved_on=on,
        retraction=standing(types, _links(citation), checked_at=on, source="PubMed"),
    )


def _chapter(book: Mapping[str, Any], source: str, on: str) -> Paper:
    pmid = str(book["PMID"])
    return Paper(
        id=f"pmid{pmid}",
        ids=_ids(book.get("ArticleIdList", ()), pmid),
        title=plain(book.get("ArticleTitle") or book["Book"].get("BookTitle", "")),
        abstract=_abstract(book),
        year=_year(book["Book"].get("PubDate", {})),
        journal=plain(book["Book"].get("BookTitle", "")),
        source=source,
        types=tuple(str(kind) for kind in book.get("PublicationType", ())),
        retrieved_on=on,
        retraction=Retraction(status="none", checked_at=on, source="PubMed"),
    )


def _links(citation: Mapping[str, Any]) -> dict[str, str]:
    links: dict[str, str] = {}
    for note in citation.get("CommentsCorrectionsList", ()):
        number = f" (PMID {note['PMID']})" if note.get("PMID") else ""
        links.setdefault(str(note.attributes.get("RefType", "")), f"{plain(note.get('RefSource', ''))}{number}".strip())
    return links


def _ids(listed: Any, pmid: str) -> PaperIds:
    found = {str(item.attributes.get("IdType", "")): str(item).strip() for item in listed}
    return PaperIds(pmid=pmid, pmcid=found.get("pmc", ""), doi=found.get("doi", ""))


def _authors(listed: Any) -> tuple[str, ...]:
    names = []
    for author in listed:
        family, given = plain(author.get("LastName", "")), plain(author.get("ForeName", ""))
        names.append(f"{family}, {given}" if family and given else family or plain(author.get("CollectiveName", "")))
    return tuple(name for name in names if name)


def _abstract(article: Mapping[str, Any]) -> str:
    parts = []
    for text in article.get("Abstract", {}).get("AbstractText", ()):
        label = getattr(text, "attributes", {}).get("Label", "")
        parts.append(f"{label.capitalize()}: {plain(text)}" if label else plain(text))
    return " ".join(part for part in parts if part)


def _year(date: Mapping[str, Any]) -> int | None:
    found = re.search(r"\b(1[89]|20)\d\d\b", str(date.get("Year", "") or date.get("MedlineDate", "")))
    return int(found[0]) if found else None


def plain(text: object) -> str:
    """Text without mark-up, entities and runs of white space."""
    return _SPACE.sub(" ", html.unescape(_TAG.sub("", str(text)))).strip()
