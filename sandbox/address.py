"""Where the container engine is.

`DOCKER_HOST` decides when it is set. Else the engine at the default socket, else Docker Desktop's, else a rootless
Docker's, else the private one that `make engine` started, whose socket is named in `<cache>/engine/socket`, else
Podman's, the user's own before the system's. Each of them is used only when it passes the probe.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from docker import APIClient, DockerClient
from docker.errors import DockerException
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from labwright.config import cache_dir
from labwright.errors import EngineMissing

API_LIMIT_S = 120
PING_LIMIT_S = 5
OLDEST_API = (1, 41)
DEFAULT_SOCKET = Path("/var/run/docker.sock")
PODMAN_SOCKET = Path("/run/podman/podman.sock")


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Address of an engine and what it takes to talk to it."""

    url: str
    """What DOCKER_HOST would hold."""
    tls: TLSConfig | None = None
    """Certificates, for an engine behind TLS."""

    def api(self, version: str = "auto", timeout_s: int = API_LIMIT_S) -> APIClient:
        """A low-level client; the caller closes it."""
        made = APIClient(base_url=self.url, version=version, timeout=timeout_s, tls=self.tls or False)
        made.trust_env = False  # proxies and .netrc are for other servers, and looking them up costs every request
        return made

    def client(self) -> DockerClient:
        """A client; the caller closes it."""
        return DockerClient(base_url=self.url, version="auto", timeout=API_LIMIT_S, tls=self.tls or False)


def candidates(environment: Mapping[str, str]) -> Iterator[EngineAddress]:
    """Addresses to try, in order."""
    if environment.get("DOCKER_HOST"):
        settings = kwargs_from_env(dict(environment))
        yield EngineAddress(settings["base_url"], settings.get("tls") or None)
        return
    own = environment.get("XDG_RUNTIME_DIR")
    users = [Path(own) / name for name in ("docker.sock", "podman/podman.sock")] if own else []
    yield from _sockets(DEFAULT_SOCKET, Path.home() / ".docker/run/docker.sock", *users[:1])
    named = cache_dir() / "engine" / "socket"
    if named.is_file():
        yield EngineAddress(f"unix://{named.read_text(encoding='utf-8').strip()}")
    yield from _sockets(*users[1:], PODMAN_SOCKET)


def _sockets(*paths: Path) -> Iterator[EngineAddress]:
    for path in paths:
        if path.is_socket():
            yield EngineAddress(f"unix://{path}")


def find_engine(environment: Mapping[str, str] | None = None) -> EngineAddress:
    """The engine that answers.

    Raises:
        EngineMissing: none answers, or it is too old.
    """
    environment = os.environ if environment is None else environment
    reasons = []
    for address in candidates(environment):
        try:
            with closing(address.api(timeout_s=PING_LIMIT_S)) as api:
                version = tuple(int(part) for part in api.api_version.split("."))
                api.ping()
        except (DockerException, RequestException) as error:
            reasons.append(f"{address.url}: {type(error).__name__}")
            continue
        if version < OLDEST_API:
            raise EngineMissing("the container engine is older than 20.10; install a newer Docker Engine")
        return address
    tried = f" ({'; '.join(reasons)})" if reasons else ""
    raise EngineMissing(f"no container engine answers{tried}; run `make engine`, or start Docker Engine")
