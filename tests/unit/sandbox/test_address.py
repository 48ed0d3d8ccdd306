"""Where an engine is looked for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from labwright.errors import EngineMissing
from labwright.sandbox import address


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(address, "DEFAULT_SOCKET", tmp_path / "absent.sock")
    monkeypatch.setattr(address, "PODMAN_SOCKET", tmp_path / "absent-podman.sock")
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


@pytest.fixture
def sockets(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Sockets of every place, bound in a folder whose path is short enough for them."""
    monkeypatch.chdir(nowhere)
    monkeypatch.setattr(address, "DEFAULT_SOCKET", nowhere / "system.sock")
    monkeypatch.setattr(address, "PODMAN_SOCKET", nowhere / "podman-system.sock")
    names = ("system.sock", ".docker/run/docker.sock", "x/docker.sock", "x/podman/podman.sock", "podman-system.sock")
    with ExitStack() as stack:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(socket.socket(socket.AF_UNIX)).bind(name)
        (nowhere / "engine").mkdir()
        (nowhere / "engine/socket").write_text("/private.sock\n")
        yield nowhere


def found(folder: Path, environment: dict[str, str]) -> list[str]:
    return [a.url.removeprefix("unix://").removeprefix(f"{folder}/") for a in address.candidates(environment)]


def test_rootless_and_podman_are_tried_where_they_listen(sockets: Path) -> None:
    assert found(sockets, {"XDG_RUNTIME_DIR": str(sockets / "x")}) == [
        "system.sock", ".docker/run/docker.sock", "x/docker.sock", "/private.sock", "x/podman/podman.sock",
        "podman-system.sock",
    ]  # fmt: skip


def test_without_a_runtime_folder_only_the_systems_are_tried(sockets: Path) -> None:
    expected = ["system.sock", ".docker/run/docker.sock", "/private.sock", "podman-system.sock"]
    assert found(sockets, {}) == expected
    assert found(sockets, {"XDG_RUNTIME_DIR": ""}) == expected
    (sockets / "system.sock").unlink()
    assert found(sockets, {}) == expected[1:]
