"""JATS articles (PMC, Europe PMC, open access packages): sections, figure legends, tables, and one document of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from labwright.domain import Paper, PaperIds
from labwright.tools.transport import Damaged

_SPACE = re.compile(r"\s+")
_OUTSIDE = frozenset(
    {"table-wrap", "table-wrap-group", "fig", "fig-group", "disp-formula", "xref", "ref-list", "fn", "fn-group",
     "supplementary-material", "tex-math", "object-id", "graphic", "media"}
)  # fmt: skip
"""What is no part of the running text; figures and tables have their own places."""
_HREF = "{http://www.w3.org/1999/xlink}href"
_FIELDS = (("pmcid", "pmcid"), ("pmc", "pmcid"), ("pmcaid", "pmcid"), ("pmid", "pmid"), ("doi", "doi"))


@dataclass(frozen=True, slots=True)
class Section:
    """One section with its own paragraphs; its subsections follow it."""

    title: str
    depth: int
    """1 for a section of the article, 2 for one of these, and so on."""
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure's legend, and the files that it names."""

    label: str
    legend: str
    graphics: tuple[str, ...] = ()
    """Names of its pictures as the article gives them, most often without a suffix."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table as text; a cell that spans columns stands in the first of them."""

    label: str
    caption: str
    rows: tuple[tuple[str, ...], ...]
    """Header rows first."""
    notes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One article as it was marked up."""

    ids: PaperIds
    title: str
    authors: tuple[str, ...]
    """`Family, Given`, in the order of the article."""
    journal: str
    year: int | None
    abstract: tuple[str, ...]
    """Paragraphs, headings among them."""
    sections: tuple[Section, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    other_graphics: tuple[str, ...] = ()
    """Pictures outside figures: formulas, signs in the text, tables that are pictures."""

    def document(self) -> str:
        """Title, abstract, sections under their headings, figure legends, tables (a row a line, cells by tabs).

        Formulas, marks of citations and the reference list are left out. Empty when there is no body.
        """
        if not self.sections:
            return ""
        blocks = [self.title, *(["Abstract", *self.abstract] if self.abstract else [])]
        for section in self.sections:
            blocks += [section.title, *section.paragraphs]
        if self.figures:
            blocks += ["Figure legends", *(f"{f.label} {f.legend}".strip() for f in self.figures)]
        if self.tables:
            blocks += ["Tables", *map(_table_text, self.tables)]
        return "\n\n".join(block for block in blocks if block) + "\n"

    def paper(self, source: str) -> Paper:
        """The article as a paper; without an abstract its first paragraph stands in."""
        first = next((p for s in self.sections for p in s.paragraphs), "")
        pmcid = self.ids.pmcid.removeprefix("PMC")
        named = self.ids.doi or self.title.casefold()
        return Paper(
            id=f"pmc{pmcid}" if pmcid else f"pmid{self.ids.pmid}" if self.ids.pmid else _safe(named),
            ids=self.ids,
            title=self.title,
            authors=self.authors,
            abstract=" ".join(self.abstract) or first,
            year=self.year,
            journal=self.journal,
            source=source,
            kind="full_text" if self.sections else "abstract",
        )


def articles(xml: bytes) -> list[Article]:
    """Every article of a JATS file or reply.

    Raises:
        Damaged: it is cut off, in another encoding than it says, or not XML.
    """
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - no external entities; expat bounds expansion
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise Damaged(f"not whole JATS: {error}") from error
    for node in root.iter():
        node.tag = str(node.tag).rsplit("}", 1)[-1]
    return [_article(node) for node in root.iter("article")]


def _article(node: ElementTree.Element) -> Article:
    meta = node.find("front/article-meta")
    meta = ElementTree.Element("article-meta") if meta is None else meta
    years = [text for text in (_prose(y) for y in meta.iterfind("pub-date/year")) if text.isdecimal()]
    abstract = next((a for a in meta.iterfind("abstract") if not a.get("abstract-type")), meta.find("abstract"))
    body = node.find("body")
    rest = [part for part in (body, node.find("floats-group")) if part is not None]
    figures = tuple(_figure(figure) for part in rest for figure in part.iter("fig"))
    return Article(
        ids=_ids(meta),
        title=_prose(meta.find("title-group/article-title")),
        authors=tuple(filter(None, map(_author, meta.iterfind("contrib-group/contrib")))),
        journal=_prose(node.find("front/journal-meta//journal-title")),
        year=min(map(int, years)) if years else None,
        abstract=tuple(_paragraphs(abstract)) if abstract is not None else (),
        sections=tuple(_sections(body, "", 0)) if body is not None else (),
        figures=figures,
        tables=tuple(_table(table) for part in rest for table in part.iter("table-wrap")),
        other_graphics=tuple(sorted(set(_graphics(node)) - {g for figure in figures for g in figure.graphics})),
    )


def _ids(meta: ElementTree.Element) -> PaperIds:
    given = {node.get("pub-id-type", ""): (node.text or "").strip() for node in meta.iterfind("article-id")}
    found: dict[str, str] = {}
    for kind, field in _FIELDS:
        if given.get(kind) and field not in found:
            found[field] = given[kind]
    if number := found.get("pmcid", "").upper().removeprefix("PMC"):
        found["pmcid"] = f"PMC{number}"
    return PaperIds(**found)


def _author(contrib: ElementTree.Element) -> str:
    if contrib.get("contrib-type", "author") != "author":
        return ""
    family, given = _prose(contrib.find(".//surname")), _prose(contrib.find(".//given-names"))
    return f"{family}, {given}" if family and given else family or _prose(contrib.find("collab"))


def _sections(node: ElementTree.Element, title: str, depth: int) -> Iterator[Section]:
    """The node's own text as one section, then its subsections."""
    own = tuple(_paragraphs(node, nested=False))
    if own or title:
        yield Section(title, max(depth, 1), own)
    for child in node:
        if child.tag == "sec":
            yield from _sections(child, _prose(child.find("title")), depth + 1)


def _paragraphs(node: ElementTree.Element, *, nested: bool = True) -> Iterator[str]:
    """Paragraphs of a node in order; with `nested`, the headings and paragraphs of its sections too."""
    for child in node:
        if child.tag in _OUTSIDE or (child.tag in ("sec", "title") and not nested):
            continue
        if child.tag in ("p", "title"):
            if text := _prose(child):
                yield text
        else:
            yield from _paragraphs(child)


def _figure(node: ElementTree.Element) -> Figure:
    return Figure(_prose(node.find("label")), _caption(node), tuple(_graphics(node)))


def _graphics(node: ElementTree.Element) -> Iterator[str]:
    """Files that a part of an article shows as pictures."""
    for child in node.iter():
        if child.tag in ("graphic", "inline-graphic") and child.get(_HREF):
            yield str(child.get(_HREF))


def _table(node: ElementTree.Element) -> Table:
    rows = [tuple(_prose(cell) for cell in row if cell.tag in ("td", "th")) for row in node.iter("tr")]
    notes = node.find("table-wrap-foot")
    return Table(
        label=_prose(node.find("label")),
        caption=_caption(node),
        rows=tuple(row for row in rows if any(row)),
        notes="" if notes is None else _SPACE.sub(" ", "".join(notes.itertext())).strip(),
    )


def _caption(node: ElementTree.Element) -> str:
    caption = node.find("caption")
    return "" if caption is None else " ".join(_paragraphs(caption))


def _table_text(table: Table) -> str:
    rows = ["\t".join(row) for row in table.rows]
    return "\n".join(filter(None, [f"{table.label} {table.caption}".strip(), *rows, table.notes]))


def _prose(node: ElementTree.Element | None) -> str:
    return "" if node is None else _SPACE.sub(" ", "".join(_strings(node))).strip()


def _strings(node: ElementTree.Element) -> Iterator[str]:
    yield node.text or ""
    for child in node:
        if child.tag == "break":
            yield " "
        if child.tag not in _OUTSIDE:
            yield from _strings(child)
        yield child.tail or ""


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")[:80] or "article"
