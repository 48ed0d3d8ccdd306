"""JATS files and the packages of the PMC open access subset (.xml, .nxml, .tar.gz), with the pictures beside them."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

from labwright.errors import UnreadableCorpus
from labwright.tools.formats.reading import Document
from labwright.tools.jats import Article, articles
from labwright.tools.paper_figures import MOST_MIB as MOST_PICTURE_MIB
from labwright.tools.paper_figures import SUPPLEMENT, PaperFigure, is_picture, of_package
from labwright.tools.sources import abstract_document
from labwright.tools.transport import Damaged

MOST_MIB: Final = 64
"""Largest article; a package that unpacks to more is refused, unread."""


def read(path: Path, corpus: str) -> Iterator[Document]:
    """Every article of a file or package.

    Raises:
        UnreadableCorpus: it is cut off, not JATS, or holds an article of more than `MOST_MIB`.
    """
    for _, article in _articles(path):
        paper = article.paper(corpus)
        yield paper, article.document() or (abstract_document(paper) if paper.abstract else "")


def figures(path: Path, number: int) -> list[PaperFigure]:
    """The pictures of one article: files in the folder of its XML, on disk or in the package.

    Args:
        path: file or package.
        number: of the article in it, from 0, in the order of `read`.

    Raises:
        UnreadableCorpus: as for `read`.
    """
    found = next(islice(_articles(path), number, None), None)
    if found is None:
        return []
    where, article = found
    if path.name.lower().endswith((".xml", ".nxml")):
        beside = {p.name: p for p in path.parent.iterdir() if p.is_file() and is_picture(p.name)}
        # A folder may hold many articles: a picture that this one does not name may be another's.
        return [f for f in of_package(article, beside, lambda name: _small(beside[name])) if f.label != SUPPLEMENT]
    folder = PurePosixPath(where).parent
    with _readable(path), tarfile.open(path, "r:gz") as package:
        beside_it = {
            m.name: m for m in package if m.isfile() and is_picture(m.name) and PurePosixPath(m.name).parent == folder
        }
        return of_package(article, beside_it, lambda name: _small_member(package, beside_it[name]))


def _small(path: Path) -> bytes | None:
    return path.read_bytes() if path.stat().st_size <= MOST_PICTURE_MIB * 2**20 else None


def _small_member(package: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | None:
    file = package.extractfile(member) if member.size <= MOST_PICTURE_MIB * 2**20 else None
    return None if file is None else file.read()


def _articles(path: Path) -> Iterator[tuple[str, Article]]:
    """Every article with the name of its file in the package, or of the file itself."""
    for name, body in _bodies(path):
        try:
            read_here = articles(body)
        except Damaged as error:
            raise UnreadableCorpus(f"{name}: {error}; get the file again") from error
        if not read_here:
            raise UnreadableCorpus(f"{name}: XML, but no JATS article in it")
        for article in read_here:
            yield name.removeprefix(f"{path}:"), article


def _bodies(path: Path) -> Iterator[tuple[str, bytes]]:
    with _readable(path):
        if path.name.lower().endswith((".xml", ".nxml")):
            yield str(path), path.read_bytes()
            return
        with tarfile.open(path, "r:gz") as package:  # members are read, never unpacked to disk
            for member in package:
                if member.isfile() and member.name.lower().endswith((".xml", ".nxml")):
                    yield f"{path}:{member.name}", _member(package, member, path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say in one line what is wrong with a file or package.

    Raises:
        UnreadableCorpus: it cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise UnreadableCorpus(f"{path}: {error.strerror or 'not a gzip file'}; check the file") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UnreadableCorpus(f"{path}: cut off or not a .tar.gz ({type(error).__name__}); get it again") from error


def _member(package: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    file = package.extractfile(member)
    if file is None or member.size > MOST_MIB * 2**20:
        raise UnreadableCorpus(f"{path}:{member.name}: larger than {MOST_MIB} MiB; an article is not")
    return file.read()
