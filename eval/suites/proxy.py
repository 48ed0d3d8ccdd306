"""A proxy in front of a model server that logs every request and whether its reply was finished."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx


class LoggingProxy:
    """Forwards to `target` on a loopback port of its own; one JSON line for each request that got its reply."""

    def __init__(self, target: str, key: str, log: Path) -> None:
        """Start serving.

        Args:
            target: address ending in /v1.
            key: the target's key.
            log: receives {"request": sha256 of the body, "delivered": bool} a line.
        """
        client = httpx.Client(base_url=target, headers={"Authorization": f"Bearer {key}"}, timeout=600)
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = client.post(
                    self.path.removeprefix("/v1"), content=body, headers={"Content-Type": "application/json"}
                )
                delivered = _deliver(self, reply)
                line = {
                    "request": hashlib.sha256(body).hexdigest(),
                    "delivered": delivered,
                    "status": reply.status_code,
                }
                with lock, log.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(line) + "\n")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class names it)
                """Nothing on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def _deliver(handler: BaseHTTPRequestHandler, reply: httpx.Response) -> bool:
    """Send the reply; False when the client was gone."""
    try:
        handler.send_response(reply.status_code)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(reply.content)))
        handler.end_headers()
        handler.wfile.write(reply.content)
        handler.wfile.flush()
    except OSError:
        return False
    return True
