"""What the three reference formats share: keys, the note on a paper's standing, and a reference as a document."""

from __future__ import annotations

import re

from labwright.domain import Paper
from labwright.tools.formats.reading import Document
from labwright.tools.sources import abstract_document


def key_of(paper: Paper) -> str:
    """A citation key without spaces or punctuation that BibTeX would trip over; distinct as the ids are."""
    return re.sub(r"[^A-Za-z0-9_.:+-]+", "-", paper.id) or "paper"


def abstract_of(paper: Paper) -> str:
    """The paper's abstract on one line; a summary written by this project is none."""
    return "" if paper.kind == "summary" else " ".join(paper.abstract.split())


def reference_document(paper: Paper) -> Document:
    """Title and abstract as the document; the text is empty without an abstract."""
    return paper, abstract_document(paper) if paper.abstract else ""
