"""Corpora of the user's own documents: a folder of .jsonl, .txt and .md files, and an index of it on disk.

A .txt or .md file is one document, titled by its first line. A .jsonl file holds one document a line:
an object with `title` and `text` (or `abstract`), and optionally `id`, `pmid`, `pmcid`, `doi`, `year`,
`journal`, `authors`, `types`, `mesh`, and `kind` ("abstract" or "full_text"). Other formats become such
lines when they are added (`labwright.tools.corpus_files`).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from labwright.domain import Paper, PaperIds
from labwright.errors import UnreadableCorpus, WrongUse
from labwright.tools.formats.reading import text_of
from labwright.tools.index_records import Filter, IndexedDocument
from labwright.tools.origins import figures_at, read_origins
from labwright.tools.paper_figures import PaperFigure

if TYPE_CHECKING:
    from labwright.tools.index_store import LiteratureIndex, Reranker

SUFFIXES = (".jsonl", ".txt", ".md")
ABSTRACT_CHARS = 1500
BATCH = 256
"""Documents between two lines of progress."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_RESERVED = ("embedded", "pubmed", "pmc", "europepmc", "geo")


class LocalCorpus:
    """Documents of one folder, searched like any other source."""

    def __init__(self, folder: Path, open_index: Callable[[], LiteratureIndex]) -> None:
        """Read the folder.

        Args:
            folder: `<corpora>/<name>`; its name is the name of the source.
            open_index: opens the index of this corpus alone; called when it is first needed.

        Raises:
            UnreadableCorpus: the folder is absent or empty, or a file cannot be read as documents.
        """
        self._state = _state(folder)
        self.name = folder.name
        self._papers: dict[str, Paper] = {}
        self._texts: dict[str, str] = {}
        for paper, text in _documents(folder):
            if paper.id in self._papers:
                raise UnreadableCorpus(f"{folder}: two documents have the id {paper.id!r}; rename a file or an `id`")
            self._papers[paper.id] = paper
            self._texts[paper.id] = text
        if not self._papers:
            raise UnreadableCorpus(f"{folder}: no document; use `labwright corpus add {self.name} FILE`")
        self._folder = folder
        self._open_index = open_index
        self._index: LiteratureIndex | None = None

    def papers(self) -> list[Paper]:
        """Every document as a paper, by file name and line."""
        return list(self._papers.values())

    def search(self, query: str, limit: int) -> list[Paper]:
        """At most `limit` papers, best first; a paper that several files hold is found once."""
        return [paper for paper, _ in self.ranked(query, limit)]

    def ranked(
        self, query: str, limit: int, where: Filter | None = None, rerank: Reranker | None = None
    ) -> list[tuple[Paper, float]]:
        """Papers with their scores, best first.

        Args:
            query: plain words.
            limit: most papers.
            where: which of them may be returned.
            rerank: scores the first 20 anew.
        """
        hits = self.index().search(query, limit, where=where, rerank=rerank)
        return [(self._papers[hit.document.id], hit.score) for hit in hits]

    def index(self, say: Callable[[str], None] = lambda line: None) -> LiteratureIndex:
        """The index, brought up to date with the folder: only what changed is embedded.

        Args:
            say: shows progress.
        """
        if self._index is None:
            index = self._open_index()
            if index.mark("folder") != self._state:
                index.delete(sorted(set(index.ids(self.name)) - self._papers.keys()), self.name)
                documents = [self._document(paper) for paper in self._papers.values()]
                for start in range(0, len(documents), BATCH):
                    index.add(documents[start : start + BATCH])
                    say(f"{min(start + BATCH, len(documents))} of {len(documents)} documents indexed")
                index.set_mark("folder", self._state)
            self._index = index
        return self._index

    def _document(self, paper: Paper) -> IndexedDocument:
        text = self._texts[paper.id]
        return IndexedDocument(
            id=paper.id,
            corpus=self.name,
            title=paper.title,
            text=text.removeprefix(paper.title).strip(),
            ids=paper.ids,
            year=paper.year,
            type=paper.kind,
            retracted=paper.retraction.status == "retracted",
        )

    def text(self, paper: Paper) -> str:
        """The document as it was read.

        Raises:
            KeyError: the paper is not one of this corpus.
        """
        return self._texts[paper.id]

    def figures(self, paper: Paper) -> list[PaperFigure]:
        """The pictures of a paper, read from the file that it was added from; empty when that was moved since.

        Raises:
            UnreadableCorpus: the file is there and damaged.
        """
        origin = read_origins(self._folder).get(paper.id)
        return [] if origin is None else figures_at(origin)


def add_documents(corpora: Path, name: str, paths: Sequence[Path]) -> list[Path]:
    """Copy documents into the corpus `name`, making it when it is new.

    Every file is checked before the first is copied, so a refused call changes nothing.

    Args:
        corpora: the folder that holds all corpora.
        name: lower-case letters, digits, `_` and `-`.
        paths: files to add; a file of the same name is replaced.

    Returns:
        Where the copies are.

    Raises:
        WrongUse: the name is not allowed.
        UnreadableCorpus: a file is missing, of another type, not UTF-8, or holds no document.
    """
    if not _NAME.fullmatch(name) or name in _RESERVED:
        taken = ", ".join(_RESERVED)
        raise WrongUse(f"corpus name {name!r}: use lower-case letters, digits, _ and -, but none of {taken}")
    for path in paths:
        if not list(documents_of(path, name)):
            raise UnreadableCorpus(f"{path}: no document in it; remove it or fill it")
    folder = corpora / name
    names = [path.name for path in paths]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise WrongUse(f"two of the files are called {twice[0]}; rename one, since the corpus keeps them by name")
    folder.mkdir(parents=True, exist_ok=True)
    return [_copied(path, folder / path.name) for path in paths]


def _copied(path: Path, target: Path) -> Path:
    if not (target.exists() and path.samefile(target)):
        shutil.copyfile(path, target)
    return target


def _state(folder: Path) -> str:
    """What the files of a folder are, by name, size and time of change."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.suffix in SUFFIXES]
    return hashlib.sha256(repr(stats).encode()).hexdigest()


def corpus_names(corpora: Path) -> list[str]:
    """Names of the corpora that were added."""
    return sorted(path.name for path in corpora.iterdir() if path.is_dir()) if corpora.is_dir() else []


def _documents(folder: Path) -> Iterator[tuple[Paper, str]]:
    if not folder.is_dir():
        raise UnreadableCorpus(f"{folder}: no such corpus; use `labwright corpus add {folder.name} FILE`")
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES:
            yield from documents_of(path, folder.name)


def documents_of(path: Path, corpus: str) -> Iterator[tuple[Paper, str]]:
    """The documents of one .jsonl, .txt or .md file.

    Raises:
        UnreadableCorpus: the file cannot be read as documents.
    """
    text = _read(path)
    if path.suffix != ".jsonl":
        if text.strip():
            yield _document({"text": text}, f"{corpus}-{path.stem}", corpus)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _document(_fields(line, f"{path}:{number}"), f"{corpus}-{path.stem}-{number}", corpus)


def document_id(corpus: str, path: Path, number: int) -> str:
    """Id of the document in a line of a .jsonl file that gives none itself; lines count from 1."""
    return _safe(f"{corpus}-{path.stem}-{number}")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


def _read(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise UnreadableCorpus(f"{path}: not one of {', '.join(SUFFIXES)}; convert it to plain text")
    return text_of(path)


def _fields(line: str, where: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
        json.dumps(fields, ensure_ascii=False).encode()  # half of an escaped pair cannot be stored
    except (ValueError, RecursionError) as error:
        said = getattr(error, "msg", type(error).__name__)
        raise UnreadableCorpus(f"{where}: not JSON ({said}); put one object on each line") from error
    if not isinstance(fields, dict) or not str(fields.get("text") or fields.get("abstract") or "").strip():
        raise UnreadableCorpus(f"{where}: no `text` or `abstract`; every line needs one")
    return fields


def _document(fields: Mapping[str, Any], fallback: str, corpus: str) -> tuple[Paper, str]:
    def field(name: str) -> str:
        value = fields.get(name)
        return "" if value is None else str(value).strip()

    body = field("text") or field("abstract")
    title = field("title") or body.splitlines()[0].lstrip("# ").strip()
    year = field("year")
    abstract = field("abstract") or ("" if "kind" in fields else body[:ABSTRACT_CHARS])
    paper = Paper(
        id=_safe(field("id") or fallback),
        ids=PaperIds(pmid=field("pmid"), pmcid=field("pmcid"), doi=field("doi")),
        title=title[:300],
        abstract=abstract,
        year=int(year) if year.isdecimal() and len(year) <= 4 else None,
        journal=field("journal"),
        source=corpus,
        kind="user",
    )
    return _described(paper, fields), body if body.startswith(("#", title)) else f"{title}\n\n{body}"


def _described(paper: Paper, fields: Mapping[str, Any]) -> Paper:
    """The paper with what the line says beyond the plain fields; what is of another form is left out."""
    told = {name: fields[name] for name in ("authors", "types", "mesh") if fields.get(name)}
    if fields.get("kind") in ("abstract", "full_text"):  # a summary is ours alone, and no file can vouch for a standing
        told["kind"] = fields["kind"]
    try:
        return Paper.model_validate({**paper.model_dump(), **told})
    except ValidationError:
        return paper
