"""A server in this process, over the synthetic run folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from run_folders import done_run, failed_run, store, waiting_run  # noqa: F401  (fixtures)
from web_client import HERE, let_in

from labwright.web.app import make_app
from labwright.web.desk import Desk
from labwright.web.settings import Settings


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def app(runs: Path) -> FastAPI:
    return make_app(Settings(runs=runs, user="ada"))


@pytest.fixture
def desk(app: FastAPI) -> Desk:
    return app.state.desk


@pytest.fixture
def stranger(app: FastAPI) -> TestClient:
    """A browser that was not let in."""
    return TestClient(app, base_url=HERE, follow_redirects=False)


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    """The browser of the owner."""
    return let_in(app)
