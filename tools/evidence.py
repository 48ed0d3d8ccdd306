"""Quotes: verbatim spans of stored documents, found by code and never claimed by a model."""

from __future__ import annotations

import re

from labwright.domain import Quote
from labwright.errors import ReferenceUnresolved

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9(\[])")
LEAST_CHARS = 25
BEFORE = r"(?:(?!\w)|(?<![\w\-\u2010-\u2013\u2212])(?<!\d[.,]))"
AFTER = r"(?:(?<!\w)|(?!\w|[.,]\d|[-\u2010-\u2013]\w))"
"""A quote is no part of a word or number: "5 mg" is not in "15 mg", "responders" not in "non-responders"."""
HEADING = re.compile(r"^(#+ .*|[A-Z][A-Za-z ]{2,30}:?)$")


def sentences(paper: str, document: str) -> list[Quote]:
    """Split a stored document into sentences, each as the span that it is.

    Headings and fragments under 25 characters are left out.
    """
    found = []
    for line in re.finditer(r"[^\n]+", document):
        if HEADING.match(line.group().strip()):
            continue
        start = line.start()
        for piece in [*SENTENCE_END.finditer(line.group()), None]:
            end = line.start() + piece.start() if piece else line.end()
            text = document[start:end]
            lead = len(text) - len(text.lstrip())
            text = text.strip()
            if len(text) >= LEAST_CHARS:
                found.append(Quote(paper=paper, start=start + lead, end=start + lead + len(text), text=text))
            start = line.start() + piece.end() if piece else end
    return found


def locate(paper: str, document: str, text: str) -> Quote:
    """Find a claimed quote in a document, whole words and numbers; only white space may differ.

    Raises:
        ReferenceUnresolved: the document does not hold the text.
    """
    words = text.split()
    match = re.search(BEFORE + r"\s+".join(map(re.escape, words)) + AFTER, document) if words else None
    if match is None:
        raise ReferenceUnresolved(f"{paper} does not hold the quote {text[:60]!r}")
    return Quote(paper=paper, start=match.start(), end=match.end(), text=match.group())


def is_verbatim(quote: Quote, document: str) -> bool:
    """The quote is exactly the span that it claims."""
    return 0 < quote.end - quote.start == len(quote.text) and document[quote.start : quote.end] == quote.text
