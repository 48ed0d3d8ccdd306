from __future__ import annotations

from pathlib import Path

import pytest
from tiny_mixtures import NAMES, write_adapter, write_base


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {n: str(write_adapter(tmp_path_factory.mktemp(n), base, seed)) for seed, n in enumerate(NAMES, 1)}
