"""A GEO series made usable: verified, fetched, converted in the sandbox, and its card kept on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from labwright.config import cache_dir
from labwright.errors import NoUsableData
from labwright.packages import sha256_of
from labwright.tools.catalogue import catalogue
from labwright.tools.catalogue.fetch import fetching
from labwright.tools.download import download
from labwright.tools.geo import FILES_URL
from labwright.tools.geo_card import series_card
from labwright.workflows.added_data import converted
from labwright.workflows.data import RunJob
from labwright.workflows.literature_sources import geo_source


def add_series(
    accession: str, run_job: RunJob, max_mib: int, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Add a series to the data sets of this machine.

    Args:
        accession: of a series on one platform whose series matrix holds values.
        run_job: runs the conversion in the sandbox.
        max_mib: largest download, MiB.
        say: shows progress.

    Returns:
        The card.

    Raises:
        NoUsableData: it is in the catalogue already, not verified, or of a form that cannot be loaded.
        DownloadTooLarge, SourceUnavailable, RunFailed, SomethingMissing: as named.
    """
    known = next((c for c in catalogue.load_cards() if accession.upper() == c["accession"]), None)
    if known is not None:
        raise NoUsableData(f"{accession} is in the catalogue already, as {known['id']}")
    with fetching():
        return converted(_fetched(accession.upper(), max_mib, say), run_job, say)


def _fetched(accession: str, max_mib: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The card of a series whose file is here now."""
    geo = geo_source()
    found = geo.verify(accession) if accession.startswith("GSE") else None
    if found is None or not found.verified:
        why = found.verification if found else "GEO knows no such series"
        raise NoUsableData(f"{accession} cannot be used: {why}")
    if len(found.files) != 1:
        raise NoUsableData(
            f"{accession} has {len(found.files)} series matrices; only series on one platform can be loaded"
        )
    [path] = found.files
    name = path.rsplit("/", 1)[-1]
    url = f"{os.environ.get('LABWRIGHT_GEO_FILES_URL', FILES_URL)}/{path}"
    say(f"fetching {name}, {found.size_mb:g} MB")
    target = download(url, cache_dir() / "raw" / accession.lower() / name, max_mib=max_mib)
    members = [{"name": name, "sha256": sha256_of(target)}]
    return series_card(found, geo.samples(accession), {"url": url, "max_mib": max_mib, "members": members})
