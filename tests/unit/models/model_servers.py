"""Servers on this machine for tests: a model hub with a package index, and an OpenAI-compatible chat server."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakeHub:
    """A model hub and a package index in one."""

    body: bytes
    status: int = 200
    ranges: bool = True
    """It answers byte ranges."""
    break_after: int | None = None
    """Bytes after which the connection is dropped."""
    wheels: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and range of each request."""

    @property
    def ranges_asked(self) -> list[str]:
        """Range of each request to the hub, not the index."""
        return [wanted for path, wanted in self.asked if "/resolve/" in path]

    def reply(self, path: str, wanted: str) -> tuple[int, bytes]:
        """Status and body."""
        self.asked.append((path, wanted))
        if "/resolve/" in path:
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
            if self.status != 200 or start >= len(self.body):
                return (self.status if self.status != 200 else 416), b"no"
            return (206 if start else 200), self.body[start:]
        if path.startswith("/simple/"):
            package = path.split("/")[2].replace("-", "_")
            links = "".join(f'<a href="/files/{n}">{n}</a>' for n in self.wheels if n.startswith(f"{package}-"))
            return (200, links.encode()) if links else (404, b"")
        return 200, self.wheels[path.rsplit("/", 1)[-1]]


@dataclass
class Reply:
    """One answer of the chat server; `headers` speed up retries, `delay_s` slows the answer down."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass
class FakeChat:
    """Gives the queued replies in order and the last one for ever; keeps what it was asked."""

    base_url: str = ""
    replies: deque[Reply] = field(default_factory=deque)
    asked: list[dict[str, Any]] = field(default_factory=list)
    authorisation: list[str] = field(default_factory=list)

    def answer(self, body: Any, status: int = 200, **more: Any) -> FakeChat:
        """Queue one reply: a JSON value, or text to be sent as it is."""
        self.replies.append(Reply(body, status, **more))
        return self

    def says(self, text: str | None, *, usage: dict[str, Any] | None = None, **choice: Any) -> FakeChat:
        """Queue a proper completion; `choice` adds to or replaces fields of the choice."""
        message = {"role": "assistant", "content": text}
        filled = {"index": 0, "message": message, "finish_reason": "stop", **choice}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [filled]}
        return self.answer({**body, **({"usage": usage} if usage else {})})


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    reply: Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes, int]]

    def do_GET(self) -> None:
        status, headers, body, sent = type(self).reply(self)
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:sent])
        except BrokenPipeError:  # the client gave up waiting
            self.close_connection = True

    do_POST = do_GET

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving_hub(body: bytes) -> Iterator[tuple[FakeHub, str]]:
    """A hub and its address."""
    hub = FakeHub(body)

    def reply(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes, int]:
        status, content = hub.reply(request.path, request.headers.get("Range", ""))
        kind = "text/html" if request.path.startswith("/simple/") else "application/binary"
        broken = hub.break_after if "/resolve/" in request.path else None
        return status, {"Content-Type": kind}, content, len(content) if broken is None else broken

    with _serving(type("Handler", (_Handler,), {"reply": staticmethod(reply)})) as address:
        yield hub, address


@contextmanager
def serving_chat() -> Iterator[FakeChat]:
    """A chat server."""
    chat = FakeChat()

    def reply(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes, int]:
        length = int(request.headers.get("Content-Length", 0))
        chat.asked.append(json.loads(request.rfile.read(length)))
        chat.authorisation.append(request.headers.get("Authorization", ""))
        given = chat.replies.popleft() if len(chat.replies) > 1 else chat.replies[0]
        time.sleep(given.delay_s)
        body = given.body.encode() if isinstance(given.body, str) else json.dumps(given.body).encode()
        return given.status, {"Content-Type": "application/json", **given.headers}, body, len(body)

    with _serving(type("Handler", (_Handler,), {"reply": staticmethod(reply)})) as address:
        chat.base_url = f"{address}/v1"
        yield chat
