"""The sources of literature and of data sets that a configuration names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.config import IndexConfig, cache_dir
from labwright.errors import ConfigInvalid
from labwright.tools.eutils import BASE_URL, EutilsConfig
from labwright.tools.index import Encoder
from labwright.tools.sources import EmbeddedCorpus, LiteratureSource

if TYPE_CHECKING:
    from labwright.tools.entrez import GeoSource
    from labwright.tools.index_store import LiteratureIndex
    from labwright.tools.local_corpus import LocalCorpus

DEFAULT_INDEX = IndexConfig()
BUILT_IN = ("embedded", "pubmed", "pmc")


def corpora_dir() -> Path:
    """Folder of the corpora that users add."""
    return cache_dir() / "corpora"


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


def open_sources(names: Sequence[str], encode: Encoder, config: IndexConfig = DEFAULT_INDEX) -> list[LiteratureSource]:
    """Open the sources by name, in order.

    Args:
        names: built-in sources and added corpora.
        encode: texts to unit vectors, for the embedded corpus.
        config: how added corpora are indexed.

    Raises:
        ConfigInvalid: a name is neither built in nor an added corpus.
        UnreadableCorpus: an added corpus cannot be read.
    """
    return [_open(name, encode, config) for name in names]


def _open(name: str, encode: Encoder, config: IndexConfig) -> LiteratureSource:
    from labwright.tools.local_corpus import corpus_names

    if name == "embedded":
        return EmbeddedCorpus(encode)
    if name in ("pubmed", "pmc"):
        from labwright.tools.entrez import PmcSource, PubMedSource
        from labwright.tools.eutils import Eutils

        eutils = Eutils(eutils_config())
        return PubMedSource(eutils) if name == "pubmed" else PmcSource(eutils)
    if name in corpus_names(corpora_dir()):
        return open_corpus(name, config)
    known = ", ".join((*BUILT_IN, *corpus_names(corpora_dir())))
    raise ConfigInvalid(f"[literature] sources names {name!r}; known are {known}; add one with `labwright corpus add`")


def geo_source() -> GeoSource:
    """GEO, as the environment says how to reach it."""
    from labwright.tools.entrez import GeoSource
    from labwright.tools.eutils import Eutils

    return GeoSource(Eutils(eutils_config()))


def eutils_config() -> EutilsConfig:
    """How to talk to NCBI: mail, key and address from the environment."""
    return EutilsConfig(
        email=os.environ.get("NCBI_EMAIL", ""),
        api_key=os.environ.get("NCBI_API_KEY", ""),
        base_url=os.environ.get("LABWRIGHT_NCBI_URL", BASE_URL),
    )
