"""Data sets that are added on this machine: converted in the sandbox, counted, and their cards kept."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labwright.config import cache_dir
from labwright.errors import NoUsableData, WrongUse
from labwright.lease import compute_lease
from labwright.packages import sha256_of
from labwright.tools.catalogue import catalogue
from labwright.tools.catalogue.fetch import fetching
from labwright.tools.catalogue.refresh import refreshed
from labwright.tools.own_card import read_card
from labwright.workflows.data import RunJob, run_conversion

NAME = r"[a-z0-9][a-z0-9_-]{1,59}"
MOST_MIB = 512
"""Of all tables together."""
Say = Callable[[str], None]


def silent(text: str) -> None:
    """Says nothing."""


def converted(card: dict[str, Any], run_job: RunJob, say: Say = silent) -> dict[str, Any]:
    """Convert a data set whose files are here, and keep its card: from now on runs find it. The caller is `fetching()`.

    Args:
        card: without counts and hashes.
        run_job: runs the conversion in the sandbox.
        say: shows progress.

    Returns:
        The card with what was counted.

    Raises:
        RunFailed, HashMismatch: as named.
    """
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


def _keep(card: dict[str, Any]) -> None:
    path = _made(catalogue.cards_dir()) / f"{card['id']}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def import_tables(
    path: Path, run_job: RunJob, say: Say = silent, *, name: str = "", named_only: bool = False
) -> dict[str, Any]:
    """Add tables of the user to the data sets of this machine.

    Args:
        path: data card, with the tables beside it.
        run_job: runs the conversion in the sandbox.
        say: shows progress.
        name: id in the catalogue; the card's own where it is empty. One that was imported before is replaced.
        named_only: only runs that name it may use it.

    Returns:
        The card.

    Raises:
        WrongUse: card or tables are missing, too large or not of the form, or the id is taken.
        RunFailed: the tables are not what the card says.
    """
    own = read_card(path)
    name = name or own.id
    if not re.fullmatch(NAME, name):
        raise WrongUse(f"--name {name[:60]!r}: lower-case letters, digits, _ and -, at most 60")
    _free(name)
    tables = [path.parent / file for file in own.files]
    for table in tables:
        if not table.is_file():
            raise WrongUse(f"{table}: no such file; {path.name} names it, and it belongs beside the card")
    if sum(table.stat().st_size for table in tables) > MOST_MIB * 2**20:
        raise WrongUse(f"{path}: its tables have more than {MOST_MIB} MiB together; pick samples or features")
    with fetching(), _replaced(cache_dir() / "raw" / name) as raw:
        for table in tables:
            shutil.copyfile(table, raw / table.name)
        members = [{"name": table.name, "sha256": sha256_of(raw / table.name)} for table in tables]
        return converted(own.as_card(name, members, named_only=named_only), run_job, say)


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """An empty folder in the place of another, which comes back when the work on the new one fails."""
    before = folder.with_name(f".{folder.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    if folder.is_dir():
        folder.replace(before)
    try:
        yield _made(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if before.is_dir():
            before.replace(folder)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _free(name: str) -> None:
    taken = next((c for c in catalogue.all_cards() if c["id"] == name), None)
    if taken is not None and not taken["source"].get("own"):
        raise WrongUse(f"{name} is a data set of labwright already; give the card another id")


def remove(name: str) -> None:
    """Take a data set off this machine: card, converted form and tables.

    Raises:
        NoUsableData: it is one of the catalogue, or is not known.
    """
    card = catalogue.card(name)
    if card["id"] in {c["id"] for c in catalogue.load_cards()}:
        raise NoUsableData(f"{card['id']} is part of labwright; only what was added can be removed")
    with fetching():
        (catalogue.cards_dir() / f"{card['id']}.json").unlink(missing_ok=True)
        for folder in ("datasets", "raw"):
            shutil.rmtree(cache_dir() / folder / str(card["id"]), ignore_errors=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
