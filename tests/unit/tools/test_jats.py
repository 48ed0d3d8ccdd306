"""JATS articles: sections, legends, tables, identifiers; and what is damaged."""

from __future__ import annotations

import pytest

from labwright.tools.jats import articles
from labwright.tools.transport import Damaged

XML = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving DTD v1.2 20190208//EN" "JATS-archivearticle1.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML">
<front><journal-meta><journal-title-group><journal-title>Cells</journal-title></journal-title-group></journal-meta>
<article-meta><article-id pub-id-type="pmid">11</article-id><article-id pub-id-type="pmc">77</article-id>
<article-id pub-id-type="doi">10.1/x</article-id><title-group><article-title>IL-6 in <sup>12</sup>C cells</article-title>
</title-group><contrib-group><contrib contrib-type="author"><name><surname>Doe</surname><given-names>Jane</given-names>
</name></contrib><contrib contrib-type="author"><collab>The Group</collab></contrib>
<contrib contrib-type="editor"><name><surname>Ed</surname></name></contrib></contrib-group>
<pub-date pub-type="epub"><year>2020</year></pub-date><pub-date><year>2019</year></pub-date>
<permissions><license license-type="open-access" xlink:href="https://creativecommons.org/licenses/by/4.0/"><license-p>x
</license-p></license></permissions><abstract abstract-type="graphical"><p>Picture.</p></abstract>
<abstract><sec><title>Results</title><p>Short.</p></sec></abstract></article-meta></front>
<body><p>Opening words.</p><sec><title>Methods</title><p>We used 12 mice<xref>3</xref>, see
<fig id="f0"><label>Figure 1</label><caption><title>Mice.</title><p>Bars are SD (n = 12).</p></caption></fig> and went on.</p>
<sec><title>Cells</title><p>HeLa cells.</p><list><list-item><p>One item.</p></list-item></list></sec>
<disp-formula><mml:math><mml:mi>q</mml:mi></mml:math></disp-formula></sec>
<table-wrap><label>Table 1</label><caption><p>Patients by arm.</p></caption><table><thead><tr><th>Arm</th><th>n</th></tr>
</thead><tbody><tr><td>drug</td><td>12</td></tr><tr><td></td><td></td></tr><tr><td>placebo</td><td>11</td></tr></tbody></table>
<table-wrap-foot><fn><p>n, number.</p></fn></table-wrap-foot></table-wrap></body>
<back><ref-list><ref><mixed-citation>Left out.</mixed-citation></ref></ref-list></back>
<floats-group><fig><label>Figure 2</label><caption><p>Floating legend.</p></caption></fig></floats-group>
<sub-article><front-stub><title-group><article-title>Review</article-title></title-group></front-stub>
<body><p>Reviewer text.</p></body></sub-article>
</article>"""
DOCUMENT = """IL-6 in 12C cells

Abstract

Results

Short.

Opening words.

Methods

We used 12 mice, see and went on.

Cells

HeLa cells.

One item.

Figure legends

Figure 1 Mice. Bars are SD (n = 12).

Figure 2 Floating legend.

Tables

Table 1 Patients by arm.
Arm\tn
drug\t12
placebo\t11
n, number.
"""


def test_an_article_is_read_into_its_parts() -> None:
    (article,) = articles(XML.encode())
    assert (article.ids.pmid, article.ids.pmcid, article.ids.doi) == ("11", "PMC77", "10.1/x")
    assert (article.title, article.journal, article.year) == ("IL-6 in 12C cells", "Cells", 2019)
    assert article.authors == ("Doe, Jane", "The Group")
    assert [(s.title, s.depth) for s in article.sections] == [("", 1), ("Methods", 1), ("Cells", 2)]
    assert [f.label for f in article.figures] == ["Figure 1", "Figure 2"]
    assert article.tables[0].rows == (("Arm", "n"), ("drug", "12"), ("placebo", "11"))
    assert article.document() == DOCUMENT


def test_the_paper_of_an_article() -> None:
    (article,) = articles(XML.encode())
    paper = article.paper("mine")
    assert (paper.id, paper.abstract, paper.kind, paper.source) == ("pmc77", "Results Short.", "full_text", "mine")
    bare = articles(XML.replace("<abstract>", "<x>").replace("</abstract></art", "</x></art").encode())[0]
    assert bare.abstract == ("Picture.",)


def test_a_namespace_does_not_hide_the_article() -> None:
    """As the OAI service of PMC wraps it."""
    wrapped = XML[XML.index("<article ") :].replace(
        "<article ", '<article xmlns="https://jats.nlm.nih.gov/ns/archiving/1.3/" '
    )
    assert articles(f"<records>{wrapped}</records>".encode())[0].document() == DOCUMENT


def test_without_a_body_there_is_no_document() -> None:
    head = XML[: XML.index("<body>")] + "</article>"
    (article,) = articles(head.encode())
    assert article.document() == ""
    assert article.paper("x").kind == "abstract"


@pytest.mark.parametrize(
    "damage",
    [
        lambda xml: xml[: len(xml) // 2],
        lambda xml: b"",
        lambda xml: b"%PDF-1.4",
        lambda xml: xml.replace(b"HeLa", b"H\xe9La"),
        lambda xml: xml.replace(b"UTF-8", b"X-NONE"),
        lambda xml: xml.replace(b"HeLa", b"&entity;"),
    ],
    ids=["cut off", "empty", "another kind", "not its encoding", "unknown encoding", "undefined entity"],
)
def test_what_is_damaged_is_refused(damage) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Damaged, match="not whole JATS"):
        articles(damage(XML.encode()))


def test_a_file_of_the_machine_is_no_part_of_an_article() -> None:
    """External entities are not resolved."""
    evil = XML.replace(
        '"JATS-archivearticle1.dtd">', '"x.dtd" [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'
    ).replace("HeLa", "&secret;")
    with pytest.raises(Damaged):
        articles(evil.encode())
