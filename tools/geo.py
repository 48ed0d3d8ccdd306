"""Data sets of the Gene Expression Omnibus: what they are, how their samples fall into groups, how large they are."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from labwright.domain import Dataset
from labwright.errors import SomethingMissing
from labwright.tools.entrez import BATCH, batches, search_ids
from labwright.tools.eutils import Eutils
from labwright.tools.transport import Damaged, Service, Transport

PAGES_URL: Final = "https://www.ncbi.nlm.nih.gov/geo/query"
FILES_URL: Final = "https://ftp.ncbi.nlm.nih.gov/geo"
MOST_LEVELS: Final = 12
"""A characteristic with more levels describes samples, not groups."""
_ACCESSION = re.compile(r"\b(?:GSE|GPL|GSM|GDS)\d+\b")
_MATRIX = re.compile(r'href="(GSE\d+(?:-GPL\d+)?_series_matrix\.txt\.gz)"')
_STATED = "accession, organism, assay and number of samples as GEO states them (esummary, db=gds)"


def geo_accessions(text: str) -> set[str]:
    """The GEO accessions that a text names: upper case, bounded by word ends."""
    return set(_ACCESSION.findall(text))


def pages_service(base_url: str = PAGES_URL) -> Service:
    """GEO's own pages, which give SOFT text."""
    return Service(name="GEO", base_url=base_url, interval_s=0.34)


def files_service(base_url: str = FILES_URL) -> Service:
    """GEO's file server."""
    return Service(name="GEO files", base_url=base_url, interval_s=0.34)


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a series as its SOFT record describes it."""

    accession: str
    title: str
    organism: str
    characteristics: Mapping[str, str]


class GeoSource:
    """GEO: search and summaries through the E-utilities, samples as SOFT, sizes from the file server."""

    name = "geo"

    def __init__(self, eutils: Eutils, pages: Transport | None = None, files: Transport | None = None) -> None:
        """Ask through `eutils`; without `pages` and `files`, groups and download size stay unknown."""
        self._eutils = eutils
        self._pages = pages
        self._files = files

    def search(self, query: str, limit: int) -> list[Dataset]:
        """At most `limit` series, most relevant first.

        Raises:
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        return self._summaries(search_ids(self._eutils, "gds", f"({query}) AND gse[Entry Type]", limit).uids)

    def summary(self, accession: str) -> Dataset | None:
        """What esummary states about an accession; None when GEO knows no such accession.

        Raises:
            ValueError: the text is not a GEO accession.
            SourceUnavailable: NCBI did not answer or sent something unusable.
        """
        if not _ACCESSION.fullmatch(accession):
            raise ValueError(f"{accession!r} is not a GEO accession")
        uids = search_ids(self._eutils, "gds", f"{accession}[ACCN]", 20).uids
        return next((found for found in self._summaries(uids) if found.accession == accession), None)

    def verify(self, accession: str) -> Dataset | None:
        """The facts of a series, those of its samples and files among them; None when GEO does not know it.

        `verified` holds only when organism and number of samples of the summary are those of the sample
        records, an assay is stated and a series matrix can be downloaded; `verification` says what differs.

        Raises:
            ValueError: the text is not a GEO accession.
            SourceUnavailable: a server did not answer or sent something unusable.
            SomethingMissing: GEOparse is not installed.
        """
        stated = self.summary(accession)
        if stated is None or self._pages is None or self._files is None:
            return stated
        if not accession.startswith("GSE"):
            return stated.model_copy(update={"verification": "only a series (GSE) can be verified"})
        seen = self.samples(accession)
        size = self.matrix_sizes(accession)
        update: dict[str, Any] = {
            "groups": groups(seen),
            "size_mb": round(sum(size.values()) / 1e6, 3) if size else None,
            "files": dict.fromkeys(size, ""),
        }
        wrong = [text for text in _differences(stated, seen, size) if text]
        update["verified"] = not wrong
        update["verification"] = "; ".join(
            [_STATED, f"{len(seen)} samples read from SOFT", f"{len(size)} series matrix files", *wrong]
        )
        return stated.model_copy(update=update)

    def samples(self, accession: str) -> list[Sample]:
        """The samples of a series, from its SOFT text without data tables.

        Raises:
            SourceUnavailable: GEO did not answer or sent something unusable.
            SomethingMissing: GEOparse is not installed.
        """
        if self._pages is None:
            raise ValueError("made without GEO's pages")
        params = {"acc": accession, "targ": "all", "view": "brief", "form": "text"}
        return self._pages.get("acc.cgi", params, soft_samples).value

    def matrix_sizes(self, accession: str) -> dict[str, int]:
        """Path of each series matrix on the file server, with its bytes.

        Raises:
            SourceUnavailable: the file server did not answer.
        """
        if self._files is None:
            raise ValueError("made without GEO's file server")
        folder = f"series/GSE{accession[3:-3]}nnn/{accession}/matrix"
        names = self._files.get(f"{folder}/", {}, lambda body: _MATRIX.findall(body.decode("utf-8", "replace"))).value
        sizes = {f"{folder}/{name}": self._files.size(f"{folder}/{name}") for name in dict.fromkeys(names)}
        return {path: size for path, size in sizes.items() if size is not None}

    def _summaries(self, uids: Sequence[str]) -> list[Dataset]:
        found: list[Dataset] = []
        for batch in batches(uids, BATCH):
            reply = self._eutils.read("esummary", {"db": "gds", "id": ",".join(batch)})
            found += [_dataset(summary) for summary in reply.value]
        return found


def soft_samples(body: bytes) -> list[Sample]:
    """The samples of a SOFT family text, read by GEOparse.

    Raises:
        Damaged: the text holds no sample, or is not SOFT.
        SomethingMissing: GEOparse is not installed.
    """
    try:
        from GEOparse.GEOparse import parse_GSE
    except ImportError as error:
        raise SomethingMissing("GEOparse is not installed; run `pip install 'labwright[geo]'`") from error
    logging.getLogger("GEOparse").setLevel(logging.CRITICAL)
    with tempfile.NamedTemporaryFile(suffix=".soft") as file:  # GEOparse reads files only
        file.write(body)
        file.flush()
        try:
            family = parse_GSE(file.name, {"encoding": "utf-8", "errors": "replace"}).gsms
        except Exception as error:
            raise Damaged(f"not SOFT: {type(error).__name__}") from error
    found = [_sample(name, record.metadata) for name, record in family.items()]
    if not found:
        raise Damaged("no sample in it")
    return found


def _sample(name: str, metadata: Mapping[str, Sequence[str]]) -> Sample:
    pairs: dict[str, str] = {}
    for line in metadata.get("characteristics_ch1", ()):
        key, colon, value = str(line).partition(":")
        if colon:
            pairs.setdefault(key.strip(), value.strip())
    accession = metadata.get("geo_accession") or [name]
    organism = metadata.get("organism_ch1") or metadata.get("organism") or [""]
    return Sample(str(accession[0]), str((metadata.get("title") or [""])[0]), str(organism[0]), pairs)


def groups(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    """Characteristics that part the samples into groups: two or more levels, at least one of them repeated."""
    found: dict[str, dict[str, int]] = {}
    for name in dict.fromkeys(key for sample in samples for key in sample.characteristics):
        counts: dict[str, int] = {}
        for sample in samples:
            if level := sample.characteristics.get(name, ""):
                counts[level] = counts.get(level, 0) + 1
        if 2 <= len(counts) <= MOST_LEVELS and max(counts.values()) > 1:
            found[name] = counts
    return found


def _differences(stated: Dataset, seen: Sequence[Sample], size: Mapping[str, int]) -> Iterator[str]:
    organisms = {sample.organism for sample in seen} - {""}
    if organisms != set(filter(None, re.split(r";\s*", stated.organism))):
        yield f"the samples are of {', '.join(sorted(organisms)) or 'no stated organism'}, not {stated.organism}"
    if len(seen) != stated.n_samples:
        yield f"{len(seen)} sample records, not {stated.n_samples}"
    if not stated.assay:
        yield "no assay is stated"
    if not groups(seen):
        yield "no characteristic parts the samples into groups"
    if not size:
        yield "no series matrix to download"


def _dataset(summary: Mapping[str, Any]) -> Dataset:
    accession = str(summary.get("Accession", ""))
    n_samples = summary.get("n_samples")  # an int of Biopython's own kind, whose str() is not a number
    return Dataset(
        id=accession,
        accession=accession,
        title=str(summary.get("title", "")),
        description=str(summary.get("summary", "")),
        organism=str(summary.get("taxon", "")),
        assay=str(summary.get("gdsType", "")),
        n_samples=int(n_samples) if n_samples else None,
        source={"archive": "GEO", "uid": str(summary.get("Id", ""))},
        verified=False,
        verification=f"not verified yet: {_STATED}",
    )
