"""The standing of a paper: retracted, under a concern, a notice itself, or nothing known; and what may be evidence."""

from __future__ import annotations

from collections.abc import Mapping

from labwright.domain import Paper, Retraction
from labwright.errors import RetractedEvidence

RETRACTED_TYPES = frozenset({"Retracted Publication"})
NOTICE_TYPES = frozenset({"Retraction of Publication", "Retraction Notice", "Expression of Concern"})
NOTICE_LINKS = frozenset({"RetractionOf", "ExpressionOfConcernFor"})
GRAVER_LATER = ("unknown", "none", "concern", "notice", "retracted")


def standing(types: tuple[str, ...], links: Mapping[str, str], *, checked_at: str, source: str) -> Retraction:
    """What publication types and links to notices say of a record.

    Args:
        types: publication types.
        links: kind of link as PubMed names it (`RetractionIn`, ...) to what it leads to.
        checked_at: date of the record, ISO.
        source: who said so.
    """
    retracted = bool(RETRACTED_TYPES & set(types)) or "RetractionIn" in links
    if retracted:
        status, detail = "retracted", links.get("RetractionIn", "")
    elif NOTICE_TYPES & set(types) or NOTICE_LINKS & links.keys():
        status, detail = "notice", next((links[kind] for kind in sorted(NOTICE_LINKS) if kind in links), "")
    elif "ExpressionOfConcernIn" in links:
        status, detail = "concern", links["ExpressionOfConcernIn"]
    else:
        status, detail = "none", ""
    return Retraction.model_validate({"status": status, "checked_at": checked_at, "source": source, "detail": detail})


def worst(one: Retraction, two: Retraction) -> Retraction:
    """What two sources say of one paper: the graver status; equal ones name both sources and the older date."""
    if one == two or "unknown" in (one.status, two.status) or one.status != two.status:
        return max(one, two, key=lambda said: GRAVER_LATER.index(said.status))
    sources = list(dict.fromkeys([*one.source.split(" and "), *two.source.split(" and ")]))
    together = {"checked_at": min(one.checked_at, two.checked_at), "source": " and ".join(sources)}
    return one.model_copy(update={**together, "detail": one.detail or two.detail})


def standing_note(paper: Paper) -> str:
    """The standing of a paper with source and date, as a reader of the citation needs it."""
    said = paper.retraction
    checked = f" ({said.source}, {said.checked_at})" if said.checked_at else ""
    detail = f": {said.detail}" if said.detail else ""
    retrieved = f"; record of {paper.retrieved_on}" if paper.retrieved_on else ""
    words = said.words.upper() if said.status in ("retracted", "concern") else said.words
    return f"Retraction: {words}{checked}{detail}{retrieved}"


def require_citable(paper: Paper) -> None:
    """Stop a paper that may not be evidence.

    Raises:
        RetractedEvidence: the paper is retracted, or is itself a notice.
    """
    if not paper.retraction.citable:
        raise RetractedEvidence(paper=paper.id, status=paper.retraction.status, source=paper.retraction.source)
