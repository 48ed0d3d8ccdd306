"""Quotes and the documents they point into: each span is looked up again while the report is written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from labwright.domain import Quote, Report
from labwright.tools.formats.pdf import page_of

AROUND = 260
"""Characters shown on each side of a quote."""
WHOLE = 40_000
"""A document up to this length is shown whole, a longer one around its quotes."""
WINDOW = 1_200
"""Characters kept on each side of a quote of a long document."""

QuoteStatus = Literal["verified", "mismatch", "no document"]


def anchor(kind: str, *names: str) -> str:
    """An id for a place in the report: readable, and different for different names.

    Example:
        >>> anchor("task", "Part 1") == anchor("task", "Part-1")
        False
    """
    digest = hashlib.sha256("\x1f".join(names).encode("utf-8", "replace")).hexdigest()[:6]
    words = re.sub(r"[^a-z0-9]+", "-", " ".join(names).casefold()).strip("-")[:40].strip("-")
    return f"{kind}-{words}-{digest}" if words else f"{kind}-{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteView:
    """A quote, compared with the document it names."""

    text: str
    status: QuoteStatus
    anchor: str
    """Where it is highlighted; empty unless verified."""
    where: str
    before: str = ""
    after: str = ""
    found: str = ""
    """What the document holds at that place when it is not the quote."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a document as shown."""

    text: str
    anchors: tuple[str, ...] = ()
    """Quotes that begin here."""
    marked: bool = False
    left_out: int = 0
    """Characters left out in its place."""


def quote_view(quote: Quote, document: str | None) -> QuoteView:
    """Look a quote up in its document.

    Args:
        quote: what is claimed.
        document: the stored text, None when there is none.
    """
    where = f"characters {quote.start}-{quote.end}"
    if document is None:
        return QuoteView(text=quote.text, status="no document", anchor="", where=where)
    page = page_of(document, quote.start)
    where = f"page {page}, {where}" if page else where
    found = document[quote.start : quote.end]
    if found != quote.text:
        return QuoteView(text=quote.text, status="mismatch", anchor="", where=where, found=found[:600])
    return QuoteView(
        text=quote.text,
        status="verified",
        anchor=quote_anchor(quote),
        where=where,
        before=document[max(0, quote.start - AROUND) : quote.start],
        after=document[quote.end : quote.end + AROUND],
    )


def quote_anchor(quote: Quote) -> str:
    """Where a verified quote is highlighted."""
    return anchor("quote", quote.paper, str(quote.start), str(quote.end))


def quotes_of(report: Report) -> list[Quote]:
    """Every quote of a report, in reading order."""
    return [quote for part in report.parts for step in part.steps for quote in step.quotes]


def segments(document: str, quotes: Sequence[Quote]) -> list[Segment]:
    """Cut a document at the borders of its quotes.

    Args:
        document: the stored text.
        quotes: those to highlight; one that does not match the text is left out.

    Returns:
        The stretches in order. Together they are the document, unless it is long: then what is far from
        every quote (from the beginning, when there is none) is left out and counted.
    """
    good = [q for q in quotes if document[q.start : q.end] == q.text]
    borders = {0, len(document), *(q.start for q in good), *(q.end for q in good)}
    kept = _kept(len(document), good)
    borders |= {border for span in kept for border in span}
    starts: dict[int, list[str]] = {}
    for quote in good:
        starts.setdefault(quote.start, []).append(quote_anchor(quote))
    cut = sorted(borders)
    pieces: list[Segment] = []
    for begin, end in pairwise(cut):
        if not any(low <= begin and end <= high for low, high in kept):
            pieces.append(Segment("", left_out=end - begin))
            continue
        marked = any(q.start <= begin and end <= q.end for q in good)
        pieces.append(Segment(document[begin:end], tuple(dict.fromkeys(starts.get(begin, ()))), marked))
    return pieces


def _kept(length: int, quotes: Sequence[Quote]) -> list[tuple[int, int]]:
    if length <= WHOLE:
        return [(0, length)]
    if not quotes:
        return [(0, 2 * WINDOW)]
    spans: list[tuple[int, int]] = []
    for quote in sorted(quotes, key=lambda q: q.start):
        low, high = max(0, quote.start - WINDOW), min(length, quote.end + WINDOW)
        if spans and low <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(high, spans[-1][1]))
        else:
            spans.append((low, high))
    return spans


def count(views: Mapping[str, Sequence[QuoteView]]) -> tuple[int, int]:
    """Number of quotes that hold, and of all quotes, over papers."""
    every = [view for paper in views.values() for view in paper]
    return sum(view.status == "verified" for view in every), len(every)
