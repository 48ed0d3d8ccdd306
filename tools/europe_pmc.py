"""Europe PMC: search with paging, and the open full texts (REST service, JSON and JATS).

Written after the service's documented format (europepmc.org/RestfulWebService, release 6): `cursorMark` pages the
result, `resultType=core` gives abstracts, publication types and links to notices, `/ID/fullTextXML` serves the
articles that `isOpenAccess` marks, and `/ID/supplementaryFiles` their pictures and supplements as a ZIP archive.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from labwright.domain import Paper, PaperIds
from labwright.errors import SourceUnavailable
from labwright.tools.article_xml import plain
from labwright.tools.jats import articles
from labwright.tools.paper_figures import MOST_MIB, PaperFigure, of_package
from labwright.tools.sources import abstract_document
from labwright.tools.standing import standing
from labwright.tools.transport import Damaged, Service, Transport

BASE_URL: Final = "https://www.ebi.ac.uk/europepmc/webservices/rest"
PAGE: Final = 200
"""Records in one request; the service allows 1,000."""
INTERVAL_S: Final = 0.15
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
LINKS: Final = {
    "retraction in": "RetractionIn",
    "retraction of": "RetractionOf",
    "expression of concern in": "ExpressionOfConcernIn",
    "expression of concern for": "ExpressionOfConcernFor",
}


class _Part(BaseModel):
    """Of a reply: fields that are not named here are let pass, a null counts as absent."""

    model_config = ConfigDict(coerce_numbers_to_str=True)


class _Author(_Part):
    last: Text = Field("", alias="lastName")
    first: Text = Field("", alias="firstName")
    initials: Text = ""
    group: Text = Field("", alias="collectiveName")


class _Note(_Part):
    type: Text = ""
    id: Text = ""
    reference: Text = ""


class _Heading(_Part):
    name: Text = Field("", alias="descriptorName")


class _Authors(_Part):
    listed: list[_Author] = Field([], alias="author")


class _Notes(_Part):
    listed: list[_Note] = Field([], alias="commentCorrection")


class _Headings(_Part):
    listed: list[_Heading] = Field([], alias="meshHeading")


class _Types(_Part):
    listed: list[str] = Field([], alias="pubType")


class _Journal(_Part):
    title: Text = ""


class _Issue(_Part):
    journal: _Journal = _Journal()


class _Record(_Part):
    """One record of `resultType=core`."""

    id: str
    source: str
    pmid: Text = ""
    pmcid: Text = ""
    doi: Text = ""
    title: Text = ""
    abstract: Text = Field("", alias="abstractText")
    year: Text = Field("", alias="pubYear")
    open_access: Text = Field("", alias="isOpenAccess")
    authors: _Authors = Field(_Authors(), alias="authorList")
    journal: _Issue = Field(_Issue(), alias="journalInfo")
    types: _Types = Field(_Types(), alias="pubTypeList")
    headings: _Headings = Field(_Headings(), alias="meshHeadingList")
    notes: _Notes = Field(_Notes(), alias="commentCorrectionList")


class _Results(_Part):
    listed: list[_Record] = Field(alias="result")


class _Page(_Part):
    hits: int = Field(alias="hitCount")
    following: Text = Field("", alias="nextCursorMark")
    results: _Results = Field(alias="resultList")


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
            records, hits, following = reply.value.results.listed, reply.value.hits, reply.value.following
            for record in records:
                paper = _paper(record, self.name, reply.on)
                papers.setdefault(paper.id, paper)
            seen += len(records)
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

    def figures(self, paper: Paper) -> list[PaperFigure]:
        """Figures and pictures of the supplement of an open article.

        Raises:
            SourceUnavailable: the service did not answer or sent something unusable.
        """
        if paper.kind != "full_text" or not paper.ids.pmcid:
            return []
        found = self._transport.get(f"{paper.ids.pmcid}/fullTextXML", {}, articles).value
        if not found:
            return []
        asked = {"includeInlineImage": "true"}
        archive = self._transport.get(f"{paper.ids.pmcid}/supplementaryFiles", asked, _archive, keep=False).value
        with archive:
            return of_package(found[0], archive.namelist(), lambda name: _member(archive, name))


def _archive(body: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(body))
    except zipfile.BadZipFile as error:
        raise Damaged("not a whole ZIP archive") from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """A file of an archive; None when it is too large, or is not what the archive says of it."""
    most = MOST_MIB * 2**20
    try:
        with archive.open(name) as file:
            body = file.read(most + 1)  # an archive may tell another size than it unpacks to
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        return None
    return body if len(body) <= most else None


def _page(body: bytes) -> _Page:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Damaged("not whole JSON") from error
    if isinstance(raw, dict) and "errMsg" in raw:
        raise SourceUnavailable(f"Europe PMC refused the query: {plain(raw['errMsg'])[:120]}")
    try:
        return _Page.model_validate(raw)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the whole"
        raise Damaged(f"not a page of results: {where}") from error


def _paper(record: _Record, source: str, on: str) -> Paper:
    """A record of the core format; `kind` says whether its full text is open."""
    links = {LINKS[kind]: _notice(n) for n in record.notes.listed if (kind := n.type.lower()) in LINKS}
    types = tuple(map(_capitalised, record.types.listed))
    return Paper(
        id=f"pmid{record.pmid}" if record.pmid else record.pmcid.lower() or f"{record.source}{record.id}".lower(),
        ids=PaperIds(pmid=record.pmid, pmcid=record.pmcid, doi=record.doi),
        title=plain(record.title),
        authors=tuple(filter(None, map(_name, record.authors.listed))),
        abstract=plain(record.abstract.replace("</h4>", ": ")),
        year=int(record.year) if record.year.isdecimal() else None,
        journal=plain(record.journal.journal.title),
        source=source,
        types=types,
        mesh=tuple(heading.name for heading in record.headings.listed),
        retrieved_on=on,
        kind="full_text" if record.pmcid and record.open_access == "Y" else "abstract",
        retraction=standing(types, links, checked_at=on, source="Europe PMC"),
    )


def _capitalised(kind: str) -> str:
    """A publication type in PubMed's spelling; Europe PMC writes some in lower case."""
    return " ".join(w if w in ("of", "in") else w[:1].upper() + w[1:] for w in kind.split())


def _name(author: _Author) -> str:
    given = author.first or author.initials
    return f"{author.last}, {given}" if author.last and given else author.last or author.group


def _notice(note: _Note) -> str:
    number = f" (PMID {note.id})" if note.id else ""
    return f"{plain(note.reference)}{number}".strip()
