"""A local server that answers like the E-utilities: a queue of replies, and a record of what was asked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class FakeNcbi:
    """Replies are given in the order they were queued; with none left the answer is 410."""

    base_url: str
    replies: deque[tuple[int, bytes, dict[str, str]]] = field(default_factory=deque)
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)

    def answer(self, body: bytes | str, status: int = 200, **headers: str) -> FakeNcbi:
        """Queue one reply."""
        self.replies.append((status, body.encode() if isinstance(body, str) else body, headers))
        return self


@contextmanager
def serving() -> Iterator[FakeNcbi]:
    """Run the server on a free port of this machine."""
    holder: list[FakeNcbi] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET(body_wanted=False)

        def do_GET(self, *, body_wanted: bool = True) -> None:
            fake = holder[0]
            parts = urlsplit(self.path)
            fake.asked.append((parts.path.rsplit("/", 1)[-1], parse_qs(parts.query)))
            status, body, headers = fake.replies.popleft() if fake.replies else (410, b"", {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if body_wanted:
                self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    holder.append(FakeNcbi(f"http://127.0.0.1:{server.server_port}/eutils"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield holder[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
