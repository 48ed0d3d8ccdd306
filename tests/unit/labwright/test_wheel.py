"""The wheel holds every file of the packages that is not a cache: nothing is read from a checkout only."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("labwright", "agents", "workflows", "tools", "safety", "eval", "sandbox", "models", "web")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built from what git tracks."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(copy)], input=tracked, check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    [wheel] = out.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_every_tracked_file_of_the_packages_is_in_the_wheel(names):
    tracked = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "HEAD", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    tracked = [path for path in tracked if path != "sandbox/requirements.in"]  # the pinned list is made from it
    wanted = {p if p.startswith("labwright/") else f"labwright/{p}" for p in tracked if p}
    assert len(wanted) > 150
    assert sorted(wanted - names) == []


def test_nothing_else_comes_along(names):
    assert {name.split("/")[0].split("-")[0] for name in names} == {"labwright"}
