"""PubMed and PubMed Central through the NCBI E-utilities.

Results come by relevance, not by date. When NCBI cannot be reached every call raises SourceUnavailable,
within the connection limit of the configuration, so that a run can go on with the embedded corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from labwright.domain import Paper
from labwright.errors import SourceUnavailable
from labwright.tools.article_xml import pubmed_papers
from labwright.tools.eutils import Eutils
from labwright.tools.jats import Article, articles
from labwright.tools.sources import abstract_document, bare_doi

BATCH: Final = 200
"""Records in one request, and ids in one address."""
FULL_TEXTS: Final = 50
"""Full texts in one request."""
MOST: Final = 10_000
"""PubMed gives out no more ids than this for one query."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search named: the ids, and where NCBI keeps the list."""

    uids: tuple[str, ...]
    web_env: str = ""
    query_key: str = ""


class PubMedSource:
    """Abstracts from PubMed, with the full text from PMC where it is free."""

    name = "pubmed"

    def __init__(self, eutils: Eutils, note: Callable[[str], None] = lambda text: None) -> None:
        """Search through `eutils`; `note` is told what PubMed named but did not give out."""
        self._eutils = eutils
        self._note = note

    def search(self, query: str, limit: int) -> list[Paper]:
        """At most `limit` papers that have an abstract, most relevant first.

        A list longer than one batch stays on NCBI's history server and is fetched from there in batches;
        a record that a batch leaves out is asked for once more by its number.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        found = search_ids(self._eutils, "pubmed", query, min(limit, MOST))
        papers = self._from_history(found) if found.web_env else self._records(found.uids)
        if left := [uid for uid in found.uids if uid not in papers]:
            papers |= self._records(left)
        if lost := [uid for uid in found.uids if uid not in papers]:
            self._note(f"PubMed named {len(lost)} records that it did not give out: {', '.join(lost[:5])}")
        return [papers[uid] for uid in found.uids if uid in papers and papers[uid].abstract]

    def fetch(self, pmids: Sequence[str]) -> list[Paper]:
        """The papers of these PMIDs, in their order; what PubMed does not know is left out.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        papers = self._records(pmids)
        return [papers[pmid] for pmid in dict.fromkeys(pmids) if pmid in papers]

    def by_doi(self, dois: Sequence[str]) -> dict[str, Paper]:
        """DOI (lower case, bare) to the paper that PubMed holds under it.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        wanted = {bare_doi(doi) for doi in dois} - {""}
        found: dict[str, Paper] = {}
        for batch in batches(sorted(wanted), 50):
            query = " OR ".join(f'"{doi}"[AID]' for doi in batch)
            for paper in self.fetch(search_ids(self._eutils, "pubmed", query, BATCH).uids):
                if bare_doi(paper.ids.doi) in wanted:
                    found[bare_doi(paper.ids.doi)] = paper
        return found

    def pmcids(self, pmids: Sequence[str]) -> dict[str, str]:
        """PMID to PMCID, for those that PubMed Central holds.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        links: dict[str, str] = {}
        for batch in batches(list(dict.fromkeys(pmids)), BATCH):
            # One `id` parameter each: a comma-joined list would come back as one merged link set.
            params = {"dbfrom": "pubmed", "db": "pmc", "linkname": "pubmed_pmc", "id": batch}
            for link_set in self._eutils.read("elink", params).value:
                links.update(_first_link(link_set))
        return links

    def text(self, paper: Paper) -> str:
        """The full text when PMC gives it out, else title and abstract.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        pmcid = paper.ids.pmcid or self.pmcids([paper.ids.pmid]).get(paper.ids.pmid, "")
        return (_full_text(self._eutils, pmcid) if pmcid else "") or abstract_document(paper)

    def _records(self, pmids: Sequence[str]) -> dict[str, Paper]:
        papers: dict[str, Paper] = {}
        for batch in batches(list(dict.fromkeys(pmids)), BATCH):
            reply = self._eutils.read("efetch", {"db": "pubmed", "id": ",".join(batch)})
            papers |= {paper.ids.pmid: paper for paper in pubmed_papers(reply, self.name)}
        return papers

    def _from_history(self, found: Found) -> dict[str, Paper]:
        papers: dict[str, Paper] = {}
        where = {"db": "pubmed", "WebEnv": found.web_env, "query_key": found.query_key}
        for start in range(0, len(found.uids), BATCH):
            most = min(BATCH, len(found.uids) - start)
            reply = self._eutils.read("efetch", {**where, "retstart": start, "retmax": most}, keep=False)
            papers |= {paper.ids.pmid: paper for paper in pubmed_papers(reply, self.name)}
        return papers


class PmcSource:
    """Papers whose full text PubMed Central holds."""

    name = "pmc"

    def __init__(self, eutils: Eutils) -> None:
        """Search through `eutils`."""
        self._eutils = eutils
        self._texts: dict[str, str] = {}

    def search(self, query: str, limit: int) -> list[Paper]:
        """At most `limit` papers that have an abstract, most relevant first.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        papers: dict[str, Paper] = {}
        uids = search_ids(self._eutils, "pmc", query, min(limit, MOST)).uids
        for batch in batches(uids, FULL_TEXTS):
            params = {"db": "pmc", "id": ",".join(batch), "retmode": "xml"}
            reply = self._eutils.get("efetch", params, articles)
            for article in reply.value:
                paper = article.paper(self.name).model_copy(update={"retrieved_on": reply.on})
                papers[paper.id.removeprefix("pmc")] = paper
                self._texts[paper.id] = article.document()
        return [papers[uid] for uid in uids if uid in papers and papers[uid].abstract]

    def text(self, paper: Paper) -> str:
        """The full text when PMC gives it out, else title and abstract.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        known = self._texts.get(paper.id)
        return (known if known is not None else _full_text(self._eutils, paper.ids.pmcid)) or abstract_document(paper)


def search_ids(eutils: Eutils, db: str, term: str, limit: int) -> Found:
    """Ids by relevance, each once; with more than one batch also where NCBI keeps them.

    Raises:
        SourceUnavailable: NCBI did not answer or sent something unusable.
    """
    long = db == "pubmed" and limit > BATCH
    params: dict[str, str | int] = {"db": db, "term": term, "retmax": limit, "sort": "relevance"}
    found = eutils.read("esearch", {**params, "usehistory": "y"} if long else params, keep=not long).value
    if not isinstance(found, Mapping) or "IdList" not in found:
        raise SourceUnavailable(f"NCBI esearch refused the query on {db}")
    uids = [str(uid) for uid in found["IdList"]]
    distinct = tuple(dict.fromkeys(uids))[:limit]
    if not long or len(distinct) < min(len(uids), limit) or len(distinct) <= BATCH:
        return Found(distinct)  # positions in the history list would not be those of the ids
    return Found(distinct, str(found.get("WebEnv", "")), str(found.get("QueryKey", "")))


def batches(uids: Sequence[str], most: int) -> Iterable[list[str]]:
    """The ids in lists of at most `most`."""
    return (list(uids[start : start + most]) for start in range(0, len(uids), most))


def _first_link(link_set: Mapping[str, Any]) -> dict[str, str]:
    asked = [str(uid) for uid in link_set.get("IdList", ())]
    for linked in link_set.get("LinkSetDb", ()):
        if str(linked.get("LinkName")) == "pubmed_pmc" and linked["Link"] and len(asked) == 1:
            return {asked[0]: f"PMC{linked['Link'][0]['Id']}"}
    return {}


def _full_text(eutils: Eutils, pmcid: str) -> str:
    number = pmcid.upper().removeprefix("PMC")
    reply = eutils.get("efetch", {"db": "pmc", "id": number, "retmode": "xml"}, articles)
    article: Article | None = next(iter(reply.value), None)
    return "" if article is None else article.document()
