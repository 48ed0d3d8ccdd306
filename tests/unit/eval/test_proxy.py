"""The proxy in front of a model server: what was asked, and whether the client really got its reply."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from labwright.eval.suites.proxy import LoggingProxy

KEY = "sesame"
WAIT_S = 10.0


class Upstream:
    """A model server that echoes; it can be told to hold its replies back."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.asked, self.go = threading.Event(), threading.Event()
        self.go.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append({"path": self.path, "key": self.headers["Authorization"], "body": body})
                outer.asked.set()
                outer.go.wait(WAIT_S)
                reply = json.dumps({"echo": body.decode()}).encode()
                self.send_response(400 if b"bad" in body else 200)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nothing on the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    served = Upstream()
    yield served
    served.go.set()
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


@pytest.fixture
def proxy(upstream: Upstream, log: Path) -> Iterator[LoggingProxy]:
    started = LoggingProxy(upstream.base_url, KEY, log)
    yield started
    started.close()


def lines(log: Path, n: int) -> list[dict[str, Any]]:
    """The log when it has `n` lines: a line follows the reply."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        found = log.read_text().splitlines() if log.is_file() else []
        if len(found) >= n:
            return [json.loads(line) for line in found]
        time.sleep(0.01)
    raise AssertionError(f"{len(found)} lines after {WAIT_S:g} s, {n} were expected")


def ask(proxy: LoggingProxy, body: bytes) -> httpx.Response:
    return httpx.post(f"{proxy.base_url}/chat/completions", content=body, timeout=WAIT_S)


def ask_and_vanish(proxy: LoggingProxy, upstream: Upstream, body: bytes, *, reset: bool = False) -> None:
    """Send a request and be gone, as a killed process is, before the reply comes."""
    upstream.go.clear()
    upstream.asked.clear()
    port = int(proxy.base_url.split(":")[2].split("/")[0])
    client = socket.create_connection(("127.0.0.1", port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    assert upstream.asked.wait(WAIT_S)
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    upstream.go.set()


def test_a_request_goes_through_with_the_server_s_key_and_is_logged_by_its_hash(proxy, upstream, log):
    body = '{"messages": ["é"]}'.encode()
    reply = ask(proxy, body)
    assert (reply.status_code, reply.json()) == (200, {"echo": body.decode()})
    assert upstream.seen == [{"path": "/v1/chat/completions", "key": f"Bearer {KEY}", "body": body}]
    [line] = lines(log, 1)
    assert line == {"request": hashlib.sha256(body).hexdigest(), "delivered": True, "status": 200}
    assert KEY not in log.read_text()


def test_the_same_request_twice_is_seen_to_be_the_same(proxy, log):
    for body in (b"one", b"two", b"one"):
        ask(proxy, body)
    first, second, third = (line["request"] for line in lines(log, 3))
    assert first == third != second


def test_an_error_of_the_server_is_passed_on_and_logged(proxy, log):
    assert ask(proxy, b"bad").status_code == 400
    [line] = lines(log, 1)
    assert (line["delivered"], line["status"]) == (True, 400)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_reply_that_nobody_was_there_to_take_is_not_delivered(proxy, upstream, log, reset):
    ask_and_vanish(proxy, upstream, b"gone", reset=reset)
    [line] = lines(log, 1)
    assert line == {"request": hashlib.sha256(b"gone").hexdigest(), "delivered": False, "status": 200}


def test_after_a_client_vanished_others_are_served(proxy, upstream, log):
    """As after a kill: the same request again, now delivered, is no repetition."""
    ask_and_vanish(proxy, upstream, b"same")
    lines(log, 1)
    assert ask(proxy, b"same").status_code == 200
    assert [line["delivered"] for line in lines(log, 2)] == [False, True]
    assert len({line["request"] for line in lines(log, 2)}) == 1


def test_requests_at_once_give_one_whole_line_each(proxy, upstream, log):
    bodies = [f"request {i}".encode() for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda body: ask(proxy, body).json()["echo"], bodies))
    assert replies == [body.decode() for body in bodies]
    assert sorted(line["request"] for line in lines(log, 24)) == sorted(
        hashlib.sha256(body).hexdigest() for body in bodies
    )
    assert len(upstream.seen) == 24


def test_a_server_that_is_down_is_no_reply_and_no_line(upstream, log):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = LoggingProxy(f"http://127.0.0.1:{closed.getsockname()[1]}/v1", KEY, log)
        try:
            with pytest.raises(httpx.RemoteProtocolError):
                ask(proxy, b"x")
        finally:
            proxy.close()
    assert not log.exists()


def test_a_closed_proxy_takes_no_more_requests(upstream, log):
    proxy = LoggingProxy(upstream.base_url, KEY, log)
    assert ask(proxy, b"x").status_code == 200
    proxy.close()
    with pytest.raises(httpx.ConnectError):
        ask(proxy, b"y")
    assert len(lines(log, 1)) == 1
