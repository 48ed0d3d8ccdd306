"""PubMed records and PMC full texts as papers and plain text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from labwright.domain import Paper, PaperIds, Retraction
from labwright.errors import SourceUnavailable

_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_SPACE = re.compile(r"\s+")
_SKIPPED = {"table-wrap", "fig", "disp-formula", "xref", "ref-list", "fn", "supplementary-material"}


def pubmed_papers(parsed: Mapping[str, Any], source: str, checked_at: str) -> list[Paper]:
    """Papers of a parsed PubmedArticleSet, in its order; records without an abstract are left out.

    Args:
        parsed: what `labwright.tools.eutils.parse` made of an efetch reply.
        source: name of the literature source.
        checked_at: date on which the reply came, for the retraction status.
    """
    papers = (_pubmed_paper(article, source, checked_at) for article in parsed.get("PubmedArticle", ()))
    return [paper for paper in papers if paper.abstract]


def _pubmed_paper(record: Mapping[str, Any], source: str, checked_at: str) -> Paper:
    citation = record["MedlineCitation"]
    article = citation["Article"]
    journal = article["Journal"]
    pmid = str(citation["PMID"])
    return Paper(
        id=f"pmid{pmid}",
        ids=_ids(record, pmid),
        title=plain(article["ArticleTitle"]),
        abstract=_abstract(article),
        year=_year(journal["JournalIssue"]["PubDate"]),
        journal=plain(journal.get("Title", "")),
        source=source,
        retraction=_standing(citation, article, checked_at),
    )


def _ids(record: Mapping[str, Any], pmid: str) -> PaperIds:
    listed = record.get("PubmedData", {}).get("ArticleIdList", ())
    found = {str(item.attributes.get("IdType", "")): str(item) for item in listed}
    return PaperIds(pmid=pmid, pmcid=found.get("pmc", ""), doi=found.get("doi", ""))


def _abstract(article: Mapping[str, Any]) -> str:
    parts = []
    for text in article.get("Abstract", {}).get("AbstractText", ()):
        label = getattr(text, "attributes", {}).get("Label", "")
        parts.append(f"{label.capitalize()}: {plain(text)}" if label else plain(text))
    return " ".join(part for part in parts if part)


def _year(date: Mapping[str, Any]) -> int | None:
    found = re.search(r"\b(1[89]|20)\d\d\b", str(date.get("Year", "") or date.get("MedlineDate", "")))
    return int(found[0]) if found else None


def _standing(citation: Mapping[str, Any], article: Mapping[str, Any], checked_at: str) -> Retraction:
    types = {str(kind) for kind in article.get("PublicationTypeList", ())}
    notes = {str(n.attributes.get("RefType", "")) for n in citation.get("CommentsCorrectionsList", ())}
    if "Retracted Publication" in types or "RetractionIn" in notes:
        return Retraction(status="retracted", checked_at=checked_at, source="PubMed")
    if "ExpressionOfConcernIn" in notes:
        return Retraction(status="concern", checked_at=checked_at, source="PubMed")
    return Retraction(status="none", checked_at=checked_at, source="PubMed")


def plain(text: object) -> str:
    """Text without mark-up, entities and runs of white space."""
    return _SPACE.sub(" ", html.unescape(_TAG.sub("", str(text)))).strip()


def pmc_articles(xml: bytes) -> Iterator[ElementTree.Element]:
    """The articles of a PMC efetch reply.

    Raises:
        SourceUnavailable: the reply is cut off or not JATS.
    """
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - no external entities; expat bounds expansion
    except ElementTree.ParseError as error:
        raise SourceUnavailable(f"PMC sent a reply that cannot be read ({error})") from error
    return root.iter("article")


def pmc_paper(article: ElementTree.Element, source: str) -> Paper:
    """Title, identifiers and abstract of one JATS article; the abstract is empty when it has none."""
    nodes = article.iterfind(".//front//article-id")
    ids = {node.get("pub-id-type", ""): (node.text or "").strip() for node in nodes}
    pmcid = (ids.get("pmcid") or ids.get("pmc") or ids.get("pmcaid") or "").upper().removeprefix("PMC")
    texts = [node.text or "" for node in article.iterfind(".//front//pub-date/year")]
    years = [int(text) for text in texts if text.isdecimal()]
    abstract = article.find(".//front//abstract")
    return Paper(
        id=f"pmc{pmcid}",
        ids=PaperIds(pmid=ids.get("pmid", ""), pmcid=f"PMC{pmcid}" if pmcid else "", doi=ids.get("doi", "")),
        title=_prose(article.find(".//front//article-title")),
        abstract=" ".join(_paragraphs(abstract)) if abstract is not None else "",
        year=min(years) if years else None,
        journal=_prose(article.find(".//front//journal-title")),
        source=source,
        kind="full_text",
    )


def pmc_text(article: ElementTree.Element) -> str:
    """The article as a document: title, abstract, then every section under its heading.

    Tables, figures, formulas, citations marks and references are left out. Empty when the publisher
    gives PMC no body to pass on.
    """
    body = article.find("body")
    if body is None:
        return ""
    blocks = [_prose(article.find(".//front//article-title"))]
    abstract = article.find(".//front//abstract")
    if abstract is not None:
        blocks += ["Abstract", *_paragraphs(abstract)]
    blocks += _paragraphs(body)
    return "\n\n".join(block for block in blocks if block) + "\n"


def _paragraphs(node: ElementTree.Element) -> list[str]:
    blocks: list[str] = []
    for child in node:
        if child.tag in _SKIPPED:
            continue
        if child.tag in ("p", "title"):
            blocks.append(_prose(child))
        else:
            blocks += _paragraphs(child)
    return [block for block in blocks if block]


def _prose(node: ElementTree.Element | None) -> str:
    return "" if node is None else _SPACE.sub(" ", "".join(_strings(node))).strip()


def _strings(node: ElementTree.Element) -> Iterator[str]:
    yield node.text or ""
    for child in node:
        if child.tag not in _SKIPPED:
            yield from _strings(child)
        yield child.tail or ""
