"""Where papers come from: one protocol, the embedded corpus, and corpora that users add.

The network sources are in `labwright.tools.entrez` and `labwright.tools.europe_pmc`; they meet the same protocol.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from labwright.domain import Paper, PaperIds
from labwright.tools.corpus.records import Record, load_records
from labwright.tools.index import Encoder, Index
from labwright.tools.standing import worst

_RESOLVER = re.compile(r"^(?:https?://(?:dx\.)?doi\.org/|doi:\s*)")


class LiteratureSource(Protocol):
    """Anything that finds papers and holds their text."""

    name: str
    """How the source is called in the configuration and in `Paper.source`."""

    def search(self, query: str, limit: int) -> list[Paper]:
        """At most `limit` papers, best first; empty when nothing fits."""

    def text(self, paper: Paper) -> str:
        """The document to store for a paper that this source returned."""


class EmbeddedCorpus:
    """The summaries that ship with labwright; works without a network."""

    name = "embedded"

    def __init__(self, encode: Encoder) -> None:
        """Prepare the corpus; the index is built at the first search.

        Args:
            encode: texts to unit vectors, for `labwright.tools.index.Index`.
        """
        self._records = {record.id: record for record in load_records()}
        self._encode = encode
        self._index: Index | None = None

    def papers(self) -> list[Paper]:
        """Every record as a paper, in the order of the file."""
        return [_paper_of(record) for record in self._records.values()]

    def search(self, query: str, limit: int) -> list[Paper]:
        """At most `limit` papers, best first."""
        if self._index is None:
            self._index = Index([(r.id, r.text()) for r in self._records.values()], self._encode)
        return [_paper_of(self._records[name]) for name, _ in self._index.search(query, limit)]

    def text(self, paper: Paper) -> str:
        """The record's summary as a document.

        Raises:
            KeyError: the paper is not one of this corpus.
        """
        return self._records[paper.id].text()


def _paper_of(record: Record) -> Paper:
    return Paper(
        id=record.id,
        ids=PaperIds(pmid=record.pmid, doi=record.doi),
        title=record.title,
        abstract=record.abstract(),
        year=record.year,
        journal=record.journal,
        source=EmbeddedCorpus.name,
        kind="summary",
    )


def abstract_document(paper: Paper) -> str:
    """The document to store when only the abstract is to be had."""
    return f"{paper.title}\n\nAbstract\n\n{paper.abstract}\n"


def bare_doi(doi: str) -> str:
    """A DOI in lower case, without the address of a resolver or the prefix `doi:`."""
    return _RESOLVER.sub("", doi.strip().lower())


def deduplicate(papers: Iterable[Paper]) -> list[Paper]:
    """One paper per PMCID, then per DOI, then per PMID; the later record wins, the earlier place is kept.

    A paper without the identifier of a pass is keyed by its title in that pass. The order of the three
    passes matters: two papers that share only a DOI stay apart in the first pass and meet in the second.
    The record that is kept has the graver standing of the two, so that no retraction is lost.
    """
    kept = list(papers)
    for key in (_pmcid_key, _doi_key, _pmid_key):
        kept = _last_of_each(kept, key)
    return kept


def _last_of_each(papers: Sequence[Paper], key: Callable[[Paper], str]) -> list[Paper]:
    by_key: dict[str, Paper] = {}
    for paper in papers:
        earlier = by_key.get(key(paper))
        if earlier is not None and earlier.retraction != paper.retraction:
            paper = paper.model_copy(update={"retraction": worst(earlier.retraction, paper.retraction)})
        by_key[key(paper)] = paper
    return list(by_key.values())


def _pmcid_key(paper: Paper) -> str:
    number = paper.ids.pmcid.upper().removeprefix("PMC")
    return f"pmcid {number}" if number else _title_key(paper)


def _doi_key(paper: Paper) -> str:
    doi = bare_doi(paper.ids.doi)
    return f"doi {doi}" if doi else _title_key(paper)


def _pmid_key(paper: Paper) -> str:
    return f"pmid {paper.ids.pmid}" if paper.ids.pmid else _title_key(paper)


def _title_key(paper: Paper) -> str:
    words = re.findall(r"\w+", paper.title.casefold())
    return "title " + (" ".join(words) or paper.id)
