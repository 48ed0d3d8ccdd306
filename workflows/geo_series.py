"""A GEO series made usable: verified, fetched, converted in the sandbox, and its card kept on this machine."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labwright.config import cache_dir
from labwright.errors import NoUsableData
from labwright.lease import compute_lease
from labwright.packages import sha256_of
from labwright.tools.catalogue import catalogue
from labwright.tools.catalogue.refresh import refreshed
from labwright.tools.download import download
from labwright.tools.geo import FILES_URL
from labwright.tools.geo_card import series_card
from labwright.workflows.data import RunJob, run_conversion
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
    card = _fetched(accession.upper(), max_mib, say)
    say(f"converting {card['id']} in the sandbox")
    with tempfile.TemporaryDirectory(prefix=f"{card['id']}-", dir=_made(cache_dir() / "datasets")) as scratch:
        fresh = _made(Path(scratch) / "converted")
        with compute_lease():
            catalogue.convert_into(card, fresh, lambda s, inputs, out: run_conversion(run_job, s, inputs, out))
        card = refreshed(card, fresh)
        folder = cache_dir() / "datasets" / str(card["id"])
        shutil.rmtree(folder, ignore_errors=True)
        fresh.replace(folder)
    _keep(card)
    return card


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


def _keep(card: dict[str, Any]) -> None:
    path = _made(catalogue.cards_dir()) / f"{card['id']}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
