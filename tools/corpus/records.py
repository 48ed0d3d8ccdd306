"""The embedded literature: records written by this project about papers, loaded from records.jsonl.

A record is a summary in the project's own words, never the paper's text; see README.md beside this file.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

HEADINGS = ("background", "methods", "findings")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CheckedFact(_Strict):
    """One fact of a record and where it was looked up."""

    fact: str
    source: str


class Sections(_Strict):
    """The summary itself: sentences under three headings."""

    background: tuple[str, ...]
    methods: tuple[str, ...]
    findings: tuple[str, ...]


class Record(_Strict):
    """One paper, summarised."""

    id: str
    pmid: str
    doi: str
    title: str
    year: int | None
    journal: str
    kind: str
    sections: Sections
    datasets: tuple[str, ...] = ()
    """Catalogue data sets that the paper is behind."""
    methods_operators: tuple[str, ...] = ()
    """Analysis operators whose method the paper describes or uses."""
    near_miss: bool = False
    """For judging retrieval only: tempting, but of no use to the catalogue's questions."""
    checked: tuple[CheckedFact, ...]

    def text(self) -> str:
        """The stored document: title, then one sentence a line under each heading."""
        blocks = [self.title]
        for heading in HEADINGS:
            sentences: tuple[str, ...] = getattr(self.sections, heading)
            blocks.append("\n".join([heading.capitalize(), *sentences]))
        return "\n\n".join(blocks) + "\n"

    def abstract(self) -> str:
        """Background and findings as one paragraph, the short form that is scored for relevance."""
        return " ".join(self.sections.background + self.sections.findings)


@cache
def load_records() -> tuple[Record, ...]:
    """All records in the order of the file."""
    lines = files("labwright.tools.corpus").joinpath("records.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(Record.model_validate(json.loads(line)) for line in lines if line.strip())
