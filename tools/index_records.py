"""What a literature index holds: documents, what makes two of them the same, and filters."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from pydantic import Field

from labwright.domain import PaperIds, Thing
from labwright.tools.evidence import sentences

MOST_PARTS = 64
"""Stretches of a document that are embedded: its sentences, or several sentences at once when there are more."""
LEAST_TITLE_WORDS = 4
"""A shorter title ("Editorial", "Reply") says too little to be an identity."""


class IndexedDocument(Thing):
    """One document of a literature index."""

    id: str = Field(min_length=1)
    """Distinct within its corpus."""
    corpus: str = Field("default", min_length=1)
    title: str = ""
    text: str = ""
    """What is searched beside the title."""
    ids: PaperIds = PaperIds()
    year: int | None = None
    type: str = ""
    """Publication type, such as abstract, full_text or review; compared as it is written."""
    retracted: bool = False

    def passage(self) -> str:
        """The text that is embedded: title and text."""
        text = f"{self.title}. {self.text}" if self.title.strip() else self.text
        return " ".join(text.split())

    def parts(self) -> list[str]:
        """Texts that are embedded beside the passage: the title (or the passage once more), then its sentences.

        The whole of a long text is covered, by runs of as many sentences as make at most 64 parts.
        """
        first = " ".join(self.title.split()) or self.passage()
        found = [" ".join(s.text.split()) for s in sentences(self.id, self.text)]
        run = -(-len(found) // MOST_PARTS) or 1
        return [first, *(" ".join(found[i : i + run]) for i in range(0, len(found), run))]

    def digest(self) -> str:
        """Hash of title and text: a document whose digest is unchanged is not embedded again."""
        return hashlib.sha256(f"{self.title}\0{self.text}".encode()).hexdigest()

    def identities(self) -> dict[str, str]:
        """Kind of identifier to its normal form; kinds are pmcid, doi, pmid and title.

        Example:
            >>> IndexedDocument(id="a", ids=PaperIds(doi="https://doi.org/10.1/X", pmcid="12")).identities()
            {'pmcid': 'PMC12', 'doi': '10.1/x'}
        """
        words = re.findall(r"\w+", self.title.casefold())
        pmcid = self.ids.pmcid.strip().upper().removeprefix("PMC")
        doi = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:\s*)", "", self.ids.doi.strip().casefold())
        found = {
            "pmcid": f"PMC{pmcid}" if pmcid else "",
            "doi": doi,
            "pmid": self.ids.pmid.strip(),
            "title": " ".join(words) if len(words) >= LEAST_TITLE_WORDS else "",
        }
        return {kind: value for kind, value in found.items() if value}


def same_paper(a: IndexedDocument, b: IndexedDocument) -> bool:
    """Two documents are one paper: a shared PMCID, DOI or PMID, or the same title and no identifier against it.

    An identifier is against it when both have one of that kind and the two differ: a correction keeps its
    paper's title and has a PMID of its own.
    """
    left, right = a.identities(), b.identities()
    kinds = [kind for kind in ("pmcid", "doi", "pmid") if kind in left and kind in right]
    if any(left[kind] == right[kind] for kind in kinds):
        return True
    return not kinds and "title" in left and left["title"] == right.get("title")


def merged(old: IndexedDocument, new: IndexedDocument) -> IndexedDocument:
    """What the index keeps of two records of one paper that came under different ids.

    The later record's words win, unless it is the shorter text; the id is the earlier one, so that what
    refers to it still resolves; identifiers add up; a paper that either record calls retracted is retracted.
    """
    longer = new if len(new.text) >= len(old.text) else old
    return new.model_copy(
        update={
            "id": old.id,
            "title": new.title or old.title,
            "text": longer.text,
            "type": longer.type or new.type or old.type,
            "ids": PaperIds(
                pmid=new.ids.pmid or old.ids.pmid,
                pmcid=new.ids.pmcid or old.ids.pmcid,
                doi=new.ids.doi or old.ids.doi,
            ),
            "year": new.year if new.year is not None else old.year,
            "retracted": old.retracted or new.retracted,
        }
    )


class Filter(Thing):
    """Which documents a search may return; the default lets every one through."""

    corpora: tuple[str, ...] = ()
    """Names of corpora; empty for all."""
    types: tuple[str, ...] = ()
    """Publication types; empty for all."""
    since: int | None = None
    """First year; a document without a year is left out when a year is asked for."""
    until: int | None = None
    """Last year, included."""
    retracted: bool | None = None
    """False leaves retracted papers out, True asks for them only, None does not mind."""

    def is_open(self) -> bool:
        """Nothing is filtered."""
        return self == Filter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One document found."""

    document: IndexedDocument
    score: float
    """Comparable within one search only."""
