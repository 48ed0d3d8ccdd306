"""Pictures inside PDFs, with the legends that stand on their page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

from labwright.tools.formats.pdf import SENTENCE_ENDS, tidy
from labwright.tools.paper_figures import MOST_FIGURES, MOST_MIB, PaperFigure, by_page

LEAST_PIXELS: Final = 100
"""Shortest side of a figure; smaller pictures are logos, rules and signs."""
MOST_PAGES: Final = 200
MOST_A_PAGE: Final = 50
MOST_LINES: Final = 20
"""Of a legend."""
CAPTION: Final = re.compile(r"(Fig(?:ure|\.)?\s*\d+[A-Za-z]?)\s*[.:|]\s*(\S.*)")


def figures(path: Path) -> list[PaperFigure]:
    """The pictures of a PDF by page; empty when it cannot be read as one.

    Figures that are drawn with lines and text instead of being pictures are not found.
    """
    from pypdf import PdfReader

    found: list[PaperFigure] = []
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            return []
        for number, page in enumerate(reader.pages[:MOST_PAGES], start=1):
            kept = list(_pictures(page))
            captions = legends(page.extract_text()) if kept else []
            for (name, image), (label, legend) in zip(kept, by_page([n for n, _ in kept], captions), strict=True):
                found.append(PaperFigure(f"page {number}, {name}", label, legend, image))
            if len(found) >= MOST_FIGURES:
                break
    except _damaged():
        return found[:MOST_FIGURES]
    return found[:MOST_FIGURES]


def legends(page: str) -> list[tuple[str, str]]:
    """Label and legend of every figure that a page's text has a legend of, in order.

    A legend begins a line and ends with a line that is short and ends a sentence.
    """
    lines = [tidy(line) for line in page.splitlines() if line.strip()]
    short = 0.75 * median(map(len, lines)) if lines else 0.0
    found: list[tuple[str, list[str]]] = []
    going = False
    for line in lines:
        begun = CAPTION.match(line)
        if begun:
            found.append((begun[1], [begun[2]]))
        elif going:
            found[-1][1].append(line)
        going = (going or begun is not None) and len(found[-1][1]) < MOST_LINES
        if going and line.endswith(SENTENCE_ENDS) and len(line) < short:
            going = False
    return [(label, " ".join(parts)) for label, parts in found]


def _pictures(page: Any) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of the pictures of a page that are large enough to be figures."""
    for name in islice(page.images.keys(), MOST_A_PAGE):
        try:
            file = page.images[name]
            width, height = file.image.size
        except _damaged():  # one that cannot be decoded must not stop the rest
            continue
        if min(width, height) >= LEAST_PIXELS and len(file.data) <= MOST_MIB * 2**20:
            yield str(file.name), bytes(file.data)


def _damaged() -> tuple[type[Exception], ...]:
    """What reading a PDF and the pictures in it raises where they are not what they say."""
    import struct
    import zlib

    from PIL import Image
    from pypdf.errors import PyPdfError

    other = (PyPdfError, Image.DecompressionBombError, struct.error, zlib.error)
    plain = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, AssertionError)
    return (*other, *plain)
