"""Where the documents of a corpus came from, so that their pictures can be read when they are wanted.

Kept in a file that labwright alone writes: a document that somebody else made must not name files to be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from labwright.errors import UnreadableCorpus
from labwright.tools.formats.reading import kind_of
from labwright.tools.paper_figures import PaperFigure

PICTURED: Final = ("jats_files", "pdf")
"""Formats that hold pictures, or name files that do."""
NAME: Final = "origins.json"


class Origin(NamedTuple):
    """The file that a document was read from."""

    path: str
    number: int
    """Of the document in it, from 0."""


def keep_origins(corpus: Path, origins: Mapping[str, Origin]) -> None:
    """Add origins to those of a corpus; of a document that was added again the last one counts.

    Args:
        corpus: its folder.
        origins: by the id of the document.
    """
    if origins:
        kept = {**read_origins(corpus), **origins}
        (corpus / NAME).write_text(json.dumps(kept, indent=1), encoding="utf-8")


def read_origins(corpus: Path) -> dict[str, Origin]:
    """The origins of a corpus by the id of the document.

    Raises:
        UnreadableCorpus: the file is damaged.
    """
    path = corpus / NAME
    if not path.is_file():
        return {}
    try:
        return TypeAdapter(dict[str, Origin]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise UnreadableCorpus(f"{path}: damaged; remove it and add the files of the corpus again") from error


def figures_at(origin: Origin) -> list[PaperFigure]:
    """The pictures of a document; empty where its file is not there any more.

    Raises:
        UnreadableCorpus: the file is there and damaged.
    """
    path = Path(origin.path)
    if not path.is_file():
        return []
    if kind_of(path) == "pdf":
        from labwright.tools.formats import pdf_figures

        return pdf_figures.figures(path)
    from labwright.tools.formats import jats_files

    return jats_files.figures(path, origin.number)
