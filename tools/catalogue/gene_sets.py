"""Gene sets that enrichment uses: fetched once from a package's archive, checked, kept as GMT text."""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from labwright.config import cache_dir
from labwright.errors import HashMismatch, NoUsableData
from labwright.packages import sha256_of
from labwright.tools.catalogue.fetch import fetch_members, fetching


def load_gene_sets() -> tuple[dict[str, Any], ...]:
    """The descriptions of every collection of gene sets.

    Returns:
        Mappings with id, title, licence, source, sha256 of the written file and the number of sets.
    """
    text = (files("labwright.tools.catalogue") / "gene_sets.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text))


def materialise_gene_sets(collection_id: str) -> Path:
    """The folder that holds `<id>.gmt`, fetched if it is not there.

    Args:
        collection_id: id of the collection, such as `go_bp_2023`.

    Returns:
        Folder to mount at `/in/<id>`.

    Raises:
        HashMismatch: the shipped or the written file is not the pinned one.
        NoUsableData: the collection is not known.
        SourceUnavailable: the package cannot be fetched.
    """
    known = {entry["id"]: entry for entry in load_gene_sets()}
    if collection_id not in known:
        raise NoUsableData(f"{collection_id!r} is no known collection of gene sets; known: {', '.join(known)}")
    entry = known[collection_id]
    cache = cache_dir()
    folder = cache / "gene_sets" / collection_id
    target = folder / f"{collection_id}.gmt"
    if target.is_file() and sha256_of(target) == entry["sha256"]:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with fetching(), tempfile.TemporaryDirectory(dir=folder) as scratch:
        member = fetch_members(entry["source"], Path(scratch), cache / "archives")[0]
        part = Path(scratch) / "clean.gmt"
        part.write_text(clean_gmt(member.read_text(encoding="utf-8")), encoding="utf-8")
        if sha256_of(part) != entry["sha256"]:
            raise HashMismatch(f"{collection_id}: the gene sets are not the pinned ones")
        part.replace(target)
    return folder


def clean_gmt(text: str) -> str:
    """Sort sets and genes and drop empty fields, so that equal content gives equal bytes.

    Args:
        text: GMT lines: name, description, then genes, separated by tabs.

    Returns:
        GMT text, sorted by name.

    Example:
        >>> clean_gmt("b\\t\\tG2\\tG1\\t\\na\\t\\tG3\\n")
        'a\\t\\tG3\\nb\\t\\tG1\\tG2\\n'
    """
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    sets = {row[0]: sorted({gene.strip() for gene in row[2:] if gene.strip()}) for row in rows}
    return "".join("\t".join([name, "", *genes]) + "\n" for name, genes in sorted(sets.items()) if genes)
