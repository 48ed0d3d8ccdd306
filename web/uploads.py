"""Files of a user, for one run: documents become a corpus, tables a data set, pictures go through the gate.

They are read by `labwright corpus add`, `datasets import` and `privacy gate` in processes of their own with limits,
since a damaged or hostile file can take a reader down, or all of the memory. Archives are not taken.
"""

from __future__ import annotations

import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from fastapi import UploadFile
from pydantic import TypeAdapter

from labwright.domain import Picture
from labwright.errors import NoUsableData, WrongUse
from labwright.store import file_name
from labwright.tools.own_card import ENDINGS as TABLES
from labwright.tools.own_card import read_card
from labwright.workflows.added_data import remove
from labwright.workflows.literature_sources import corpora_dir

DOCUMENTS: Final = (".pdf", ".bib", ".ris", ".nxml", ".xml", ".txt", ".md")
PICTURES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
CARDS: Final = (".yaml", ".yml")
ACCEPTED: Final = (*DOCUMENTS, *CARDS, *TABLES, *PICTURES)
MOST_FILES: Final = 20
UPLOADED: Final = "upload-"
"""Begins the names of corpora that were uploaded; what follows cannot be guessed."""
WALL_S: Final = 180.0
MEMORY_BYTES: Final = 4 * 2**30
CPU_S: Final = 150
OUT_BYTES: Final = 512 * 2**20
DETECTORS_BYTES: Final = 12 * 2**30
"""Of address space, for the libraries that look for faces."""
MAGIC: Final = {".pdf": b"%PDF-", ".csv.gz": b"\x1f\x8b", ".tsv.gz": b"\x1f\x8b"}
FILES: Final = "files"
"""Folder in the corpus that keeps the documents as they came: their pictures are read when the run asks for them."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of the files."""

    corpus: str
    """Name of the corpus of the documents; empty where there were none."""
    datasets: tuple[str, ...]
    """Ids of the data sets that only runs which name them use."""
    pictures: tuple[tuple[Picture, bytes], ...]


def keep_uploads(files: Sequence[UploadFile], most_bytes: int, config: Path | None = None) -> Kept:
    """Let the pictures through the gate, import the tables of each data card, read the documents into a new corpus.

    A text file that is named like a picture is its legend.

    Args:
        files: as the form brought them; their names are made safe, and decide the format.
        most_bytes: of all together.
        config: labwright.toml that says what is done with faces, and where the sandbox is.

    Raises:
        WrongUse: too many or too large, a type that is not taken, one that is not what its name says, or one that
            cannot be read or is refused. Nothing is kept then.
    """
    if len(files) > MOST_FILES:
        raise WrongUse(f"{len(files)} files; at most {MOST_FILES} are taken at a time")
    token = secrets.token_hex(5)
    name = f"{UPLOADED}{token}"
    with tempfile.TemporaryDirectory(prefix="labwright-upload-") as scratch:
        paths = [_written(file, number, Path(scratch)) for number, file in enumerate(files)]
        if sum(path.stat().st_size for path in paths) > most_bytes:
            raise WrongUse(f"the files have more than {most_bytes // 2**20} MiB together")
        given = _sorted(paths)
        seen = _gated(given.pictures, given.legends, config, Path(scratch)) if given.pictures else ()
        imported: list[str] = []
        try:
            for card in given.cards:
                imported.append(_imported(card, given.tables, token, config, Path(scratch)))
            if given.documents:
                _kept(name, given.documents)
        except BaseException:
            for dataset in imported:
                with suppress(NoUsableData):
                    remove(dataset)
            raise
    return Kept(name if given.documents else "", tuple(imported), seen)


@dataclass(frozen=True, slots=True)
class _Given:
    """Files by what they are."""

    pictures: list[Path]
    legends: list[Path]
    cards: list[Path]
    tables: list[Path]
    documents: list[Path]


def _sorted(paths: Sequence[Path]) -> _Given:
    """Tell files apart by their names.

    Raises:
        WrongUse: tables come without a data card.
    """
    pictures = [path for path in paths if path.name.endswith(PICTURES)]
    legends = [path for path in paths if path.suffix == ".txt" and _stem(path) in map(_stem, pictures)]
    cards = [path for path in paths if path.name.endswith(CARDS)]
    tables = [path for path in paths if path.name.endswith(TABLES)]
    if tables and not cards:
        raise WrongUse(f"{_plain_name(tables[0])!r} comes without a data card, which says what its columns are")
    documents = [path for path in paths if path not in (*pictures, *legends, *cards, *tables)]
    return _Given(pictures, legends, cards, tables, documents)


def _imported(card: Path, tables: Sequence[Path], token: str, config: Path | None, scratch: Path) -> str:
    """Import the tables of a card under a name that nobody can guess; returns it."""
    try:
        name = f"{read_card(card).id[:28]}-{token}{card.name[:2]}"
    except WrongUse as error:
        raise WrongUse(str(error).replace(str(card), _plain_name(card))) from error
    beside = scratch / name
    beside.mkdir()
    copies = {beside / _plain_name(path): _plain_name(path) for path in (card, *tables)}
    for path, copy in zip((card, *tables), copies, strict=True):
        shutil.copyfile(path, copy)
    chosen = ["--config", str(config)] if config is not None else []
    asked = ["datasets", "import", str(next(iter(copies))), "--name", name, "--named-only", "--json", *chosen]
    _run(asked, copies, MEMORY_BYTES)
    return name


def _stem(path: Path) -> str:
    return _plain_name(path).rsplit(".", 1)[0]


def _plain_name(path: Path) -> str:
    """The name without the number that keeps two of one name apart."""
    return path.name.split("-", 1)[1]


def _kept(name: str, documents: Sequence[Path]) -> None:
    """Add the documents to a corpus that keeps them, or leave none of it behind."""
    corpus = corpora_dir() / name
    (corpus / FILES).mkdir(parents=True)
    try:
        _add(name, [shutil.copyfile(path, corpus / FILES / path.name) for path in documents])
    except BaseException:
        shutil.rmtree(corpus, ignore_errors=True)
        raise


def _gated(
    pictures: Sequence[Path], legends: Sequence[Path], config: Path | None, scratch: Path
) -> tuple[tuple[Picture, bytes], ...]:
    """What may be seen of the pictures, with their legends."""
    told = {_stem(path): path for path in legends}
    for path in pictures:
        if (legend := told.get(_stem(path))) is not None:
            shutil.copyfile(legend, path.with_suffix(".txt"))
        else:
            path.with_suffix(".txt").write_text(_stem(path).replace("_", " "), encoding="utf-8")
    chosen = ["--config", str(config)] if config is not None else []
    asked = ["privacy", "gate", *map(str, pictures), "--out", str(scratch / "seen"), "--json", *chosen]
    said = _run(asked, {path: _plain_name(path) for path in pictures}, DETECTORS_BYTES)
    found = TypeAdapter(list[Picture]).validate_json(said)
    return tuple(
        (picture.model_copy(update={"name": _plain_name(path)}), (scratch / "seen" / f"{picture.id}.png").read_bytes())
        for picture, path in zip(found, pictures, strict=True)
    )


def _written(file: UploadFile, number: int, folder: Path) -> Path:
    given = Path(file.filename or "").name
    ending = next((e for e in ACCEPTED if given.lower().endswith(e)), "")
    if not ending:
        raise WrongUse(f"{given[:60]!r}: files of {', '.join(ACCEPTED)} are taken")
    path = folder / f"{number:02d}-{file_name(given[: -len(ending)])}{ending}"
    with path.open("wb") as out:
        shutil.copyfileobj(file.file, out)
    with path.open("rb") as stream:
        _is_what_it_says(stream, ending, given)
    return path


def _is_what_it_says(stream: IO[bytes], ending: str, given: str) -> None:
    head = stream.read(2048)
    if not head.strip():
        raise WrongUse(f"{given[:60]!r} is empty")
    magic = MAGIC.get(ending)
    if magic is not None and magic not in head[:1024]:
        raise WrongUse(f"{given[:60]!r} is no {ending[1:].upper()} file")
    if magic is None and ending not in PICTURES and b"\x00" in head:
        raise WrongUse(f"{given[:60]!r} is no text file")


def _add(name: str, paths: Sequence[Path]) -> None:
    _run(["corpus", "add", name, *map(str, paths)], {path: _plain_name(path) for path in paths}, MEMORY_BYTES)


def _run(arguments: Sequence[str], shown: Mapping[Path, str], memory_bytes: int) -> str:
    """Run a command of labwright on files, with limits; what it prints.

    Args:
        arguments: of the command line.
        shown: file to what a message calls it.
        memory_bytes: of address space.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "labwright.cli", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WALL_S,
            check=False,
            preexec_fn=lambda: _limits(memory_bytes),
        )
    except subprocess.TimeoutExpired as error:
        raise WrongUse(f"the files could not be read within {WALL_S:g} s") from error
    if done.returncode != 0:
        told = [line for line in done.stderr.splitlines() if line.startswith("labwright: ")]
        why = told[-1].removeprefix("labwright: ") if told else "their reader took too much memory or time"
        raise WrongUse(f"the files cannot be read: {_unplaced(why, shown)}")
    return done.stdout


def _unplaced(text: str, shown: Mapping[Path, str]) -> str:
    for path, name in shown.items():
        text = text.replace(str(path), name)
    return text


def _limits(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUT_BYTES, OUT_BYTES))
