"""Maintainers' tool: fill the counted fields and hashes of the cards from a fresh conversion.

Run with a sandbox bound to `run_job` after a card or the converter changed; the diff of the cards is then
reviewed like any other.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from labwright.packages import sha256_of
from labwright.tools.catalogue.catalogue import Card, RunJob, convert_into


def refreshed(loaded: Card, folder: Path) -> Card:
    """A card with the fields that only the converted data can tell.

    Args:
        loaded: the card as written.
        folder: its freshly converted files.

    Returns:
        A new card; the hand-written fields are unchanged.
    """
    counted = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    tables = sorted(path for path in folder.iterdir() if path.name != "card.json")
    columns = {name: dict(column) for name, column in loaded["columns"].items()}
    for name, column in columns.items():
        column["missing"] = counted["missing"][name]
        if column["type"] == "categorical":
            column["levels"] = list(counted["groups"][name])
    return {
        **loaded,
        "columns": columns,
        "n_samples": counted["n_samples"],
        "n_features": counted["n_features"],
        "groups": counted["groups"],
        "size_mb": round(sum(path.stat().st_size for path in tables) / 1e6, 2),
        "files": {path.name: sha256_of(path) for path in tables},
    }


def refresh_card(path: Path, scratch: Path, run_job: RunJob) -> Card:
    """Convert one data set and rewrite its card.

    Args:
        path: the YAML file.
        scratch: empty folder for the converted files.
        run_job: runs the conversion in the sandbox.

    Returns:
        The card as written.
    """
    loaded: Card = yaml.safe_load(path.read_text(encoding="utf-8"))
    convert_into(loaded, scratch, run_job)
    fresh = refreshed(loaded, scratch)
    text = yaml.safe_dump(fresh, sort_keys=False, width=110, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    return fresh
