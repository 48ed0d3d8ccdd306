"""`labwright serve`: one process that answers until it is interrupted. Runs are processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import uvicorn

from labwright.errors import WrongUse
from labwright.web.app import make_app
from labwright.web.desk import Desk
from labwright.web.settings import Settings

GRACE_S = 3
MOST_CONNECTIONS = 400
"""One more is answered with 503, so that clients that only connect cannot take the memory."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[int], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready(int(self.servers[0].sockets[0].getsockname()[1]))


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C.

    Args:
        settings: folders, names, limits.
        ready: told the address to open, with a one-time link where there are no accounts.

    Raises:
        WrongUse: the port is taken, or other machines would get in without an account.
        DiskFull, RunFailed: the server's state cannot be written or read.
    """
    app = make_app(settings)
    desk: Desk = app.state.desk
    settings.checked(users=bool(desk.accounts.all()))
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=MOST_CONNECTIONS,
    )
    try:
        _Server(config, lambda port: ready(entry(desk, port))).run()
    except KeyboardInterrupt:
        return
    except SystemExit as error:
        raise WrongUse(f"port {settings.port} of {settings.host} cannot be bound; give another --port") from error
    finally:
        desk.ledger.close()


def entry(desk: Desk, port: int) -> str:
    """The address to open first."""
    settings = desk.settings
    scheme = "https" if settings.https else "http"
    name = "127.0.0.1" if settings.loopback else sorted(settings.names)[0]
    host = f"{scheme}://{name}:{port}"
    if desk.accounts.all() or settings.proxy is not None:
        return f"{host}/login"
    return f"{host}/enter?token={desk.sessions.new_link()}"
