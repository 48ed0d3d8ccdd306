"""The engine that integration tests share; without one they are skipped, or fail when it is required."""

from __future__ import annotations

import os

import pytest

from labwright.errors import EngineMissing
from labwright.sandbox.connect import connect_engine
from labwright.sandbox.docker_engine import DockerSandbox


@pytest.fixture(scope="session")
def sandbox() -> DockerSandbox:
    try:
        return connect_engine()
    except EngineMissing as error:
        if os.environ.get("LABWRIGHT_REQUIRE_ENGINE") == "1":
            pytest.fail(f"an engine is required: {error}")
        pytest.skip(str(error))
