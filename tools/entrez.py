"""PubMed, PubMed Central and GEO through the NCBI E-utilities.

Results come by relevance, not by date. When NCBI cannot be reached every call raises SourceUnavailable,
within the connection limit of the configuration, so that a run can go on with the embedded corpus.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from labwright.domain import Dataset, Paper
from labwright.errors import SourceUnavailable
from labwright.tools.article_xml import pmc_articles, pmc_paper, pmc_text, pubmed_papers
from labwright.tools.eutils import Eutils

BATCH: Final = 100
"""Most ids in one request; longer addresses are refused."""
_ACCESSION = re.compile(r"\b(?:GSE|GPL|GSM|GDS)\d+\b")


def geo_accessions(text: str) -> set[str]:
    """The GEO accessions that a text names: upper case, bounded by word ends."""
    return set(_ACCESSION.findall(text))


class PubMedSource:
    """Abstracts from PubMed, with the full text from PMC where it is free."""

    name = "pubmed"

    def __init__(self, eutils: Eutils, *, today: Callable[[], date] = date.today) -> None:
        """Search through `eutils`; `today` dates the retraction status."""
        self._eutils = eutils
        self._today = today

    def search(self, query: str, limit: int) -> list[Paper]:
        """At most `limit` papers that have an abstract, most relevant first.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        return self.fetch(_esearch(self._eutils, "pubmed", query, limit))

    def fetch(self, pmids: Sequence[str]) -> list[Paper]:
        """The papers of these PMIDs, in their order; those without an abstract are left out.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        papers: dict[str, Paper] = {}
        for batch in _batches(pmids):
            parsed = self._eutils.read("efetch", {"db": "pubmed", "id": ",".join(batch)})
            for paper in pubmed_papers(parsed, self.name, self._today().isoformat()):
                papers[paper.ids.pmid] = paper
        return [papers[pmid] for pmid in pmids if pmid in papers]

    def pmcids(self, pmids: Sequence[str]) -> dict[str, str]:
        """PMID to PMCID, for those that PubMed Central holds.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        links: dict[str, str] = {}
        for batch in _batches(pmids):
            # One `id` parameter each: a comma-joined list would come back as one merged link set.
            params = {"dbfrom": "pubmed", "db": "pmc", "linkname": "pubmed_pmc", "id": batch}
            for link_set in self._eutils.read("elink", params):
                links.update(_first_link(link_set))
        return links

    def text(self, paper: Paper) -> str:
        """The full text when PMC gives it out, else title and abstract.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        pmcid = paper.ids.pmcid or self.pmcids([paper.ids.pmid]).get(paper.ids.pmid, "")
        return (_full_text(self._eutils, pmcid) if pmcid else "") or _abstract_document(paper)


class PmcSource:
    """Papers whose full text PubMed Central holds."""

    name = "pmc"

    def __init__(self, eutils: Eutils) -> None:
        """Search through `eutils`."""
        self._eutils = eutils

    def search(self, query: str, limit: int) -> list[Paper]:
        """At most `limit` papers that have an abstract, most relevant first.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        papers: list[Paper] = []
        for batch in _batches(_esearch(self._eutils, "pmc", query, limit)):
            xml = self._eutils.get("efetch", {"db": "pmc", "id": ",".join(batch), "retmode": "xml"})
            papers += [pmc_paper(article, self.name) for article in pmc_articles(xml)]
        return [paper for paper in papers if paper.abstract]

    def text(self, paper: Paper) -> str:
        """The full text when PMC gives it out, else title and abstract.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        return _full_text(self._eutils, paper.ids.pmcid) or _abstract_document(paper)


class GeoSource:
    """Data sets of the Gene Expression Omnibus: what they are, not their values."""

    name = "geo"

    def __init__(self, eutils: Eutils) -> None:
        """Search through `eutils`."""
        self._eutils = eutils

    def search(self, query: str, limit: int) -> list[Dataset]:
        """At most `limit` series, most relevant first.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        return self._summaries(_esearch(self._eutils, "gds", f"({query}) AND gse[Entry Type]", limit))

    def verify(self, accession: str) -> Dataset | None:
        """The facts that GEO holds about an accession; None when it knows no such accession.

        Raises:
            ValueError: the text is not a GEO accession.
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        if not _ACCESSION.fullmatch(accession):
            raise ValueError(f"{accession!r} is not a GEO accession")
        uids = _esearch(self._eutils, "gds", f"{accession}[ACCN]", 20)
        return next((found for found in self._summaries(uids) if found.accession == accession), None)

    def _summaries(self, uids: Sequence[str]) -> list[Dataset]:
        found: list[Dataset] = []
        for batch in _batches(uids):
            summaries = self._eutils.read("esummary", {"db": "gds", "id": ",".join(batch)})
            found += [_dataset(summary) for summary in summaries]
        return found


def _dataset(summary: Mapping[str, Any]) -> Dataset:
    accession = str(summary.get("Accession", ""))
    n_samples = summary.get("n_samples")  # an int of Biopython's own kind, whose str() is not a number
    return Dataset(
        id=accession,
        accession=accession,
        title=str(summary.get("title", "")),
        description=str(summary.get("summary", "")),
        organism=str(summary.get("taxon", "")),
        assay=str(summary.get("gdsType", "")),
        n_samples=int(n_samples) if n_samples else None,
        source={"archive": "GEO", "uid": str(summary.get("Id", ""))},
        verified=bool(accession and summary.get("taxon") and summary.get("gdsType") and n_samples),
        verification="accession, organism, assay and number of samples as GEO states them (esummary, db=gds)",
    )


def _esearch(eutils: Eutils, db: str, term: str, limit: int) -> list[str]:
    found = eutils.read("esearch", {"db": db, "term": term, "retmax": limit, "sort": "relevance"})
    if "IdList" not in found:
        raise SourceUnavailable(f"NCBI esearch refused the query on {db}")
    return [str(uid) for uid in found["IdList"]][:limit]


def _first_link(link_set: Mapping[str, Any]) -> dict[str, str]:
    asked = [str(uid) for uid in link_set.get("IdList", ())]
    for linked in link_set.get("LinkSetDb", ()):
        if str(linked.get("LinkName")) == "pubmed_pmc" and linked["Link"] and len(asked) == 1:
            return {asked[0]: f"PMC{linked['Link'][0]['Id']}"}
    return {}


def _full_text(eutils: Eutils, pmcid: str) -> str:
    number = pmcid.upper().removeprefix("PMC")
    xml = eutils.get("efetch", {"db": "pmc", "id": number, "retmode": "xml"})
    article = next(iter(pmc_articles(xml)), None)
    return "" if article is None else pmc_text(article)


def _abstract_document(paper: Paper) -> str:
    return f"{paper.title}\n\nAbstract\n\n{paper.abstract}\n"


def _batches(uids: Sequence[str]) -> Iterable[list[str]]:
    return (list(uids[start : start + BATCH]) for start in range(0, len(uids), BATCH))
