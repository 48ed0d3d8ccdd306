"""Which file is read by which format, and the line a document is kept as in a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from labwright.domain import Paper
from labwright.errors import UnreadableCorpus

Document = tuple[Paper, str]
"""A paper and its text; the text is empty when the file holds the reference only."""
PLAIN: Final = (".jsonl", ".txt", ".md")
"""Kept as they are and read by `labwright.tools.local_corpus`."""
KINDS: Final = {  # suffix to the module of this folder
    ".xml": "jats_files",
    ".nxml": "jats_files",
    ".tar.gz": "jats_files",
    ".tgz": "jats_files",
    ".pdf": "pdf",
    ".bib": "bibtex",
    ".ris": "ris",
    ".json": "csl",
}


def kind_of(path: Path) -> str:
    """Format of a file by its name: one of the values of `KINDS`, "plain", or "" when it is not read."""
    name = path.name.lower()
    if name.endswith(PLAIN):
        return "plain"
    return next((kind for suffix, kind in KINDS.items() if name.endswith(suffix)), "")


def read_documents(path: Path, corpus: str) -> Iterator[Document]:
    """The documents of one file, one at a time: a package may hold more than memory does.

    Args:
        path: a file whose `kind_of` is a format.
        corpus: name of the corpus, which becomes the source of the papers.

    Raises:
        UnreadableCorpus: the file is not what its name says, or holds no document.
    """
    empty = True
    for document in _reader(kind_of(path))(path, corpus):
        yield document
        empty = False
    if empty:
        raise UnreadableCorpus(f"{path}: no document in it; remove it or fill it")


def _reader(kind: str) -> Callable[[Path, str], Iterable[Document]]:
    """A format's `read`, imported where it is needed: a PDF library is no cost of reading BibTeX."""
    from importlib import import_module

    reader: Callable[[Path, str], Iterable[Document]] = import_module(f"labwright.tools.formats.{kind}").read
    return reader


def files_in(path: Path) -> list[Path]:
    """The readable files under a folder, by name; a PDF beside JATS files of its folder is their copy.

    Raises:
        UnreadableCorpus: there is none.
    """
    found = [file for file in sorted(path.rglob("*")) if file.is_file() and kind_of(file)]
    marked_up = {file.parent for file in found if kind_of(file) == "jats_files"}
    found = [file for file in found if not (kind_of(file) == "pdf" and file.parent in marked_up)]
    if not found:
        raise UnreadableCorpus(f"{path}: no file that can be read; known are {', '.join((*PLAIN, *KINDS))}")
    return found


def as_line(document: Document) -> dict[str, Any]:
    """A document as a line of a .jsonl file of a corpus; a bare reference has its title for a text."""
    paper, text = document
    fields = paper.model_dump(
        mode="json", include={"title", "authors", "abstract", "year", "journal", "types", "mesh", "kind"}
    )
    return {**fields, **paper.ids.model_dump(), "text": text or paper.title}


def text_of(path: Path) -> str:
    """A text file, which must be UTF-8.

    Raises:
        UnreadableCorpus: it cannot be read, or is of another encoding.
    """
    try:
        return path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise UnreadableCorpus(f"{path}: {error.strerror}; check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise UnreadableCorpus(
            f"{path}: not UTF-8 at byte {error.start}; convert it, "
            f"for example `iconv -f latin1 -t utf-8 {path.name} > {path.stem}.utf8{path.suffix}`"
        ) from error
