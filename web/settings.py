"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from labwright.errors import WrongUse
from labwright.store import user_name

Role = Literal["reader", "reviewer", "owner"]
ROLES: tuple[Role, ...] = ("reader", "reviewer", "owner")
"""Each may do what those before it may: read; comment, decide and run; control everybody's runs and the users."""
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A reverse proxy that says who asks."""

    header: str
    """Header that holds the user's name."""
    address: str
    """Address that the proxy connects from; the header of anybody else is not believed."""
    role: Role = "reader"
    """Role of a name that has no account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Folders, names and limits of one server."""

    runs: Path
    """Folder of the run folders."""
    config: Path | None = None
    """labwright.toml that runs are started with; None looks where the command line looks."""
    benchmarks: Path = Path("docs/benchmarks")
    """Folder of the benchmark documents; where it is absent, the page says so."""
    host: str = "127.0.0.1"
    """Address that is listened on."""
    port: int = 8765
    hosts: tuple[str, ...] = ()
    """Further names in the Host header that are answered."""
    https: bool = False
    """The page is reached through HTTPS: cookies are sent there only."""
    proxy: Proxy | None = None
    user: str = field(default_factory=lambda: user_name() or "local")
    """Who holds the one-time link."""
    most_form_bytes: int = 2 * MIB
    """Largest form or JSON document."""
    most_upload_bytes: int = 64 * MIB
    """Largest upload, all files together."""

    @property
    def state(self) -> Path:
        """Folder of sessions, accounts and the audit log."""
        return self.runs / ".web"

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine reach the server."""
        return self.host == "localhost" or ip_address(self.host).is_loopback

    @property
    def names(self) -> frozenset[str]:
        """Names of this server as a Host header says them, without the port."""
        own = {"localhost", "127.0.0.1", "[::1]"} if self.loopback else set()
        return frozenset(name.lower() for name in {*own, *self.hosts})

    def checked(self, *, users: bool) -> Settings:
        """These settings, when they are safe.

        Args:
            users: whether there are accounts.

        Raises:
            WrongUse: other machines could reach the server without an account, or under no name.
        """
        try:
            loopback = self.loopback
        except ValueError as error:
            raise WrongUse(f"--host {self.host!r}: an address of this machine, such as 127.0.0.1 or 0.0.0.0") from error
        if not loopback and not users and self.proxy is None:
            raise WrongUse(
                f"--host {self.host} lets other machines in: first `labwright users add NAME --role owner`, or name "
                "the reverse proxy that says who asks (--proxy-header and --proxy-from)"
            )
        if not loopback and not self.hosts:
            raise WrongUse(f"--host {self.host}: say with --name under which host names the page is reached")
        return self
