"""The E-utilities clients against a local server that replays real NCBI replies."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from labwright.errors import SourceUnavailable
from labwright.tools.article_xml import plain
from labwright.tools.entrez import PmcSource, PubMedSource
from labwright.tools.eutils import Eutils, EutilsConfig, parsed
from labwright.tools.geo import GeoSource, geo_accessions
from labwright.tools.jats import articles

REPLIES = Path(os.environ.get("LABWRIGHT_TEST_DATA", "../shared/data")) / "ncbi"
needs_replies = pytest.mark.skipif(
    not REPLIES.is_dir() and not os.environ.get("CI"), reason=f"no NCBI replies in {REPLIES}"
)

ESEARCH = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n'
    '<!DOCTYPE eSearchResult PUBLIC "-//NLM//DTD esearch 20060628//EN" '
    '"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20060628/esearch.dtd">\n<eSearchResult><Count>{n}</Count>'
    "<RetMax>{n}</RetMax><RetStart>0</RetStart><IdList>{ids}</IdList><TranslationSet/>"
    "<QueryTranslation>x</QueryTranslation></eSearchResult>"
)
GDS = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n'
    '<!DOCTYPE eSummaryResult PUBLIC "-//NLM//DTD esummary v1 20041029//EN" '
    '"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20041029/esummary-v1.dtd">\n<eSummaryResult><DocSum>'
    '<Id>200052778</Id><Item Name="Accession" Type="String">GSE52778</Item>'
    '<Item Name="title" Type="String">A title</Item><Item Name="summary" Type="String">A summary</Item>'
    '<Item Name="taxon" Type="String">Homo sapiens</Item><Item Name="entryType" Type="String">GSE</Item>'
    '<Item Name="gdsType" Type="String">Expression profiling by high throughput sequencing</Item>'
    '<Item Name="n_samples" Type="Integer">16</Item></DocSum></eSummaryResult>'
)
LINK = "<LinkSet><DbFrom>pubmed</DbFrom><IdList><Id>{pmid}</Id></IdList>{links}</LinkSet>"
LINKED = "<LinkSetDb><DbTo>pmc</DbTo><LinkName>pubmed_pmc</LinkName><Link><Id>{pmc}</Id></Link></LinkSetDb>"
ELINK = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE eLinkResult PUBLIC "-//NLM//DTD elink 20101123//EN" '
    '"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20101123/elink.dtd">\n<eLinkResult>{sets}</eLinkResult>'
)
JATS = (
    b"<pmc-articleset><article><front><article-meta><article-id pub-id-type='pmid'>11</article-id>"
    b"<article-id pub-id-type='pmcid'>PMC77</article-id><title-group><article-title>On <italic>TP53</italic>"
    b"</article-title></title-group><pub-date><year>2020</year></pub-date><pub-date><year>2019</year></pub-date>"
    b"<abstract><p>Short.</p></abstract></article-meta></front><body><sec><title>Methods</title>"
    b"<p>We used 12 mice<xref>3</xref>.</p><fig><caption><p>Mice.</p></caption></fig></sec></body>"
    b"</article></pmc-articleset>"
)


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ncbi() -> Iterator[Any]:
    """A fake NCBI with nothing queued."""
    with _module("ncbi_server").serving() as fake:
        yield fake


@pytest.fixture
def waits() -> list[float]:
    """What the client slept, in order."""
    return []


@pytest.fixture
def eutils(ncbi: Any, waits: list[float]) -> Eutils:
    """A client of the fake that notes its waits and never sleeps."""
    config = EutilsConfig(email="a@b.org", api_key="secret", base_url=ncbi.base_url, connect_s=0.5, read_s=2)
    return Eutils(config, sleep=waits.append, today=lambda: date(2026, 1, 2))


def found(*uids: str) -> str:
    """An esearch reply with these ids."""
    return ESEARCH.format(n=len(uids), ids="".join(f"<Id>{uid}</Id>" for uid in uids))


def article(pmid: str, *, types: str = "", notes: str = "") -> str:
    """A small PubMed record set with one article, under a document type of a year to come."""
    return (
        '<?xml version="1.0" ?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 2031//EN" '
        '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_310101.dtd">\n<PubmedArticleSet><PubmedArticle>'
        f"<MedlineCitation><PMID>{pmid}</PMID><Article><Journal><JournalIssue><PubDate>"
        "<MedlineDate>2004 Nov-Dec</MedlineDate></PubDate></JournalIssue><Title>J</Title></Journal>"
        "<ArticleTitle>T <i>x</i></ArticleTitle>"
        '<Abstract><AbstractText Label="METHODS">p &lt; 0.05</AbstractText><AbstractText>End.</AbstractText>'
        f"</Abstract><PublicationTypeList>{types}</PublicationTypeList></Article><CommentsCorrectionsList>{notes}"
        "</CommentsCorrectionsList></MedlineCitation></PubmedArticle></PubmedArticleSet>"
    )


def test_accessions_are_upper_case_and_bounded() -> None:
    """Vector T4 of the specification."""
    text = "GSE21050, GSE21122 (GPL570); GSE21050 again, GSM12, xGSE5, GSE 99, gse7"
    assert geo_accessions(text) == {"GSE21050", "GSE21122", "GPL570", "GSM12"}


@needs_replies
def test_search_fetches_by_relevance_and_keeps_the_order(ncbi: Any, eutils: Eutils) -> None:
    """Two searches' worth of real records; one without an abstract is left out."""
    ncbi.answer(found("11700088", "11748933")).answer((REPLIES / "pubmed2.xml").read_bytes())
    papers = PubMedSource(eutils).search("mri", 5)
    assert [paper.id for paper in papers] == ["pmid11700088", "pmid11748933"]
    assert papers[0].ids.doi == "10.1006/jmre.2001.2429"
    assert (papers[0].retraction.status, papers[0].retraction.checked_at) == ("none", "2026-01-02")
    tool, params = ncbi.asked[0]
    assert tool == "esearch.fcgi"
    assert params["sort"] == ["relevance"]
    assert (params["retmax"], params["email"], params["api_key"]) == (["5"], ["a@b.org"], ["secret"])


@needs_replies
@pytest.mark.parametrize(
    ("reply", "expected"),
    [("pubmed1.xml", 1), ("pubmed4.xml", 1), ("pubmed5.xml", 1), ("pubmed6.xml", 1), ("pubmed7.xml", 1)],
)
def test_real_records_parse(ncbi: Any, eutils: Eutils, reply: str, expected: int) -> None:
    """pubmed1.xml has two records of which one has no abstract."""
    body = (REPLIES / reply).read_bytes()
    pmids = [str(a["MedlineCitation"]["PMID"]) for a in parsed(body)["PubmedArticle"]]
    found = PubMedSource(ncbi.answer(body) and eutils).fetch(pmids)
    assert [paper.ids.pmid for paper in found] == pmids
    papers = [paper for paper in found if paper.abstract]
    assert len(papers) == expected
    assert all(paper.year and paper.journal and "<" not in paper.title for paper in papers)


def test_retraction_and_concern_are_read(ncbi: Any, eutils: Eutils) -> None:
    """From the publication type and from the list of comments; the unknown document type is no obstacle."""
    retracted = article("5", types='<PublicationType UI="D016441">Retracted Publication</PublicationType>')
    concern = article("5", notes='<CommentsCorrections RefType="ExpressionOfConcernIn"/>')
    note = article("5", notes='<CommentsCorrections RefType="RetractionIn"/>')
    for body in (retracted, concern, note, article("5")):
        ncbi.answer(body)
    source = PubMedSource(eutils)
    papers = [source.fetch(["5"])[0] for _ in range(4)]
    assert [p.retraction.status for p in papers] == ["retracted", "concern", "retracted", "none"]
    assert (papers[0].title, papers[0].year) == ("T x", 2004)
    assert papers[0].abstract == "Methods: p < 0.05 End."


def test_every_pmid_gets_its_own_pmcid(ncbi: Any, eutils: Eutils) -> None:
    """Defect 12 of the specification: with many ids, not only the last one has a link."""
    sets = [("1", LINKED.format(pmc=101)), ("2", ""), ("3", LINKED.format(pmc=103))]
    ncbi.answer(ELINK.format(sets="".join(LINK.format(pmid=p, links=links) for p, links in sets)))
    assert PubMedSource(eutils).pmcids(["1", "2", "3"]) == {"1": "PMC101", "3": "PMC103"}
    assert ncbi.asked[0][1]["id"] == ["1", "2", "3"]


def test_full_text_has_sections_and_legends(ncbi: Any, eutils: Eutils) -> None:
    """Title, abstract, headings, paragraphs and the figure's legend; the citation mark is gone. One request."""
    ncbi.answer(found("77")).answer(JATS)
    source = PmcSource(eutils)
    (paper,) = source.search("p53", 3)
    assert (paper.id, paper.ids.pmcid, paper.ids.pmid, paper.year) == ("pmc77", "PMC77", "11", 2019)
    assert (
        source.text(paper)
        == "On TP53\n\nAbstract\n\nShort.\n\nMethods\n\nWe used 12 mice.\n\nFigure legends\n\nMice.\n"
    )


@needs_replies
def test_real_jats_is_read() -> None:
    """A correction without an abstract: its one paragraph is there."""
    (found_article,) = articles((REPLIES / "efetch_pmc.xml").read_bytes())
    assert "has now been corrected to" in found_article.document()


def test_text_falls_back_to_the_abstract(ncbi: Any, eutils: Eutils) -> None:
    """PMC has no body to give out."""
    ncbi.answer(article("5")).answer(ELINK.format(sets=LINK.format(pmid="5", links="")))
    source = PubMedSource(eutils)
    (paper,) = source.fetch(["5"])
    assert source.text(paper) == "T x\n\nAbstract\n\nMethods: p < 0.05 End.\n"


def test_geo_states_organism_assay_and_samples(ncbi: Any, eutils: Eutils) -> None:
    """The form of db=gds summaries."""
    ncbi.answer(found("200052778")).answer(GDS)
    dataset = GeoSource(eutils).summary("GSE52778")
    assert dataset is not None
    assert (dataset.organism, dataset.n_samples, dataset.verified) == ("Homo sapiens", 16, False)
    assert dataset.assay == "Expression profiling by high throughput sequencing"
    assert ncbi.asked[0][1]["term"] == ["GSE52778[ACCN]"]


def test_an_unknown_accession_is_a_result(ncbi: Any, eutils: Eutils) -> None:
    """Nothing found, and another accession found, are both None; a wrong form is an error."""
    source = GeoSource(eutils)
    ncbi.answer(found())
    assert source.summary("GSE99999999") is None
    ncbi.answer(found("200052778")).answer(GDS)
    assert source.summary("GSE52779") is None
    with pytest.raises(ValueError, match="gse1"):
        source.summary("gse1")


def test_geo_search_asks_for_series(ncbi: Any, eutils: Eutils) -> None:
    """Platforms and samples are not data sets."""
    ncbi.answer(found("200052778")).answer(GDS)
    assert [d.id for d in GeoSource(eutils).search("airway", 3)] == ["GSE52778"]
    assert ncbi.asked[0][1]["term"] == ["(airway) AND gse[Entry Type]"]


def test_nothing_found_is_an_empty_list(ncbi: Any, eutils: Eutils) -> None:
    """And no second request is made."""
    ncbi.answer(found())
    assert PubMedSource(eutils).search("qqq", 5) == []
    assert len(ncbi.asked) == 1


def test_busy_then_fine(ncbi: Any, eutils: Eutils, waits: list[float]) -> None:
    """429 and 503 are tried again, later each time; Retry-After is honoured."""
    ncbi.answer("", 429, Retry_After="3").answer("", 503).answer(found())
    assert PubMedSource(eutils).search("x", 1) == []
    assert [wait for wait in waits if wait >= 1] == [3.0, 2.0]


def test_a_lasting_error_ends_with_source_unavailable(ncbi: Any, eutils: Eutils) -> None:
    """500 four times; 400 is not tried again; the key is in no message."""
    for _ in range(4):
        ncbi.answer("", 500)
    with pytest.raises(SourceUnavailable, match=r"esearch answered 500 \(4 tries\)"):
        PubMedSource(eutils).search("x", 1)
    ncbi.answer("", 400)
    with pytest.raises(SourceUnavailable, match=r"400 \(1 tries\)") as caught:
        PubMedSource(eutils).search("x", 1)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", [found("1")[:-40], "<html>busy</html>", "", "not xml", found("1")[:60]])
def test_a_damaged_reply_is_source_unavailable(ncbi: Any, eutils: Eutils, body: str) -> None:
    """Cut off, a web page, empty, plain text, no document type."""
    ncbi.answer(body)
    with pytest.raises(SourceUnavailable):
        PubMedSource(eutils).search("x", 1)


def test_damaged_jats_is_source_unavailable(ncbi: Any, eutils: Eutils) -> None:
    """Cut off in the middle."""
    ncbi.answer(found("77"))
    for _ in range(4):
        ncbi.answer(JATS[:-30])
    with pytest.raises(SourceUnavailable, match="not whole JATS"):
        PmcSource(eutils).search("x", 1)


def test_no_connection_is_noticed_at_once() -> None:
    """A closed port; the message names neither address nor key."""
    config = EutilsConfig(api_key="secret", base_url="http://127.0.0.1:9/eutils", connect_s=0.5)
    with pytest.raises(SourceUnavailable, match=r"^NCBI esearch cannot be reached \(ConnectError\)$"):
        PubMedSource(Eutils(config)).search("x", 1)


@pytest.mark.parametrize(("key", "interval_s"), [("", 0.34), ("k", 0.1)])
def test_the_rate_is_kept(ncbi: Any, key: str, interval_s: float) -> None:
    """Three requests at one instant: two waits of one and two intervals."""
    waits: list[float] = []
    config = EutilsConfig(api_key=key, base_url=ncbi.base_url)
    client = Eutils(config, sleep=waits.append, clock=lambda: 100.0)
    for _ in range(3):
        ncbi.answer("ok")
        client.get("esearch", {}, bytes)
    assert waits == [pytest.approx(interval_s), pytest.approx(2 * interval_s)]
    assert "k" not in repr(config).split("api_key")[-1] or "api_key" not in repr(config)


def test_markup_is_removed_but_comparisons_stay() -> None:
    """A `<` before a number is no tag."""
    assert plain("a<sub>2</sub>  if p <0.05 &amp; n > 3") == "a2 if p <0.05 & n > 3"
