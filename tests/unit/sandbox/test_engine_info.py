"""The kind of an engine and what it offers, by answers as engines give them."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import APIError

from labwright.errors import EngineMissing, SandboxBroken
from labwright.sandbox.engine_info import LONGEST, EngineInfo, described, engine_errors

# The fields of `GET /info` and `GET /version` of Docker 20.10, and of Podman 4's compatible service
# (containers/podman, pkg/api/handlers/compat/info.go and version.go).
DOCKER: dict[str, Any] = {
    "ID": "AAAA:BBBB", "Name": "host", "DockerRootDir": "/var/lib/docker", "ServerVersion": "20.10.24",
    "NCPU": 2, "MemTotal": 8 << 30, "DefaultRuntime": "runc", "Driver": "overlay2", "CgroupDriver": "systemd",
    "CgroupVersion": "2", "Runtimes": {"runc": {}, "io.containerd.runc.v2": {}},
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"],
}  # fmt: skip
DOCKER_VERSION = {"Components": [{"Name": "Engine"}, {"Name": "containerd"}, {"Name": "runc"}]}
PODMAN = DOCKER | {
    "ID": "a-new-one",
    "DefaultRuntime": "crun",
    "Runtimes": {"crun": {}, "runsc": {}},
    "Rootless": False,
}
PODMAN_VERSION = {"Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}, {"Name": "OCI Runtime (crun)"}]}
ROOTLESS = {"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]}


def told(info: dict[str, Any], version: dict[str, Any], runtime: str | None = None) -> EngineInfo:
    return described(info, version, api_version="1.41", runtime=runtime)


@pytest.mark.parametrize(
    ("info", "version", "kind"),
    [
        (DOCKER, DOCKER_VERSION, "docker"),
        (DOCKER | ROOTLESS, DOCKER_VERSION, "docker rootless"),
        (PODMAN, PODMAN_VERSION, "podman"),
        (PODMAN | {"Rootless": True}, PODMAN_VERSION, "podman rootless"),
        (PODMAN | ROOTLESS, PODMAN_VERSION, "podman rootless"),
        (DOCKER, {}, "docker"),
    ],
)
def test_the_kind_is_named(info: dict[str, Any], version: dict[str, Any], kind: str) -> None:
    assert told(info, version).kind == kind


def test_what_it_offers_is_read() -> None:
    engine = told(DOCKER, DOCKER_VERSION)
    assert (engine.id, engine.version, engine.cores, engine.memory_mib) == ("AAAA:BBBB", "20.10.24", 2, 8192)
    assert (engine.storage_driver, engine.cgroup_driver, engine.cgroup_version) == ("overlay2", "systemd", "2")
    assert engine.security == ("apparmor", "seccomp")
    assert (engine.runtime, engine.default_runtime) == ("runc", "runc")
    assert "userns" in told(DOCKER | {"SecurityOptions": ["name=userns"]}, {}).security


def test_podmans_id_is_the_same_in_every_answer() -> None:
    answers = [told(PODMAN | {"ID": number}, PODMAN_VERSION).id for number in ("1", "2")]
    assert answers[0] == answers[1]
    assert told(PODMAN | {"DockerRootDir": "/elsewhere"}, PODMAN_VERSION).id != answers[0]


def test_the_runtime_that_is_asked_for_is_taken_and_another_is_refused_on_one_line() -> None:
    engine = told(PODMAN, PODMAN_VERSION, "runsc")
    assert (engine.runtime, engine.default_runtime, engine.runtimes) == ("runsc", "crun", ("crun", "runsc"))
    with pytest.raises(EngineMissing, match=r"no runtime 'runsc'; it has io\.containerd\.runc\.v2, runc") as caught:
        told(DOCKER, DOCKER_VERSION, "runsc")
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_an_engine_that_tells_nothing_is_taken_for_the_oldest() -> None:
    engine = told({}, {})
    assert (engine.kind, engine.runtime, engine.runtimes) == ("docker", "runc", ("runc",))
    assert (engine.cores, engine.cgroup_version, engine.security) == (1, "1", ())


def test_what_an_engine_says_at_length_is_one_short_line() -> None:
    with pytest.raises(SandboxBroken) as caught, engine_errors("running the job"):
        raise APIError("cannot open\n" + "{filter} " * 900 + "name too long")
    said = str(caught.value)
    assert len(said) < LONGEST + 50
    assert "\n" not in said
    assert said.startswith("running the job: cannot open")
    assert said.endswith("name too long")
