"""The literature of a benchmark objective, found and read once for each model and shared by all workflows.

It is kept as one line of a committed file, so that every row of the table rests on the same reports, on whichever
machine it was measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from labwright.config import Config
from labwright.errors import NoLiterature
from labwright.eval.objective_file import ObjectiveFile
from labwright.eval.suites import document
from labwright.eval.suites.rows import Rows
from labwright.store import RunStore, file_name, list_runs
from labwright.workflows.control import Options, start

FILE = Path("docs/benchmarks/raw/objectives-literature.jsonl")
FOLDERS = ("papers", "reports")
Say = Callable[[str], None]


def shared_literature(objective: ObjectiveFile, model: str, config: Config, runs: Path, say: Say) -> tuple[Path, str]:
    """Folder with papers and reports for an objective, and the digest of what it holds.

    Args:
        objective: what is asked.
        model: who reads; part of the name.
        config: how the roles are played when it has to be read now.
        runs: folder of the benchmark's runs.
        say: shows progress.

    Raises:
        LabwrightError: the literature is not there yet and could not be read; that none was found is no error.
    """
    name = f"{objective.id}/{model}"
    folder = runs / "literature" / file_name(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        packed = _packed(name)
        if packed is None:
            packed = _read(objective, name, config, runs, say)
            FILE.parent.mkdir(parents=True, exist_ok=True)
            Rows(FILE).put_once(packed)
        text = json.dumps(packed["files"], sort_keys=True)
        if not (folder / "papers").is_dir():
            _unpack(packed["files"], folder)
    return folder, hashlib.sha256(text.encode()).hexdigest()[:12]


def _packed(name: str) -> dict[str, Any] | None:
    return next((row for row in Rows(FILE).all() if row["name"] == name), None)


def _read(objective: ObjectiveFile, name: str, config: Config, runs: Path, say: Say) -> dict[str, Any]:
    say(f"literature of {name}")
    home = runs / "literature" / f"{file_name(name)}.run"
    failed = ""
    try:
        start(objective.asked, config, home, Options(workflow="literature", say=say))
    except NoLiterature as error:
        failed = str(error)  # nothing was found: the workflows go on without sources, all of them
    record = list_runs(home)[-1]
    folder = RunStore.open(home, record.id).folder
    files = {
        f"{place}/{path.name}": path.read_text(encoding="utf-8")
        for place in FOLDERS
        for path in sorted((folder / place).iterdir())
        if path.is_file()
    }
    return {
        "kind": "literature",
        "name": name,
        "commit": document.commit()[:12],
        "failed": failed,
        "seconds": record.seconds,
        "prompt_tokens_evaluated": record.evaluated_tokens,
        "generated_tokens": record.generated_tokens,
        "files": files,
    }


def _unpack(files: dict[str, str], folder: Path) -> None:
    scratch = folder.with_name(f"{folder.name}.new")
    for name, text in files.items():
        place, _, leaf = name.partition("/")
        target = scratch / file_name(place) / leaf.replace("/", "_")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for place in FOLDERS:
        (scratch / place).mkdir(parents=True, exist_ok=True)
    scratch.rename(folder)
