"""The rule of tests/conftest.py: what CI must run fails the session when it is skipped, with workers and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SKIPPED = """\
import pytest

@pytest.mark.docker
def test_engine():
    pytest.skip("no engine")

def test_other():
    pass
"""


def ended(folder: Path, workers: str, required: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "test_it.py").write_text(SKIPPED)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    docker: needs an engine\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", workers, "test_it.py"]
    env = {**os.environ, "LABWRIGHT_REQUIRE_ENGINE": required}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_skipped_test_that_had_to_run_fails_the_session(tmp_path, workers):
    done = ended(tmp_path, workers, "1")
    assert done.returncode == 1, done.stdout
    assert "skipped though required: test_it.py::test_engine" in done.stdout
    done = ended(tmp_path, workers, "0")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout
