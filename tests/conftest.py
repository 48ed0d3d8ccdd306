"""Fixtures of all tests, and the rule that CI skips nothing that it must run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labwright.errors import EngineMissing
from labwright.sandbox.connect import connect_engine
from labwright.sandbox.docker_engine import DockerSandbox

REQUIRED = {
    "docker": "LABWRIGHT_REQUIRE_ENGINE",
    "bubblewrap": "LABWRIGHT_REQUIRE_ENGINE",
    "embedded": "LABWRIGHT_REQUIRE_MODEL",
}
_skipped: list[str] = []


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests see neither the user's configuration nor their keys."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "NCBI_")) or name in ("LABWRIGHT_MODEL",):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture
def test_data() -> Path:
    """The folder of real test data, which is never part of the project."""
    folder = Path(os.environ.get("LABWRIGHT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder} is missing; set LABWRIGHT_TEST_DATA")
        pytest.skip(f"no test data at {folder}; set LABWRIGHT_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def sandbox() -> DockerSandbox:
    """The engine; without one the test is skipped, or fails when it is required."""
    try:
        return connect_engine()
    except EngineMissing as error:
        if os.environ.get("LABWRIGHT_REQUIRE_ENGINE") == "1":
            pytest.fail(f"an engine is required: {error}")
        pytest.skip(str(error))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember the tests that were skipped though CI must run them; with workers, here is where all reports arrive."""
    if report.skipped:
        for marker, variable in REQUIRED.items():
            if marker in report.keywords and os.environ.get(variable) == "1":
                _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skipped test that had to run fails the session."""
    if _skipped:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nskipped though required: {', '.join(_skipped)}")
