"""Where an engine is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from labwright.errors import EngineMissing
from labwright.sandbox import address


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(address, "DEFAULT_SOCKET", tmp_path / "absent.sock")
    return tmp_path


def test_no_engine_names_the_command(nowhere: Path) -> None:
    with pytest.raises(EngineMissing, match="make engine") as caught:
        address.find_engine({})
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_the_private_engine_is_found_by_its_socket_file(nowhere: Path) -> None:
    (nowhere / "engine").mkdir()
    (nowhere / "engine/socket").write_text("/tmp/x/docker.sock\n")
    assert [found.url for found in address.candidates({})] == ["unix:///tmp/x/docker.sock"]
    with pytest.raises(EngineMissing, match=r"unix:///tmp/x/docker\.sock"):
        address.find_engine({})


def test_docker_host_is_the_only_one_when_set(nowhere: Path) -> None:
    (nowhere / "engine").mkdir()
    (nowhere / "engine/socket").write_text("/tmp/x/docker.sock\n")
    found = list(address.candidates({"DOCKER_HOST": "unix:///given.sock"}))
    assert len(found) == 1
    assert "given.sock" in found[0].url
