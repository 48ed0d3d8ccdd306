"""The sources of literature and of data sets that a configuration names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.config import cache_dir
from labwright.errors import ConfigInvalid
from labwright.tools.eutils import BASE_URL, EutilsConfig
from labwright.tools.index import Encoder
from labwright.tools.sources import EmbeddedCorpus, LiteratureSource

if TYPE_CHECKING:
    from labwright.tools.entrez import GeoSource

BUILT_IN = ("embedded", "pubmed", "pmc")


def corpora_dir() -> Path:
    """Folder of the corpora that users add."""
    return cache_dir() / "corpora"


def open_sources(names: Sequence[str], encode: Encoder) -> list[LiteratureSource]:
    """Open the sources by name, in order.

    Raises:
        ConfigInvalid: a name is neither built in nor an added corpus.
        UnreadableCorpus: an added corpus cannot be read.
    """
    return [_open(name, encode) for name in names]


def _open(name: str, encode: Encoder) -> LiteratureSource:
    from labwright.tools.local_corpus import LocalCorpus, corpus_names

    if name == "embedded":
        return EmbeddedCorpus(encode)
    if name in ("pubmed", "pmc"):
        from labwright.tools.entrez import PmcSource, PubMedSource
        from labwright.tools.eutils import Eutils

        eutils = Eutils(eutils_config())
        return PubMedSource(eutils) if name == "pubmed" else PmcSource(eutils)
    if name in corpus_names(corpora_dir()):
        return LocalCorpus(corpora_dir() / name, encode)
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
