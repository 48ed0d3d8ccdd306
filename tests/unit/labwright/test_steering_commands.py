"""`labwright models steer`: vectors from anchors, the choice of alpha, and one question, over random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_vision
from typer.testing import CliRunner
from unit.safety.steering.test_steered_chat import items_file

from labwright.cli import app
from labwright.errors import HashMismatch, WrongUse


@pytest.fixture(scope="module")
def seeing(tmp_path_factory) -> Path:
    return tiny_vision.save(tmp_path_factory.mktemp("vision") / "seeing")


def steer(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["models", "steer", *map(str, arguments)])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_vectors_are_extracted_evaluated_and_used(tmp_path: Path, seeing: Path) -> None:
    anchors, items = items_file(tmp_path / "anchors", 4), items_file(tmp_path / "items", 10)
    vectors = tmp_path / "shift"
    made = json.loads(steer("extract", seeing, "--anchors", anchors, "--out", vectors, "--json"))
    assert made["anchors"] == 4
    assert set(made["lengths"]) == {"0", "1", "2"}
    with pytest.raises(WrongUse, match="has shift vectors already"):
        steer("extract", seeing, "--anchors", anchors, "--out", vectors)
    with pytest.raises(WrongUse, match="no setting was chosen"):
        steer("use", seeing, "--vectors", vectors, "-m", "What?")
    arguments = ("evaluate", seeing, "--vectors", vectors, "--items", items, "--alphas", "1", "--layers", "all,last",
                 "--reply-tokens", 4)  # fmt: skip
    report = json.loads(steer(*arguments, "--json"))
    assert set(report["choices"]) == {"dataset", "sample"}
    for choice in report["choices"].values():
        assert choice["seen"][0]["alpha"] == 0
        assert {(s["layers"], s["alpha"]) for s in choice["seen"][1:]} <= {("all", 1.0), ("last", 1.0)}
    assert report["meaningless"] == "noise"
    first = report["rows"][0]
    assert (first["condition"], first["level"], first["unsafe"][1], first["benign"][1]) == ("image", "none", 4, 4)
    assert 0 <= first["unsafe_interval"][0] <= first["unsafe_interval"][1] <= 1
    assert "condition" in steer(*arguments, "--levels", "dataset")
    assert steer("use", seeing, "--vectors", vectors, "--image", tmp_path / "items" / "0.png", "-m", "What?").strip()


def test_what_is_refused(tmp_path: Path, seeing: Path) -> None:
    anchors = items_file(tmp_path / "anchors", 4)
    with pytest.raises(WrongUse, match="'blurred': one of blank"):
        steer("extract", seeing, "--anchors", anchors, "--out", tmp_path / "s", "--corruption", "blurred")
    steer("extract", seeing, "--anchors", anchors, "--out", tmp_path / "s")
    with pytest.raises(WrongUse, match="numbers between commas"):
        steer("evaluate", seeing, "--vectors", tmp_path / "s", "--items", anchors, "--alphas", "a,b")
    for option, known in (
        ("--layers", "all, upper_half, last"),
        ("--positions", "last_prompt, last_and_generated, all"),
    ):
        with pytest.raises(WrongUse, match=f"{option} everywhere: any of {known}"):
            steer("evaluate", seeing, "--vectors", tmp_path / "s", "--items", anchors, option, "everywhere")
    other = tiny_vision.save(tmp_path / "other", seed=1)
    with pytest.raises(HashMismatch):
        steer("use", other, "--vectors", tmp_path / "s", "-m", "What?", "--alpha", 1)
