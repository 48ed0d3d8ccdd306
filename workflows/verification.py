"""Is a data set what it is said to be: the catalogue against its data, a GEO accession against GEO."""

from __future__ import annotations

import re
from typing import Any

from labwright.config import Config
from labwright.errors import NoUsableData
from labwright.lease import compute_lease
from labwright.sandbox.connect import connect
from labwright.tools.catalogue.catalogue import card
from labwright.workflows.data import verified
from labwright.workflows.literature_sources import geo_source

FACTS = ("organism", "assay", "n_samples", "groups", "size_mb")
GEO = re.compile(r"(GSE|GDS|GSM|GPL)[0-9]+")


def verify_accession(name: str, config: Config) -> dict[str, Any]:
    """Confirm existence, organism, assay, number of samples, groups and size of a data set.

    Args:
        name: id or accession.
        config: where conversions run, and how large a download may be.

    Returns:
        {"id", "verified", "detail", "organism", "assay", "n_samples", "groups", "size_mb"}; the last five
        only for a data set that exists.

    Raises:
        NoUsableData: the name is neither in the catalogue nor a GEO accession.
        SourceUnavailable: GEO does not answer.
        SomethingMissing: GEOparse, which reads the samples of a GEO series, is not installed.
    """
    try:
        known = card(name)
    except NoUsableData:
        if not GEO.fullmatch(name):
            raise
        return _from_geo(name, config.literature.max_download_mib)
    sandbox = connect(config.sandbox)
    with compute_lease():
        ok, detail = verified(str(known["id"]), sandbox.run)
    facts = {field: known[field] for field in FACTS}
    return {"id": known["id"], "verified": ok, "detail": detail, **facts}


def _from_geo(accession: str, max_mib: int) -> dict[str, Any]:
    found = geo_source().verify(accession)
    if found is None:
        return {"id": accession, "verified": False, "detail": f"GEO knows no {accession}"}
    said = [found.title, found.organism, found.assay, f"{found.n_samples} samples"]
    said += [f"{name}: {', '.join(f'{k} {n}' for k, n in levels.items())}" for name, levels in found.groups.items()]
    said += [f"{found.size_mb:g} MB to download"] if found.size_mb is not None else []
    fits = (found.size_mb or 0.0) * 1e6 <= max_mib * 2**20
    said += [] if fits else [f"larger than [literature] max_download_mib = {max_mib}"]
    facts = found.model_dump(include=set(FACTS))
    detail = f"{'; '.join(said)} ({found.verification})"
    return {"id": accession, "verified": found.verified and fits, "detail": detail, **facts}
