"""The ledger of a literature index: every document, its vector and its state, in one SQLite file.

The ledger decides what exists. Chroma and tantivy are derived from it and are only ever asked for keys,
which the ledger then looks up: a key that is not live is not shown, whatever the engines hold. So a batch
becomes visible in one SQLite transaction, after both engines have it, and a crash before that leaves
nothing but rows that the next writer removes.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labwright.domain import PaperIds
from labwright.errors import WrongUse
from labwright.tools.index_records import IndexedDocument

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

FORMAT = "1"
HALF = np.float16
"""Vectors are kept in half precision: cosines change by less than 1e-3, the file halves."""
CHUNK = 500
IDENTITIES = ("pmcid", "doi", "pmid", "title")
FIELDS = "key, corpus, id, title, text, pmid, pmcid, doi, year, type, retracted"
INSERT = (
    "insert into documents (state, corpus, id, title, text, pmid, pmcid, doi, year, type, retracted, digest, vectors, "
    "width) values ('pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
SCHEMA = """
create table if not exists settings (name text primary key, value text not null) without rowid;
create table if not exists documents (
    key integer primary key autoincrement,
    state text not null check (state in ('pending', 'live', 'dead')),
    corpus text not null, id text not null, title text not null, text text not null,
    pmid text not null, pmcid text not null, doi text not null,
    year integer, type text not null, retracted integer not null,
    digest text not null, vectors blob not null, width integer not null
);
create unique index if not exists live_ids on documents (corpus, id) where state = 'live';
create index if not exists unfinished on documents (state) where state <> 'live';
create index if not exists digests on documents (digest);
create table if not exists identities (kind text, value text, corpus text, key integer,
    primary key (kind, value, corpus, key)) without rowid;
create index if not exists identity_keys on identities (key);
"""


class Ledger:
    """One ledger file; one object a thread."""

    def __init__(self, path: Path, embedder: str) -> None:
        """Open the file, or make it.

        Args:
            path: the file.
            embedder: name of what makes the vectors.

        Raises:
            WrongUse: the file is not a ledger, is of another format, or holds another embedder's vectors.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")  # a batch that was reported added survives a power cut
            self._db.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise WrongUse(f"{path}: not an index ({error}); delete the folder and index again") from error
        made = (("format", FORMAT), ("embedder", embedder), ("generation", "0"), ("id", uuid.uuid4().hex))
        for name, value in made:
            self._db.execute("insert or ignore into settings values (?, ?)", (name, value))
        held = dict(self._db.execute("select name, value from settings"))
        if held["format"] != FORMAT or held["embedder"] != embedder:
            raise WrongUse(
                f"{path}: made with embedder {held['embedder']!r}, format {held['format']}; this is {embedder!r}, "
                f"format {FORMAT}: configure that embedder, or index into another folder"
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def setting(self, name: str) -> str:
        """A note of the index; empty when it was never set."""
        row = self._db.execute("select value from settings where name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def set(self, name: str, value: str) -> None:
        """Keep a note."""
        self._db.execute("insert or replace into settings values (?, ?)", (name, value))

    def generation(self) -> int:
        """A number that grows whenever what is live changes."""
        return int(self.setting("generation"))

    def count(self, state: str = "live") -> int:
        """Documents in a state."""
        return int(self._db.execute("select count(*) from documents where state = ?", (state,)).fetchone()[0])

    def corpora(self) -> dict[str, int]:
        """Corpus to its number of documents."""
        rows = self._db.execute("select corpus, count(*) from documents where state = 'live' group by corpus")
        return {str(name): int(n) for name, n in rows}

    def ids(self, corpus: str) -> list[str]:
        """Ids of the live documents of a corpus, in the order of their keys."""
        rows = self._db.execute("select id from documents where state = 'live' and corpus = ? order by key", (corpus,))
        return [str(row[0]) for row in rows]

    def keys(self, states: Sequence[str] = ("live",)) -> list[int]:
        """Keys of documents in any of the states, ascending."""
        marks = ",".join("?" * len(states))
        rows = self._db.execute(f"select key from documents where state in ({marks}) order by key", states)  # noqa: S608
        return [int(row[0]) for row in rows]

    def prepare(self, documents: Sequence[IndexedDocument], vectors: Sequence[Vectors]) -> list[int]:
        """Write documents as pending; returns their keys, which no document ever had before."""
        keys = []
        with self._db:
            self._db.execute("begin immediate")
            for document, matrix in zip(documents, vectors, strict=True):
                row = (
                    *(document.corpus, document.id, document.title, document.text),
                    *(document.ids.pmid, document.ids.pmcid, document.ids.doi),
                    *(document.year, document.type, int(document.retracted)),
                    *(document.digest(), np.asarray(matrix, dtype=HALF).tobytes(), matrix.shape[1]),
                )
                cursor = self._db.execute(INSERT, row)
                key = int(cursor.lastrowid or 0)
                keys.append(key)
                self._db.executemany(
                    "insert into identities values (?, ?, ?, ?)",
                    [(kind, value, document.corpus, key) for kind, value in document.identities().items()],
                )
        return keys

    def publish(self, added: Sequence[int], replaced: Sequence[int]) -> None:
        """In one transaction make `added` live and `replaced` dead."""
        with self._db:
            self._db.execute("begin immediate")
            for state, keys in (("dead", replaced), ("live", added)):
                self._db.executemany("update documents set state = ? where key = ?", [(state, k) for k in keys])
            self._db.execute("update settings set value = value + 1 where name = 'generation'")

    def forget(self, keys: Iterable[int]) -> None:
        """Remove rows that no engine holds any more."""
        with self._db:
            self._db.execute("begin immediate")
            for key in keys:
                self._db.execute("delete from identities where key = ?", (key,))
                self._db.execute("delete from documents where key = ? and state <> 'live'", (key,))

    def find(self, corpus: str, name: str) -> int | None:
        """Key of the live document of that id."""
        row = self._db.execute(
            "select key from documents where state = 'live' and corpus = ? and id = ?", (corpus, name)
        ).fetchone()
        return None if row is None else int(row[0])

    def alike(self, document: IndexedDocument) -> list[int]:
        """Keys of live documents of the same corpus that share an identity, strongest identity first."""
        found: list[int] = []
        held = document.identities()
        for kind in IDENTITIES:
            if kind in held:
                rows = self._db.execute(
                    "select i.key from identities i join documents d on d.key = i.key "
                    "where i.kind = ? and i.value = ? and i.corpus = ? and d.state = 'live' order by i.key",
                    (kind, held[kind], document.corpus),
                )
                found += [int(row[0]) for row in rows if int(row[0]) not in found]
        return found

    def documents(self, keys: Sequence[int]) -> dict[int, IndexedDocument]:
        """Live documents by key; a key that is not live is absent."""
        found = {}
        for start in range(0, len(keys), CHUNK):
            part = list(keys[start : start + CHUNK])
            marks = ",".join("?" * len(part))
            query = f"select {FIELDS} from documents where state = 'live' and key in ({marks})"  # noqa: S608
            found.update({int(row[0]): _document(row) for row in self._db.execute(query, part)})
        return found

    def rows(self, keys: Sequence[int]) -> tuple[list[tuple[int, IndexedDocument]], Vectors]:
        """Live documents of the keys with the vectors of their passages (n, d), to fill an engine again."""
        documents, vectors = self.documents(keys), self.vectors(keys)
        held = [key for key in keys if key in documents]
        return [(key, documents[key]) for key in held], np.asarray([vectors[key][0] for key in held], dtype=np.float32)

    def vectors(self, keys: Sequence[int]) -> dict[int, Vectors]:
        """Vectors of live documents by key: (2 + sentences, d), of passage, title and each sentence."""
        return {int(key): matrix for key, matrix in self._vectors("state = 'live' and key", "key", list(keys))}

    def known(self, digests: Sequence[str]) -> dict[str, Vectors]:
        """Vectors of documents that were embedded before, by digest; shapes as above."""
        return {str(digest): matrix for digest, matrix in self._vectors("digest", "digest", list(digests))}

    def _vectors(self, where: str, column: str, values: list[int] | list[str]) -> Iterator[tuple[Any, Vectors]]:
        for start in range(0, len(values), CHUNK):
            part = values[start : start + CHUNK]
            query = f"select {column}, vectors, width from documents where {where} in ({','.join('?' * len(part))})"  # noqa: S608
            rows = self._db.execute(query, part).fetchall()
            if rows:
                width = int(rows[0][2])
                whole = (
                    np.frombuffer(b"".join(row[1] for row in rows), dtype=HALF).astype(np.float32).reshape(-1, width)
                )
                ends = np.cumsum([len(row[1]) // (2 * width) for row in rows])
                yield from zip((row[0] for row in rows), np.split(whole, ends[:-1]), strict=True)


def _document(row: Sequence[object]) -> IndexedDocument:
    _, corpus, name, title, text, pmid, pmcid, doi, year, kind, retracted = row
    return IndexedDocument.model_validate(
        {
            "id": name,
            "corpus": corpus,
            "title": title,
            "text": text,
            "ids": PaperIds.model_validate({"pmid": pmid, "pmcid": pmcid, "doi": doi}),
            "year": year,
            "type": kind,
            "retracted": bool(retracted),
        }
    )
