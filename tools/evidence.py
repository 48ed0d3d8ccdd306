"""Quotes: verbatim spans of stored documents, found by code and never claimed by a model."""

from __future__ import annotations

import re

from labwright.domain import Quote
from labwright.errors import QuoteNotFound
from labwright.tools.evidence_text import BROKEN, Levelled, levelled, pattern, read_alike, same_case, says_no_case

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9(\[])")
LEAST_CHARS = 25
BEFORE = r"(?:(?!\w)|(?<![\w\-\u2010-\u2013\u2212])(?<!\d[.,]))"
AFTER = r"(?:(?<!\w)|(?!\w|\x00|[.,]\d|[-\u2010-\u2013](?:[^\S\n]*\r?\n\s*)?\w))"
"""A quote is no part of a word or number: "5 mg" is not in "15 mg", "responders" not in "non-responders"."""
NEGATED = re.compile(
    r"(?:\b(?:no|not|never|neither|nor|non|without|cannot|lack of|lacks|lacked|absence of|fail(?:s|ed)? to)"
    r"|n['\u2019]t)[\s-]*$"
    r"|\w[-\u2010\u2011][^\S\n]*\r?\n\s*$",
    re.IGNORECASE,
)
"""What stands right before a span and turns it into its opposite, or into half a word that a line end broke."""
SHOWN_CHARS = 120
UNBROKEN = rf"(?<!{BROKEN})"
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
    """Find a claimed quote in a document: exactly, else but for what typesetting changes.

    What may differ is told in `labwright.tools.evidence_text`; numbers, signs, negations, names and every
    other word must be the same. The quote starts and ends at whole words and numbers, and not right behind
    a negation. Its text is the document's own, never the claim's.

    Raises:
        QuoteNotFound: the document does not hold the text; the nearest sentence is told.
    """
    words = text.split()
    if words:
        for match in re.finditer(BEFORE + r"\s+".join(map(re.escape, words)) + AFTER, document):
            if not NEGATED.search(document[max(0, match.start() - 40) : match.start()]):
                return Quote(paper=paper, start=match.start(), end=match.end(), text=match.group())
        held, claim = levelled(document), levelled(text)
        span = _levelled_span(held, claim, text) or _levelled_span(read_alike(held), read_alike(claim), text)
        if span is not None:
            return Quote(paper=paper, start=span[0], end=span[1], text=document[slice(*span)])
    near = nearest(paper, document, text)
    beside = f"; nearest is {_short(near.text)!r}" if near else ""
    raise QuoteNotFound(f"{paper} does not hold the quote {text[:60]!r}{beside}", nearest=near.text if near else "")


def _levelled_span(document: Levelled, levelled_claim: Levelled, text: str) -> tuple[int, int] | None:
    claim = levelled_claim.text.strip()
    if not claim:
        return None
    free = says_no_case(text)
    for match in re.finditer(UNBROKEN + BEFORE + pattern(_folded(claim)) + AFTER, _folded(document.text)):
        start, end = match.span()
        held = document.text[start:end].replace(BROKEN, "")
        negated = NEGATED.search(document.text[max(0, start - 40) : start])
        if not negated and same_case(claim.replace(BROKEN, ""), held, free=free):
            return document.span(start, end)
    return None


def _folded(text: str) -> str:
    """Lower case, character by character, so that places stay."""
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)


def nearest(paper: str, document: str, text: str) -> Quote | None:
    """The sentence that shares most of its words with a text; None for a document without sentences."""
    return max(sentences(paper, document), key=lambda quote: likeness(quote.text, text), default=None)


def likeness(a: str, b: str) -> float:
    """Share of the words of two texts that they have in common, in [0, 1].

    Example:
        >>> likeness("in twelve mice", "In ten mice.")
        0.5
    """
    mine, other = (set(re.findall(r"\w+", text.casefold())) for text in (a, b))
    return len(mine & other) / (len(mine | other) or 1)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "\u2026"


def is_verbatim(quote: Quote, document: str) -> bool:
    """The quote is exactly the span that it claims."""
    return 0 < quote.end - quote.start == len(quote.text) and document[quote.start : quote.end] == quote.text
