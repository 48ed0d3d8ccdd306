"""Which documents a batch leaves in an index, beside those that are there: updates, and papers under two ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labwright.tools.index_records import IndexedDocument, merged, same_paper

if TYPE_CHECKING:
    from labwright.tools.index_documents import Ledger

Place = tuple[str, str]
"""Corpus and id."""


@dataclass(slots=True, kw_only=True)
class Added:
    """What adding did, by document id."""

    new: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)
    """Id that came, or that was there, to the id under which the same paper is kept."""


class Batch:
    """A ledger as it will be once documents are added; the ledger itself is not changed."""

    def __init__(self, ledger: Ledger) -> None:
        """Start with nothing added."""
        self._ledger = ledger
        self._held: dict[int, IndexedDocument] = {}
        self._kept: dict[Place, IndexedDocument] = {}
        self._places: dict[tuple[str, str, str], list[Place]] = {}
        self._merged: dict[str, str] = {}

    def put(self, document: IndexedDocument) -> None:
        """Add one document.

        It replaces the one of its id. Others that are the same paper are merged with it, under the id of the
        oldest of them.
        """
        own = _place(document)
        found = self._same(document)
        for old in reversed([one for one in found if _place(one) != own]):
            document = merged(old, document)
        if found:
            document = document.model_copy(update={"id": found[0].id})
        for name in {own[1], *(old.id for old in found)} - {document.id}:
            self._merged[name] = document.id
        for old in found:
            self._kept.pop(_place(old), None)
        self._keep(document)

    def outcome(self) -> tuple[list[IndexedDocument], list[int], Added]:
        """Documents to write, keys of those that they replace, and what is told of it."""
        before = {_place(document): document for document in self._held.values()}
        unchanged = {place for place, document in self._kept.items() if before.get(place) == document}
        fresh = [document for place, document in self._kept.items() if place not in unchanged]
        replaced = [key for key, document in self._held.items() if _place(document) not in unchanged]
        merges = {name: self._last(name) for name in self._merged}
        added = Added(merged=merges, unchanged=sorted(name for _, name in unchanged))
        for document in fresh:
            (added.updated if _place(document) in before else added.new).append(document.id)
        return fresh, sorted(replaced), added

    def _last(self, name: str) -> str:
        while name in self._merged:
            name = self._merged[name]
        return name

    def _same(self, document: IndexedDocument) -> list[IndexedDocument]:
        """Documents of the same id or paper as they stand now, oldest first."""
        own = self._ledger.find(document.corpus, document.id)
        keys = sorted({*self._ledger.alike(document), *([] if own is None else [own])} - self._held.keys())
        stored = self._ledger.documents(keys)
        places = [self._places.get((document.corpus, kind, value), []) for kind, value in document.identities().items()]
        near = dict.fromkeys([_place(document), *(place for several in places for place in several)])
        batch = [self._kept[place] for place in near if place in self._kept]
        found = []
        for key, other in [*((key, stored[key]) for key in keys if key in stored), *((None, one) for one in batch)]:
            if other.id == document.id or same_paper(other, document):
                found.append(other)
                if key is not None:
                    self._held[key] = other
        return found

    def _keep(self, document: IndexedDocument) -> None:
        self._kept[_place(document)] = document
        for kind, value in document.identities().items():
            self._places.setdefault((document.corpus, kind, value), []).append(_place(document))


def settle(documents: Sequence[IndexedDocument], ledger: Ledger) -> tuple[list[IndexedDocument], list[int], Added]:
    """What adding documents means: which to write, which keys they replace, and what is told of it."""
    batch = Batch(ledger)
    for document in documents:
        batch.put(document)
    return batch.outcome()


def _place(document: IndexedDocument) -> Place:
    return document.corpus, document.id
