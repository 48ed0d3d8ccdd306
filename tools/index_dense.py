"""The dense side of a literature index: cosine similarity through Chroma, on disk or on a Chroma server.

Vectors are made by the index's own encoder and handed over; Chroma's default embedding function, which
would fetch a model, is never used. Similarities are in [-1, 1]; higher is better.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from labwright.errors import ConfigInvalid, SourceUnavailable
from labwright.tools.index_records import Filter, IndexedDocument

if TYPE_CHECKING:
    import numpy as np
    from chromadb.api import ClientAPI
    from chromadb.api.types import QueryResult
    from chromadb.config import System
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

BATCH = 1000
SPACE = {"hnsw": {"space": "cosine", "ef_search": 200, "max_neighbors": 32}}
"""More neighbours than the default 16: nearly equal documents otherwise cut others off from the graph."""
TRIES = 4
PAUSE_S = 0.05
_opening = threading.Lock()


class DenseEngine:
    """One Chroma collection."""

    def __init__(self, folder: Path, name: str, server: str = "") -> None:
        """Open the collection, or make it.

        Args:
            folder: where Chroma keeps its files; not used with a server.
            name: name of the collection.
            server: address of a Chroma server, such as `http://localhost:8000`; empty for files.

        Raises:
            ConfigInvalid: the address is not one.
            SourceUnavailable: the server does not answer.
        """
        self._folder, self._name, self._server = folder, name, server
        self._system: System | None = None
        self._open()

    def _open(self) -> None:
        client, self._system = (_served(self._server), None) if self._server else _local(self._folder)
        self._collection = client.get_or_create_collection(
            self._name,
            embedding_function=None,
            configuration=SPACE,  # type: ignore[arg-type]  # the typed dict's name is not public
        )

    def refresh(self) -> None:
        """See what other processes have added: Chroma keeps what it read of its files for the life of a client."""
        if not self._server:
            self.close()
            self._open()

    def close(self) -> None:
        """Let go of the files."""
        if self._system is not None:
            self._system.stop()
            self._system = None

    def add(self, rows: Sequence[tuple[int, IndexedDocument]], vectors: Vectors) -> None:
        """Add documents under their keys with their vectors (n, d); a key that is there is replaced."""
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            self._collection.upsert(
                ids=[str(key) for key, _ in part],
                embeddings=vectors[start : start + BATCH],
                metadatas=[_metadata(document) for _, document in part],
            )

    def remove(self, keys: Sequence[int]) -> None:
        """Remove keys; unknown ones are passed over."""
        names = set(map(str, keys))
        for start in range(0, len(keys), BATCH):
            asked = [str(key) for key in keys[start : start + BATCH]]
            held = self._collection.get(ids=asked, include=[])["ids"]
            present = [name for name in held if name in names]
            if present:
                self._collection.delete(ids=present)

    def keys(self) -> set[int]:
        """Keys of every vector."""
        return {int(name) for name in self._collection.get(include=[])["ids"]}

    def count(self) -> int:
        """Vectors in the collection."""
        return int(self._collection.count())

    def search(self, vector: Vectors, limit: int, where: Filter | None = None) -> dict[int, float]:
        """Key to cosine of the nearest documents, nearest first.

        Args:
            vector: unit vector (d,).
            limit: most documents.
            where: which documents may be returned.
        """
        if limit < 1:
            return {}
        asked: dict[str, Any] = {} if where is None or where.is_open() else {"where": _where(where)}
        found = self._query({"query_embeddings": [vector], "n_results": limit, "include": ["distances"], **asked})
        distances = (found["distances"] or [[]])[0]
        return {int(key): 1.0 - float(d) for key, d in zip(found["ids"][0], distances, strict=True)}

    def _query(self, asked: dict[str, Any]) -> QueryResult:
        from chromadb.errors import InternalError

        for attempt in range(1, TRIES + 1):
            try:
                return self._collection.query(**asked)
            except InternalError as error:  # another process is writing its first segment files
                if attempt == TRIES:
                    raise SourceUnavailable(f"{self._folder}: the dense index cannot be read: {error}") from error
                time.sleep(PAUSE_S * attempt)
                self.refresh()
        raise AssertionError  # the last attempt returned or raised


def _metadata(document: IndexedDocument) -> dict[str, str | int | bool]:
    year = {} if document.year is None else {"year": document.year}
    return {"corpus": document.corpus, "type": document.type, "retracted": document.retracted, **year}


def _where(where: Filter) -> dict[str, Any]:
    clauses: list[dict[str, Any]] = []
    if where.corpora:
        clauses.append({"corpus": {"$in": list(where.corpora)}})
    if where.types:
        clauses.append({"type": {"$in": list(where.types)}})
    if where.since is not None:
        clauses.append({"year": {"$gte": where.since}})
    if where.until is not None:
        clauses.append({"year": {"$lte": where.until}})
    if where.retracted is not None:
        clauses.append({"retracted": where.retracted})
    return clauses[0] if len(clauses) == 1 else {"$and": clauses}


def _local(folder: Path) -> tuple[ClientAPI, System]:
    """A client of its own for the folder, and the system to stop behind it.

    Chroma shares one system a path within a process, and with it what was read of the files. It is taken out of
    that registry, so that nobody shares it; the public `clear_system_cache` would forget those of other indexes too.
    """
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient
    from chromadb.config import Settings

    folder.mkdir(parents=True, exist_ok=True)
    with _opening:
        client = chromadb.PersistentClient(path=str(folder), settings=Settings(anonymized_telemetry=False))
        return client, SharedSystemClient._identifier_to_system.pop(str(folder))


def _served(address: str) -> ClientAPI:
    import chromadb
    from chromadb.config import Settings

    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigInvalid(f"{address!r} is not the address of a Chroma server; write http://HOST:PORT")
    try:
        return chromadb.HttpClient(
            host=parts.hostname,
            port=parts.port or (443 if parts.scheme == "https" else 8000),
            ssl=parts.scheme == "https",
            settings=Settings(anonymized_telemetry=False),
        )
    except ValueError as error:  # what the client raises when nothing answers
        raise SourceUnavailable(f"no Chroma server answers at {address}: {error}; start it or empty the key") from error
