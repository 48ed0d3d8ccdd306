"""Stages cached by content: used as they were left, built again when what they stand on changed, refused when edited."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import HashMismatch
from labwright.models.training.results import Progress
from labwright.workflows.stacks.engine import Build, Stage


class Works:
    """A stage that writes one file, and counts how often."""

    def __init__(self, text: str = "made", fails: int = 0) -> None:
        self.text, self.fails, self.begun = text, fails, 0

    def __call__(self, folder: Path, inputs: Mapping[str, Path], report: Any) -> dict[str, Any]:
        self.begun += 1
        folder.mkdir(parents=True, exist_ok=True)
        before = [(path / "out.txt").read_text() for path in inputs.values()]
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / "step").write_text(str(self.begun))
        if self.begun <= self.fails:
            (folder / "half.txt").write_text("half")
            raise KeyboardInterrupt
        report(Progress(note="written"))
        (folder / "out.txt").write_text("+".join([*before, self.text]))
        return {"n": self.begun}


def chain(*works: Works, settings: int = 1, files: tuple[str, ...] = (), resumes: bool = False) -> list[Stage]:
    names = [f"s{i}" for i in range(len(works))]
    return [
        Stage(
            name, {"value": settings if i == 0 else 0}, work, tuple(names[i - 1 : i]), files if i == 0 else (), resumes
        )
        for i, (name, work) in enumerate(zip(names, works, strict=True))
    ]


def run(root: Path, stages: list[Stage]) -> Build:
    said: list[str] = []
    build = Build(root, lambda p: said.append(p.note))
    build.run(stages)
    return build


def test_a_finished_stage_is_used_and_not_built_again(tmp_path: Path) -> None:
    first, second = Works("a"), Works("b")
    build = run(tmp_path, chain(first, second))
    assert (build.folders["s1"] / "out.txt").read_text() == "a+b"
    assert build.reused == []
    again = run(tmp_path, chain(first, second))
    assert again.reused == ["s0", "s1"]
    assert (first.begun, second.begun) == (1, 1)
    assert again.folders == build.folders
    assert build.record("s0")["facts"] == {"n": 1}
    assert "checkpoints/step" not in build.record("s0")["files"]


def test_what_changed_is_built_again_with_all_that_stands_on_it(tmp_path: Path) -> None:
    first, second = Works("a"), Works("b")
    build = run(tmp_path, chain(first, second))
    other = run(tmp_path, chain(first, second, settings=2))
    assert (first.begun, second.begun) == (2, 2)
    assert other.folders["s1"] != build.folders["s1"]
    assert run(tmp_path, chain(first, second)).reused == ["s0", "s1"]  # the first one is there still


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("one")
    work = Works()
    run(tmp_path / "r", chain(work, files=(str(data),)))
    moved = tmp_path / "moved.txt"
    moved.write_text("one")
    assert run(tmp_path / "r", chain(work, files=(str(moved),))).reused == ["s0"]
    data.write_text("two")
    assert run(tmp_path / "r", chain(work, files=(str(data),))).reused == []


@pytest.mark.parametrize("resumes", [False, True])
def test_an_interrupted_stage_goes_on_or_begins_anew(tmp_path: Path, resumes: bool) -> None:
    first, second = Works("a"), Works("b", fails=1)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, chain(first, second, resumes=resumes))
    half = next(tmp_path.glob("s1-*")) / "half.txt"
    assert half.is_file()
    build = run(tmp_path, chain(first, second, resumes=resumes))
    assert build.reused == ["s0"]
    assert half.is_file() is resumes
    assert (build.folders["s1"] / "out.txt").read_text() == "a+b"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "out.txt").write_text("edited"), "is not what the stage left"),
        (lambda f: (f / "out.txt").unlink(), "is not what the stage left"),
        (lambda f: edit(f / "stage.json", facts={"n": 9}), "was changed by hand"),
        (lambda f: edit(f / "stage.json", files={}), "was changed by hand"),
        (lambda f: edit(f / "stage.json", key="0" * 64), "was changed by hand"),
        (lambda f: (f / "stage.json").write_text("{"), "damaged"),
        (lambda f: (f / "stage.json").write_text("[]"), "damaged"),
    ],
)
def test_a_stage_that_was_changed_is_refused_with_the_way_to_mend_it(tmp_path: Path, spoil, message: str) -> None:
    work = Works()
    folder = run(tmp_path, chain(work)).folders["s0"]
    spoil(folder)
    with pytest.raises(HashMismatch, match=f"{message}.*delete {folder}"):
        run(tmp_path, chain(work))
    assert work.begun == 1


def test_a_record_of_another_stage_is_no_record_of_this_one(tmp_path: Path) -> None:
    work = Works()
    one = run(tmp_path, chain(work)).folders["s0"]
    two = run(tmp_path, chain(work, settings=2)).folders["s0"]
    (two / "stage.json").write_bytes((one / "stage.json").read_bytes())
    with pytest.raises(HashMismatch, match="was changed by hand"):
        run(tmp_path, chain(work, settings=2))
