"""Is a data set what it is said to be: the catalogue against its data, a GEO accession against GEO."""

from __future__ import annotations

import re
from typing import Any

from labwright.config import SandboxConfig
from labwright.errors import NoUsableData
from labwright.lease import compute_lease
from labwright.sandbox.connect import connect
from labwright.tools.catalogue.catalogue import card
from labwright.workflows.data import verified
from labwright.workflows.literature_sources import geo_source

GEO = re.compile(r"(GSE|GDS|GSM|GPL)[0-9]+")


def verify_accession(name: str, chosen: SandboxConfig) -> dict[str, Any]:
    """Confirm organism, assay, samples and groups of a data set.

    Args:
        name: id or accession.
        chosen: `[sandbox]` of the configuration.

    Returns:
        {"id", "verified", "detail"}.

    Raises:
        NoUsableData: the name is neither in the catalogue nor a GEO accession.
        SourceUnavailable: GEO does not answer.
    """
    try:
        known = card(name)
    except NoUsableData:
        if not GEO.fullmatch(name):
            raise
        return _from_geo(name)
    sandbox = connect(chosen)
    with compute_lease():
        ok, detail = verified(str(known["id"]), sandbox.run)
    return {"id": known["id"], "verified": ok, "detail": detail}


def _from_geo(accession: str) -> dict[str, Any]:
    found = geo_source().verify(accession)
    if found is None:
        return {"id": accession, "verified": False, "detail": f"GEO knows no {accession}"}
    detail = f"{found.title}; {found.organism}; {found.assay}; {found.n_samples} samples ({found.verification})"
    return {"id": accession, "verified": found.verified, "detail": detail}
