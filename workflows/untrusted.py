"""Passages that look like instructions: kept in the run folder as they are met, gathered for the record."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter

from labwright.domain import FlaggedPassage
from labwright.store import RunStore
from labwright.workflows.materials import Materials

FOLDER = "passages"
MOST_CHARS = 600
"""Of a longer passage the record holds the beginning; the stored document has all of it."""
MOST_PASSAGES = 200


def keep_passages(m: Materials, source: str, texts: Mapping[str, str]) -> None:
    """Screen the texts of a paper or data set, and keep what looks like an instruction.

    Args:
        m: the run.
        source: id of the paper or data set.
        texts: place, such as "abstract", to text.
    """
    for place, text in texts.items():
        found = [
            FlaggedPassage(source=source, place=place, rule=p.rule, start=p.start, end=p.end, text=p.text[:MOST_CHARS])
            for p in m.screen(text).passages
        ]
        if found:
            m.store.write(m.store.path(FOLDER, f"{source}.{place}.json"), [p.model_dump() for p in found])
            m.log.note(f"{source}, {place}: passages that look like instructions were not shown to the model")


def kept_passages(store: RunStore) -> tuple[tuple[FlaggedPassage, ...], int]:
    """The passages of a run, at most `MOST_PASSAGES`, and how many there are in all."""
    kind = TypeAdapter(list[FlaggedPassage])
    paths = sorted((store.folder / FOLDER).glob("[!.]*.json"))
    found = [p for path in paths for p in kind.validate_json(path.read_text(encoding="utf-8"))]
    return tuple(found[:MOST_PASSAGES]), len(found)
