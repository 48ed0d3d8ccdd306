"""Stages of a build, cached by content.

What a stage is made of decides its folder, and a folder is used again only as it was left.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labwright.errors import HashMismatch
from labwright.models.checkpoints import STAGE
from labwright.models.training.files import write_json
from labwright.models.training.results import Progress, silent
from labwright.models.weights import fingerprint

FORMAT = 1
"""Raised when a stage comes to mean something else, so that nothing older is taken for it."""
Report = Callable[[Progress], None]
Work = Callable[[Path, Mapping[str, Path], Report], Mapping[str, Any]]
"""From the stage's folder, the folders of its inputs and a reporter to facts for its record."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a build."""

    name: str
    settings: Mapping[str, Any]
    """JSON values that decide what it makes."""
    work: Work
    inputs: tuple[str, ...] = ()
    """Names of earlier stages."""
    files: tuple[str, ...] = ()
    """Files of the user that it reads."""
    resumes: bool = False
    """Its work goes on with what an interrupt left; other stages begin anew."""


@dataclass
class Build:
    """A build under way: which stages are done, and where."""

    root: Path
    report: Report = silent
    keys: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)

    def run(self, stages: Sequence[Stage]) -> None:
        """Run the stages in their order; one that was finished is checked and used.

        Raises:
            HashMismatch: a finished stage was changed since.
            LabwrightError: as a stage's work raises; what was finished stays.
        """
        for stage in stages:
            self._one(stage)

    def record(self, name: str) -> dict[str, Any]:
        """What a finished stage left on record."""
        held: dict[str, Any] = json.loads((self.folders[name] / STAGE).read_text(encoding="utf-8"))
        return held

    def _one(self, stage: Stage) -> None:
        key = self._key(stage)
        folder = self.root / f"{stage.name}-{key[:12]}"
        self.keys[stage.name], self.folders[stage.name] = key, folder
        if (folder / STAGE).is_file():
            check(folder, key)
            self.reused.append(stage.name)
            self.report(Progress(note=f"{stage.name}: done before"))
            return
        if folder.is_dir() and not stage.resumes:
            shutil.rmtree(folder)
        self.report(Progress(note=f"{stage.name}: begun"))
        started = time.monotonic()
        inputs = {name: self.folders[name] for name in stage.inputs}
        facts = stage.work(folder, inputs, self._named(stage.name))
        folder.mkdir(parents=True, exist_ok=True)
        files = {p.relative_to(folder).as_posix(): fingerprint(p) for p in _files(folder)}
        record = {
            "format": FORMAT,
            "name": stage.name,
            "key": key,
            "inputs": {name: self.keys[name] for name in stage.inputs},
            "settings": dict(stage.settings),
            "facts": dict(facts),
            "files": files,
            "seconds": round(time.monotonic() - started, 1),
        }
        write_json(folder / STAGE, {**record, "digest": digest(record)})

    def _named(self, name: str) -> Report:
        from dataclasses import replace

        return lambda p: self.report(replace(p, note=f"{name}: {p.note}") if p.note else p)

    def _key(self, stage: Stage) -> str:
        held = {
            "format": FORMAT,
            "name": stage.name,
            "settings": stage.settings,
            "inputs": {name: self.keys[name] for name in stage.inputs},
            "files": [fingerprint(Path(f)) for f in stage.files],
        }
        return digest(held)


def content_of(model: str) -> str:
    """The sha256 of a model by its content: of a known name the pinned one, of a folder or file what is in it now.

    Args:
        model: a name of `labwright models list`, a checkpoint or adapter folder, or a GGUF file.
    """
    from labwright.models import checkpoints
    from labwright.models.weights import manifest

    known = manifest()
    return known[model].files[0].sha256 if model in known else checkpoints.fingerprint(Path(model))


def digest(value: Any) -> str:
    """The sha256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def check(folder: Path, key: str) -> None:
    """Refuse a finished stage that is not as it was left.

    Raises:
        HashMismatch: its record or one of its files was changed, or it is another stage's.
    """
    again = f"delete {folder} to build it again"
    try:
        record = json.loads((folder / STAGE).read_text(encoding="utf-8"))
        said, of, files = record.pop("digest"), record["key"], dict(record["files"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HashMismatch(f"{folder / STAGE}: damaged; {again}") from error
    if digest(record) != said or of != key:
        raise HashMismatch(f"{folder / STAGE}: was changed by hand; {again}")
    for name, sha256 in files.items():
        path = folder / name
        if not path.is_file() or fingerprint(path) != sha256:
            raise HashMismatch(f"{path}: is not what the stage left; {again}")


def _files(folder: Path) -> list[Path]:
    """Files that a stage leaves, without what a training keeps for itself."""
    return sorted(
        p for p in folder.rglob("*") if p.is_file() and "checkpoints" not in p.parts and not p.name.endswith(".lock")
        and p.name != STAGE
    )  # fmt: skip
