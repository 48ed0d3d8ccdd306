"""PDFs of the user: the text layer, page by page. A form feed in the text is the end of a page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from labwright.domain import Paper, PaperIds
from labwright.errors import UnreadableCorpus
from labwright.tools.formats.reading import Document

LEAST_CHARS_A_PAGE: Final = 80
"""Fewer letters a page than this, on the average, is a scan with stamps, not a text."""
ABSTRACT_CHARS: Final = 1500
DOI: Final = re.compile(r"\b10\.\d{4,9}/[^\s\"<>]+[^\s\"<>.,;:)\]}]")
HEADING: Final = re.compile(r"(?:\d+(?:\.\d+)*\.?\s+)?[A-Z][A-Za-z]+(?: [A-Za-z]+){0,4}")
LIGATURES: Final = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
SENTENCE_ENDS: Final = (".", "!", "?", ":")


def read(path: Path, corpus: str) -> list[Document]:
    """The PDF as one document: title from its metadata or first line, DOI from its first pages.

    Raises:
        UnreadableCorpus: it is no PDF, needs a password, or has no text layer.
    """
    pages, title = _extracted(path)
    letters = sum(c.isalnum() for page in pages for c in page)
    if letters < LEAST_CHARS_A_PAGE * len(pages):
        raise UnreadableCorpus(
            f"{path}: a scan without a text layer ({letters} letters on {len(pages)} pages); "
            f"recognise its text first, for example `ocrmypdf {path.name} {path.stem}.ocr.pdf`"
        )
    text = document(pages)
    title = title or _first_line(pages)
    found = DOI.search(" ".join(pages[:2]))
    ids = PaperIds(doi=found[0] if found else "")
    summary = " ".join(text.removeprefix(title).split())[:ABSTRACT_CHARS]
    paper = Paper(id=path.stem, ids=ids, title=title[:300], abstract=summary, source=corpus, kind="user")
    return [(paper, text if text.startswith(title) else f"{title}\n\n{text}")]


def page_of(text: str, start: int) -> int | None:
    """Page of the character at `start`, from 1; None for a text without pages."""
    return text.count("\f", 0, start) + 1 if "\f" in text else None


def document(pages: Sequence[str]) -> str:
    """Pages as running text: words joined over line ends, running heads left out, form feeds between pages.

    A hyphen at a line end is dropped between two lower-case letters and kept otherwise (`IL-` / `6`).
    """
    lines = [[tidy(line) for line in page.splitlines() if line.strip()] for page in pages]
    heads = _running_heads(lines)
    texts = [_paragraphs([line for line in page if _masked(line) not in heads]) for page in lines]
    whole = texts[0] if texts else ""
    for text in texts[1:]:
        flows = bool(whole) and text[:1].islower() and not whole.endswith(SENTENCE_ENDS)
        if flows and re.search(r"[a-z]-$", whole):
            rest_of_word, _, text = text.partition(" ")
            whole = whole[:-1] + rest_of_word
        whole += f" \f{text}" if flows else f"\n\n\f{text}"
    return whole.strip() + "\n"


def _first_line(pages: Sequence[str]) -> str:
    """The first line that is no running head; a title that is broken over lines is cut there."""
    lines = [[tidy(line) for line in page.splitlines() if line.strip()] for page in pages]
    heads = _running_heads(lines)
    return next((line for page in lines for line in page if _masked(line) not in heads), "untitled")


def _extracted(path: Path) -> tuple[list[str], str]:
    import logging

    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableCorpus(f"{path}: needs a password; save it without one")
        pages = [page.extract_text() for page in reader.pages]
        said = str(reader.metadata.title or "") if reader.metadata else ""
    except OSError as error:
        raise UnreadableCorpus(f"{path}: {error.strerror or error}; check the path and its permissions") from error
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableCorpus(f"{path}: not a whole PDF ({type(error).__name__}); get it again") from error
    if not pages:
        raise UnreadableCorpus(f"{path}: a PDF without pages")
    title = " ".join(said.split())
    return pages, title if len(title.split()) >= 3 and "." not in title.split()[-1] else ""


def tidy(line: str) -> str:
    """A line without ligatures, soft hyphens and runs of space."""
    for sign, letters in LIGATURES.items():
        line = line.replace(sign, letters)
    return " ".join(line.replace("\u00ad", "").replace("\f", " ").split())


def _masked(line: str) -> str:
    return re.sub(r"\d+", "#", line)


def _running_heads(pages: Sequence[Sequence[str]]) -> set[str]:
    """First and last lines that stand on most pages, digits aside."""
    edges = Counter(mask for page in pages for mask in {_masked(line) for line in (*page[:2], *page[-2:])})
    return {mask for mask, n in edges.items() if len(pages) >= 3 and n > len(pages) / 2}


def _paragraphs(lines: Sequence[str]) -> str:
    usual = median(map(len, lines)) if lines else 0
    text, broken = "", True
    for line in lines:
        heading = len(line) <= 60 and HEADING.fullmatch(line) is not None
        if not text:
            text = line
        elif broken or heading:
            text += f"\n\n{line}"
        elif text.endswith("-") and len(text) > 1:
            joined = text[-2].islower() and line[0].islower()
            text = (text[:-1] if joined else text) + line
        else:
            text += f" {line}"
        broken = heading or (line.endswith(SENTENCE_ENDS) and len(line) < 0.75 * usual)
    return text
