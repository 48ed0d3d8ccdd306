"""Europe PMC: search with paging, and the open full texts (REST service, JSON and JATS).

Written after the service's documented format (europepmc.org/RestfulWebService, release 6): `cursorMark` pages the
result, `resultType=core` gives abstracts, publication types and links to notices, and `/ID/fullTextXML` serves the
articles that `isOpenAccess` marks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from labwright.domain import Paper, PaperIds
from labwright.errors import SourceUnavailable
from labwright.tools.article_xml import plain
from labwright.tools.jats import articles
from labwright.tools.sources import abstract_document
from labwright.tools.standing import standing
from labwright.tools.transport import Damaged, Service, Transport

BASE_URL: Final = "https://www.ebi.ac.uk/europepmc/webservices/rest"
PAGE: Final = 200
"""Records in one request; the service allows 1,000."""
INTERVAL_S: Final = 0.15
LINKS: Final = {
    "retraction in": "RetractionIn",
    "retraction of": "RetractionOf",
    "expression of concern in": "ExpressionOfConcernIn",
    "expression of concern for": "ExpressionOfConcernFor",
}


def service(base_url: str = BASE_URL, email: str = "") -> Service:
    """How to talk to Europe PMC; no key is needed, a mail address is welcome."""
    return Service(name="Europe PMC", base_url=base_url, interval_s=INTERVAL_S, identity={"email": email})


class EuropePmcSource:
    """Papers and preprints of Europe PMC, with the full text where it is open access."""

    name = "europepmc"

    def __init__(self, transport: Transport) -> None:
        """Search through `transport`, made for `service()`."""
        self._transport = transport

    def search(self, query: str, limit: int) -> list[Paper]:
        """At most `limit` papers that have an abstract, most relevant first; each record once.

        Raises:
            SourceUnavailable: the service did not answer, sent something unusable, or ended its list too early.
        """
        papers: dict[str, Paper] = {}
        cursor, seen, hits = "*", 0, limit
        while seen < min(limit, hits):
            params: dict[str, str | int] = {
                "query": query,
                "format": "json",
                "resultType": "core",
                "cursorMark": cursor,
            }
            reply = self._transport.get("search", {**params, "pageSize": min(PAGE, limit - seen)}, _page)
            records, hits = reply.value["resultList"]["result"], int(reply.value["hitCount"])
            for record in records:
                paper = _paper(record, self.name, reply.on)
                papers.setdefault(paper.id, paper)
            seen += len(records)
            following = str(reply.value.get("nextCursorMark") or "")
            if seen < min(limit, hits) and (not records or following in ("", cursor)):
                raise SourceUnavailable(f"Europe PMC ended its list after {seen} of {hits} hits; ask again")
            cursor = following
        return [paper for paper in papers.values() if paper.abstract]

    def text(self, paper: Paper) -> str:
        """The open full text, else title and abstract.

        Raises:
            SourceUnavailable: the service did not answer or sent something unusable.
        """
        if paper.kind != "full_text" or not paper.ids.pmcid:
            return abstract_document(paper)
        found = self._transport.get(f"{paper.ids.pmcid}/fullTextXML", {}, articles).value
        return (found[0].document() if found else "") or abstract_document(paper)


def _page(body: bytes) -> Mapping[str, Any]:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Damaged("not whole JSON") from error
    if isinstance(page, dict) and "errMsg" in page:
        raise SourceUnavailable(f"Europe PMC refused the query: {plain(page['errMsg'])[:120]}")
    if not isinstance(page, dict) or not isinstance((page.get("resultList") or {}).get("result"), list):
        raise Damaged("no list of results")
    if not isinstance(page.get("hitCount"), int):
        raise Damaged("no number of hits")
    return page


def _paper(record: Mapping[str, Any], source: str, on: str) -> Paper:
    """A record of the core format; `kind` says whether its full text is open."""
    pmid, pmcid = _text(record, "pmid"), _text(record, "pmcid")
    name = f"pmid{pmid}" if pmid else pmcid.lower() or f"{_text(record, 'source')}{_text(record, 'id')}".lower()
    journal = (record.get("journalInfo") or {}).get("journal") or {}
    year = _text(record, "pubYear")
    types = tuple(map(str, (record.get("pubTypeList") or {}).get("pubType") or ()))
    notes = (record.get("commentCorrectionList") or {}).get("commentCorrection") or ()
    links = {LINKS[kind]: _notice(note) for note in notes if (kind := str(note.get("type", "")).lower()) in LINKS}
    headings = (record.get("meshHeadingList") or {}).get("meshHeading") or ()
    return Paper(
        id=name,
        ids=PaperIds(pmid=pmid, pmcid=pmcid, doi=_text(record, "doi")),
        title=plain(record.get("title") or ""),
        authors=_authors(record),
        abstract=plain(record.get("abstractText") or ""),
        year=int(year) if year.isdecimal() else None,
        journal=plain(journal.get("title") or ""),
        source=source,
        types=types,
        mesh=tuple(str(heading.get("descriptorName", "")) for heading in headings),
        retrieved_on=on,
        kind="full_text" if pmcid and _text(record, "isOpenAccess") == "Y" else "abstract",
        retraction=standing(_capitalised(types), links, checked_at=on, source="Europe PMC"),
    )


def _capitalised(types: tuple[str, ...]) -> tuple[str, ...]:
    """Publication types in PubMed's spelling; Europe PMC writes some in lower case."""
    return tuple(" ".join(w if w in ("of", "in") else w[:1].upper() + w[1:] for w in t.split()) for t in types)


def _authors(record: Mapping[str, Any]) -> tuple[str, ...]:
    names = []
    for author in (record.get("authorList") or {}).get("author") or ():
        family, given = _text(author, "lastName"), _text(author, "firstName") or _text(author, "initials")
        names.append(f"{family}, {given}" if family and given else family or _text(author, "collectiveName"))
    return tuple(name for name in names if name)


def _notice(note: Mapping[str, Any]) -> str:
    number = f" (PMID {note['id']})" if note.get("id") else ""
    return f"{plain(note.get('reference') or '')}{number}".strip()


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return "" if value is None else str(value).strip()
