"""BibTeX through bibtexparser; LaTeX mark-up becomes plain text and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from labwright.domain import Paper, PaperIds
from labwright.errors import UnreadableCorpus
from labwright.tools.formats.reading import Document, text_of
from labwright.tools.formats.references import abstract_of, key_of, reference_document
from labwright.tools.standing import standing_note

SPECIAL: Final = {
    "\\": r"{\textbackslash}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "^": r"{\textasciicircum}", "~": r"{\textasciitilde}",
}  # fmt: skip
_LIGATURE: Final = re.compile(r"([-`'!?])(?=[-`'])")
"""Signs that LaTeX would draw together."""
_VERBATIM: Final = ("doi", "pmid", "pmcid", "year")


def read(path: Path, corpus: str) -> list[Document]:
    """Every entry of the file.

    Raises:
        UnreadableCorpus: it cannot be parsed, or two entries share a key; the message names the line.
    """
    from bibtexparser.entrypoint import parse_string
    from bibtexparser.middlewares import SeparateCoAuthors

    library = parse_string(text_of(path), append_middleware=[SeparateCoAuthors()])
    for block in library.failed_blocks:
        why = " ".join(str(block.error).split())[:120] or type(block.error).__name__
        raise UnreadableCorpus(f"{path}:{(block.start_line or 0) + 1}: {why}; mend or remove the entry")
    return [_document(entry.key, {f.key.lower(): f.value for f in entry.fields}, corpus) for entry in library.entries]


def write(papers: Iterable[Paper]) -> str:
    """The papers as BibTeX in UTF-8; only the characters that LaTeX reserves are escaped."""
    from bibtexparser.entrypoint import write_string
    from bibtexparser.library import Library
    from bibtexparser.model import Entry, Field

    library = Library(
        [Entry("article", key_of(p), [Field(name, value) for name, value in _fields(p).items()]) for p in papers]
    )
    return str(write_string(library))


def _document(key: str, fields: Mapping[str, Any], corpus: str) -> Document:
    found = re.search(r"\b(1[89]|20)\d\d\b", str(fields.get("year") or fields.get("date") or ""))
    paper = Paper(
        id=key,
        ids=PaperIds(**{name: _bare(fields.get(name)) for name in ("pmid", "pmcid", "doi")}),
        title=_plain(fields.get("title")),
        authors=tuple(filter(None, (_name(raw) for raw in fields.get("author") or ()))),
        abstract=_plain(fields.get("abstract")),
        year=int(found[0]) if found else None,
        journal=_plain(fields.get("journal") or fields.get("journaltitle") or fields.get("booktitle")),
        source=corpus,
        mesh=_keywords(str(fields.get("keywords") or "")),
    )
    return reference_document(paper)


def _keywords(raw: str) -> tuple[str, ...]:
    """By semicolons where there are any: a MeSH descriptor may hold a comma."""
    words = raw.split(";") if ";" in raw else raw.split(",")
    return tuple(filter(None, map(_plain, words)))


def _name(raw: str) -> str:
    from bibtexparser.middlewares.names import parse_single_name_into_parts

    if raw.startswith("{") and raw.endswith("}"):
        return _plain(raw)
    parts = parse_single_name_into_parts(raw, strict=False)
    family = _plain(" ".join((*parts.von, *parts.last, *parts.jr)))
    given = _plain(" ".join(parts.first))
    return f"{family}, {given}" if family and given else family or given


def _fields(paper: Paper) -> dict[str, str]:
    fields = {
        "title": paper.title,
        "author": " and ".join(_person(name) for name in paper.authors),
        "journal": paper.journal,
        "year": str(paper.year or ""),
        "doi": paper.ids.doi,
        "pmid": paper.ids.pmid,
        "pmcid": paper.ids.pmcid,
        "abstract": abstract_of(paper),
        "keywords": "; ".join(paper.mesh) + (";" if len(paper.mesh) == 1 else ""),
        "note": standing_note(paper),
    }
    escaped = {k: v if k in (*_VERBATIM, "author") else _latex(v) for k, v in fields.items() if v}
    return escaped | {"title": "{" + _latex(paper.title) + "}"}  # braces keep the capitals of gene names


def _person(name: str) -> str:
    family, comma, given = name.partition(", ")
    return f"{{{_latex(family)}}}, {_latex(given)}" if comma else f"{{{_latex(name)}}}"


def _latex(text: str) -> str:
    return _LIGATURE.sub(r"\1{}", "".join(SPECIAL.get(sign, sign) for sign in text))


def _plain(raw: Any) -> str:
    from pylatexenc.latex2text import LatexNodes2Text

    text = LatexNodes2Text(math_mode="verbatim").latex_to_text(str(raw or ""))
    return " ".join(text.replace("\u02c6", "^").split())


def _bare(raw: Any) -> str:
    return str(raw or "").strip("{} \n").replace("\\_", "_")
