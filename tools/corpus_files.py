"""Files of any readable format into a corpus of the user, and a corpus out into a reference file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from labwright.domain import Paper
from labwright.errors import UnreadableCorpus
from labwright.tools.formats import bibtex, csl, ris
from labwright.tools.formats.reading import KINDS, PLAIN, Document, as_line, files_in, kind_of, read_documents
from labwright.tools.full_text import Wanted, wanted
from labwright.tools.local_corpus import LocalCorpus, add_documents, document_id, documents_of
from labwright.tools.origins import PICTURED, Origin, keep_origins
from labwright.tools.sources import EmbeddedCorpus

if TYPE_CHECKING:
    from labwright.tools.index_store import LiteratureIndex

WRITERS: Final[dict[str, Callable[[Iterable[Paper]], str]]] = {
    "bibtex": bibtex.write,
    "ris": ris.write,
    "csl": csl.write,
}


@dataclass(frozen=True, slots=True)
class Added:
    """What came into the corpus."""

    files: tuple[Path, ...]
    documents: int
    """Documents read from formats that were converted; plain files are not counted."""
    wanted: tuple[Wanted, ...]
    """Papers of which there is no full text, for the user to add."""


def add_files(corpora: Path, name: str, paths: Sequence[Path]) -> Added:
    """Add files and folders to the corpus `name`; all of them or none.

    Plain files are copied. Every other file becomes one .jsonl of its documents, so that it is parsed once.

    Args:
        corpora: the folder that holds all corpora.
        name: of the corpus.
        paths: files of a format of `KINDS` or `PLAIN`, or folders of such files.

    Raises:
        WrongUse: the name is not allowed, or two files of one name are given.
        UnreadableCorpus: a file is missing, of another type, damaged, or holds no document.
    """
    lacking: list[Wanted] = []
    origins: dict[str, Origin] = {}
    count = 0
    with tempfile.TemporaryDirectory(prefix="labwright-corpus-") as scratch:
        staged: list[Path] = []
        for path in paths:
            if path.is_file() and kind_of(path) == "plain":
                staged.append(path)
                continue
            target = Path(scratch) / f"{path.resolve().name}.jsonl"
            found, without = _convert(_documents(path, name), target)
            count += len(found)
            lacking += without
            origins |= {document_id(name, target, n): o for n, o in enumerate(found, start=1) if o is not None}
            staged.append(target)
        added = add_documents(corpora, name, staged)
        keep_origins(corpora / name, origins)
    return Added(tuple(added), count, tuple(lacking))


def export(corpora: Path, name: str, form: str, check: Callable[[Sequence[Paper]], list[Paper]] = list) -> str:
    """The papers of a corpus as a reference file.

    Args:
        corpora: the folder that holds all corpora.
        name: of a corpus, or "embedded".
        form: a key of `WRITERS`.
        check: gives the papers the standing that each citation states.

    Raises:
        UnreadableCorpus: there is no such corpus, or it cannot be read.
    """
    papers = EmbeddedCorpus(_unused).papers() if name == "embedded" else LocalCorpus(corpora / name, _no_index).papers()
    return WRITERS[form](check(papers))


def _documents(path: Path, corpus: str) -> Iterator[tuple[Document, Origin | None]]:
    """Documents with the file that their pictures can be read from later."""
    if path.is_dir():
        for file in files_in(path):
            if kind_of(file) == "plain":
                yield from ((document, None) for document in documents_of(file, corpus))
            else:
                yield from _with_origin(file, corpus)
    elif not path.exists():
        raise UnreadableCorpus(f"{path}: No such file or directory; check the path")
    elif not kind_of(path):
        raise UnreadableCorpus(f"{path}: not one of {', '.join((*PLAIN, *KINDS))}; convert it to one of them")
    else:
        yield from _with_origin(path, corpus)


def _with_origin(path: Path, corpus: str) -> Iterator[tuple[Document, Origin | None]]:
    pictured = kind_of(path) in PICTURED
    for number, document in enumerate(read_documents(path, corpus)):
        yield document, Origin(str(path.resolve()), number) if pictured else None


def _convert(
    documents: Iterable[tuple[Document, Origin | None]], target: Path
) -> tuple[list[Origin | None], list[Wanted]]:
    """Write one line a document; returns where each came from."""
    origins, lacking = [], []
    with target.open("w", encoding="utf-8") as file:
        for (paper, text), origin in documents:
            file.write(json.dumps(as_line((paper, text)), ensure_ascii=False) + "\n")
            origins.append(origin)
            lacking += wanted([paper])
    return origins, lacking


def _no_index() -> LiteratureIndex:
    raise AssertionError("papers are listed without an index")


def _unused(texts: Sequence[str]) -> Any:
    raise AssertionError("papers are listed without vectors")
