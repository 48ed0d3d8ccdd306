"""What a container engine says about itself: its kind, its versions, what it can run and how it is confined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from docker.errors import DockerException
from requests.exceptions import RequestException

from labwright.errors import EngineMissing, SandboxBroken
from labwright.sandbox.address import EngineAddress

LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What is known of an engine, asked once."""

    id: str
    """The engine's own id."""
    kind: str
    """"docker" or "podman", with " rootless" behind it when it runs without root."""
    version: str
    """Version of the engine."""
    api_version: str
    """API version that both sides speak."""
    cores: int
    """Cores of its machine."""
    memory_mib: int
    """Memory of its machine, MiB."""
    runtime: str
    """OCI runtime in use."""
    runtimes: tuple[str, ...]
    """Names of the OCI runtimes that it has, sorted."""
    default_runtime: str
    """OCI runtime it takes when none is asked for."""
    storage_driver: str
    """What keeps its images."""
    cgroup_driver: str
    """What makes its control groups."""
    cgroup_version: str
    """Version of the control groups, "1" or "2"."""
    security: tuple[str, ...]
    """Names of the confinements it has, such as seccomp, rootless, userns."""


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn every failure of the engine or of the link to it into SandboxBroken, on one line."""
    try:
        yield
    except (DockerException, RequestException) as error:
        said = " ".join(str(error).split())
        # An engine may answer with all that it was sent, such as the system call filter.
        short = said if len(said) <= LONGEST else f"{said[: LONGEST // 2]} ... {said[-LONGEST // 2 :]}"
        raise SandboxBroken(f"{doing}: {short}") from error


def engine_info(address: EngineAddress, runtime: str | None) -> EngineInfo:
    """Ask the engine about itself.

    Args:
        address: where the engine is.
        runtime: OCI runtime by its name in the engine, None for the engine's default.

    Raises:
        EngineMissing: it has no runtime of that name.
        SandboxBroken: it does not answer.
    """
    with engine_errors("asking the engine"), closing(address.api("auto")) as api:
        info, version, spoken = api.info(), api.version(), str(api.api_version)
    return described(info, version, api_version=spoken, runtime=runtime)


def described(
    info: Mapping[str, Any], version: Mapping[str, Any], *, api_version: str, runtime: str | None
) -> EngineInfo:
    """The engine by its answers to `/info` and `/version`.

    Raises:
        EngineMissing: it has no runtime of that name.
    """
    security = _security(info)
    podman = any("podman" in str(part.get("Name", "")).lower() for part in version.get("Components") or ())
    kind = "podman" if podman else "docker"
    default = str(info.get("DefaultRuntime") or "runc")
    runtimes = tuple(sorted(info.get("Runtimes") or (default,)))
    if runtime and runtime not in runtimes:
        has = ", ".join(runtimes)
        raise EngineMissing(f"the container engine has no runtime {runtime!r}; it has {has}: set [sandbox] runtime")
    return EngineInfo(
        # Podman makes up a new id for every answer; its host and its storage tell it from another one.
        id=f"{info.get('Name', '')}:{info.get('DockerRootDir', '')}" if podman else str(info.get("ID", "")),
        kind=f"{kind} rootless" if "rootless" in security else kind,
        version=str(info.get("ServerVersion", "")),
        api_version=api_version,
        cores=int(info.get("NCPU", 1)),
        memory_mib=int(info.get("MemTotal", 0)) >> 20,
        runtime=runtime or default,
        runtimes=runtimes,
        default_runtime=default,
        storage_driver=str(info.get("Driver", "")),
        cgroup_driver=str(info.get("CgroupDriver", "")),
        cgroup_version=str(info.get("CgroupVersion") or "1"),
        security=security,
    )


def _security(info: Mapping[str, Any]) -> tuple[str, ...]:
    """`name=seccomp,profile=default` is seccomp."""
    named = [str(option).split(",")[0].removeprefix("name=") for option in info.get("SecurityOptions") or ()]
    return tuple(sorted(set(named) | ({"rootless"} if info.get("Rootless") else set())))
