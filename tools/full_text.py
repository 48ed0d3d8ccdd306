"""Full texts: what was obtained by an open route, and what only the user can add."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labwright.domain import Paper
from labwright.errors import SourceUnavailable
from labwright.tools.sources import LiteratureSource, abstract_document


@dataclass(frozen=True, slots=True)
class Wanted:
    """A paper whose full text labwright may not or cannot fetch."""

    title: str
    doi: str
    pmid: str
    why: str


def obtain(source: LiteratureSource, paper: Paper) -> tuple[Paper, str]:
    """The document of a paper, and the paper with the kind of that document.

    Only the source's own open route is taken. When it is out of reach the abstract is the document.

    Returns:
        The paper with `kind` "full_text" or "abstract" according to what was obtained, and the text.
    """
    if not paper.retrieved_on:  # a paper that came with a file knows what it is
        return paper, source.text(paper)
    try:
        text = source.text(paper)
    except SourceUnavailable:
        text = abstract_document(paper)
    kind = "abstract" if text == abstract_document(paper) else "full_text"
    return paper.model_copy(update={"kind": kind}), text


def wanted(papers: Iterable[Paper]) -> list[Wanted]:
    """The papers that were not read in full, each with the reason."""
    return [
        Wanted(paper.title, paper.ids.doi, paper.ids.pmid, why)
        for paper in papers
        if (why := _why(paper)) and paper.retraction.citable
    ]


def _why(paper: Paper) -> str:
    if paper.kind == "summary":
        return "only a summary written for labwright is stored"
    if paper.kind == "abstract" and paper.ids.pmcid:
        return "PubMed Central holds it but its publisher gives no full text out, or it was out of reach"
    if paper.kind == "abstract":
        return "no open full text is known; add the PDF or the XML with `labwright corpus add NAME FILE`"
    return ""
