"""JATS files and the packages of the PMC open access subset (.xml, .nxml, .tar.gz)."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from labwright.errors import UnreadableCorpus
from labwright.tools.formats.reading import Document
from labwright.tools.jats import articles
from labwright.tools.sources import abstract_document
from labwright.tools.transport import Damaged

MOST_MIB: Final = 64
"""Largest article; a package that unpacks to more is refused, unread."""


def read(path: Path, corpus: str) -> Iterator[Document]:
    """Every article of a file or package.

    Raises:
        UnreadableCorpus: it is cut off, not JATS, or holds an article of more than `MOST_MIB`.
    """
    for name, body in _bodies(path):
        try:
            read_here = articles(body)
        except Damaged as error:
            raise UnreadableCorpus(f"{name}: {error}; get the file again") from error
        if not read_here:
            raise UnreadableCorpus(f"{name}: XML, but no JATS article in it")
        for article in read_here:
            paper = article.paper(corpus)
            yield paper, article.document() or (abstract_document(paper) if paper.abstract else "")


def _bodies(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if path.name.lower().endswith((".xml", ".nxml")):
            yield str(path), path.read_bytes()
            return
        with tarfile.open(path, "r:gz") as package:  # members are read, never unpacked to disk
            for member in package:
                if member.isfile() and member.name.lower().endswith((".xml", ".nxml")):
                    yield f"{path}:{member.name}", _member(package, member, path)
    except OSError as error:
        raise UnreadableCorpus(f"{path}: {error.strerror or 'not a gzip file'}; check the file") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UnreadableCorpus(f"{path}: cut off or not a .tar.gz ({type(error).__name__}); get it again") from error


def _member(package: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    file = package.extractfile(member)
    if file is None or member.size > MOST_MIB * 2**20:
        raise UnreadableCorpus(f"{path}:{member.name}: larger than {MOST_MIB} MiB; an article is not")
    return file.read()
