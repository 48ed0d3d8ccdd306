"""The sources of literature and of data sets that a configuration names, and how the environment says to reach them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.config import IndexConfig, cache_dir
from labwright.errors import ConfigInvalid
from labwright.tools.index import Encoder
from labwright.tools.sources import EmbeddedCorpus, LiteratureSource

if TYPE_CHECKING:
    from labwright.domain import Paper
    from labwright.tools.eutils import Eutils, EutilsConfig
    from labwright.tools.geo import GeoSource
    from labwright.tools.index_store import LiteratureIndex
    from labwright.tools.local_corpus import LocalCorpus
    from labwright.tools.reply_cache import ReplyCache
    from labwright.tools.retractions import RetractionRegister

DEFAULT_INDEX = IndexConfig()
NETWORK = ("pubmed", "pmc", "europepmc")
BUILT_IN = ("embedded", *NETWORK)
REPLY_DAYS = 7
"""Age at which a kept reply is asked for anew."""
Note = Callable[[str], None]


def _silent(text: str) -> None:
    """Says nothing."""


def corpora_dir() -> Path:
    """Folder of the corpora that users add."""
    return cache_dir() / "corpora"


def retraction_register() -> RetractionRegister:
    """The notices imported on this machine."""
    from labwright.tools.retractions import RetractionRegister

    return RetractionRegister(cache_dir() / "retractions.sqlite")


def corpus_index(name: str, config: IndexConfig) -> LiteratureIndex:
    """The index of an added corpus, one an embedder: another embedder makes another index of the same files.

    Raises:
        ConfigInvalid, ModelMissing, KeyMissing, SourceUnavailable: as the encoder and the index say.
    """
    from labwright.models.embedders import encoder
    from labwright.tools.index_store import Embedder, LiteratureIndex

    made_by, encode = encoder(config)
    suffix = hashlib.sha256(made_by.encode()).hexdigest()[:8]
    folder = cache_dir() / "indexes" / f"{name}-{suffix}"
    return LiteratureIndex(folder, Embedder(name=made_by, encode=encode), server=config.chroma_url)


def open_corpus(name: str, config: IndexConfig) -> LocalCorpus:
    """An added corpus with its index.

    Raises:
        UnreadableCorpus: there is no such corpus, or it cannot be read.
    """
    from labwright.tools.local_corpus import LocalCorpus

    return LocalCorpus(corpora_dir() / name, lambda: corpus_index(name, config))


def open_sources(
    names: Sequence[str], encode: Encoder, config: IndexConfig = DEFAULT_INDEX, note: Note = _silent
) -> list[LiteratureSource]:
    """Open the sources by name, in order.

    Args:
        names: built-in sources and added corpora.
        encode: texts to unit vectors, for the embedded corpus.
        config: how added corpora are indexed.
        note: told what a reader must know of a source's answers.

    Raises:
        ConfigInvalid: a name is neither built in nor an added corpus.
        UnreadableCorpus: an added corpus cannot be read.
    """
    return [_open(name, encode, config, note) for name in names]


def _open(name: str, encode: Encoder, config: IndexConfig, note: Note) -> LiteratureSource:
    from labwright.tools.local_corpus import corpus_names

    if name == "embedded":
        return EmbeddedCorpus(encode)
    if name in ("pubmed", "pmc"):
        from labwright.tools.entrez import PmcSource, PubMedSource

        return PubMedSource(eutils(), note) if name == "pubmed" else PmcSource(eutils())
    if name == "europepmc":
        from labwright.tools.europe_pmc import BASE_URL, EuropePmcSource, service
        from labwright.tools.transport import Transport

        address = os.environ.get("LABWRIGHT_EUROPEPMC_URL", BASE_URL)
        mail = os.environ.get("NCBI_EMAIL", "")
        return EuropePmcSource(Transport(service(address, mail), cache=reply_cache()))
    if name in corpus_names(corpora_dir()):
        return open_corpus(name, config)
    known = ", ".join((*BUILT_IN, *corpus_names(corpora_dir())))
    raise ConfigInvalid(f"[literature] sources names {name!r}; known are {known}; add one with `labwright corpus add`")


def check_retractions(papers: Sequence[Paper], sources: Sequence[str], note: Note = _silent) -> list[Paper]:
    """The papers with their standing; PubMed is asked only where a network source is named.

    Raises:
        UnreadableCorpus: the register of notices is damaged.
    """
    from labwright.tools.entrez import PubMedSource
    from labwright.tools.retractions import check

    pubmed = PubMedSource(eutils()) if set(NETWORK) & set(sources) else None
    return check(papers, retraction_register(), pubmed, note)


def geo_source() -> GeoSource:
    """GEO, as the environment says how to reach it."""
    from labwright.tools.geo import FILES_URL, PAGES_URL, GeoSource, files_service, pages_service
    from labwright.tools.transport import Transport

    pages = pages_service(os.environ.get("LABWRIGHT_GEO_PAGES_URL", PAGES_URL))
    files = files_service(os.environ.get("LABWRIGHT_GEO_FILES_URL", FILES_URL))
    return GeoSource(eutils(), Transport(pages, cache=reply_cache()), Transport(files, cache=reply_cache()))


def eutils() -> Eutils:
    """The E-utilities; all who ask with the same identity share one rate."""
    return _shared_eutils(eutils_config(), cache_dir())


@cache
def _shared_eutils(config: EutilsConfig, folder: Path) -> Eutils:
    from labwright.tools.eutils import Eutils

    return Eutils(config, cache=_cache_in(folder))


def eutils_config() -> EutilsConfig:
    """How to talk to NCBI: mail, key and address from the environment."""
    from labwright.tools.eutils import BASE_URL, EutilsConfig

    return EutilsConfig(
        email=os.environ.get("NCBI_EMAIL", ""),
        api_key=os.environ.get("NCBI_API_KEY", ""),
        base_url=os.environ.get("LABWRIGHT_NCBI_URL", BASE_URL),
    )


def reply_cache() -> ReplyCache:
    """Replies kept on this machine."""
    return _cache_in(cache_dir())


def _cache_in(folder: Path) -> ReplyCache:
    from labwright.tools.reply_cache import ReplyCache

    return ReplyCache(folder / "replies.sqlite", days=REPLY_DAYS)
