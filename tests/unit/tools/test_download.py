"""Downloads against a local server that breaks off, changes its file, or sends more than is allowed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import DownloadTooLarge, HashMismatch, SourceUnavailable
from labwright.tools.download import TRIES, download

BODY = bytes(range(256)) * 8192  # 2 MiB
PIN = hashlib.sha256(BODY).hexdigest()


@dataclass
class Files:
    """One file, and how the server misbehaves."""

    body: bytes = BODY
    etag: str = '"1"'
    breaks: list[int] = field(default_factory=list)
    """Bytes after which each of the next replies breaks off."""
    ranges: bool = True
    status: int = 200
    length_told: bool = True
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Range headers seen."""
    sent: int = 0


@pytest.fixture
def files() -> Iterator[Files]:
    served = Files()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            served.asked.append(asked)
            start, body = 0, served.body
            if asked and served.ranges and self.headers.get("If-Range", served.etag) == served.etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
            self.send_response(206 if start else served.status)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if served.length_told:
                self.send_header("Content-Length", str(len(body) - start))
            self.send_header("ETag", served.etag)
            self.end_headers()
            rest = body[start:]
            rest = rest[: served.breaks.pop(0)] if served.breaks else rest
            served.sent += len(rest)
            with suppress(OSError):  # the client may have had enough
                self.wfile.write(rest)

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{listener.server_port}/data.gz"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def test_a_file_comes_whole_and_is_not_fetched_again(files: Files, tmp_path: Path) -> None:
    target = tmp_path / "new" / "data.gz"
    for pin in (PIN, PIN, ""):
        assert download(files.url, target, max_mib=3, sha256=pin) == target
    assert target.read_bytes() == BODY
    assert len(files.asked) == 1
    assert [path.name for path in target.parent.iterdir()] == ["data.gz"]


@pytest.mark.parametrize("breaks", [[1], [1_000_000], [500_000] * 4, [0, 700_000], [len(BODY) - 1]])
def test_a_broken_download_is_resumed_where_it_broke(files: Files, tmp_path: Path, breaks: list[int]) -> None:
    files.breaks = list(breaks)
    target = download(files.url, tmp_path / "data.gz", max_mib=3, sha256=PIN)
    assert target.read_bytes() == BODY
    assert files.sent == len(BODY), "no byte came twice"
    places = [sum(breaks[: i + 1]) for i in range(len(breaks))]
    assert files.asked == ["", *(f"bytes={place}-" if place else "" for place in places)]


def test_a_later_call_resumes_what_an_earlier_one_left(files: Files, tmp_path: Path) -> None:
    files.breaks = [300_000, *([0] * TRIES)]
    with pytest.raises(
        SourceUnavailable, match=r"^data.gz: the download broke off \(.*\); try again, it will be resumed$"
    ):
        download(files.url, tmp_path / "data.gz", max_mib=3, sha256=PIN)
    assert (tmp_path / "data.gz.part").stat().st_size == 300_000
    assert not (tmp_path / "data.gz").exists()
    download(files.url, tmp_path / "data.gz", max_mib=3, sha256=PIN)
    assert files.sent == len(BODY)


def test_a_file_that_changed_meanwhile_is_no_mixture(files: Files, tmp_path: Path) -> None:
    files.breaks = [300_000, *([0] * TRIES)]
    with pytest.raises(SourceUnavailable):
        download(files.url, tmp_path / "data.gz", max_mib=3)
    files.body, files.etag = bytes(reversed(BODY)), '"2"'
    assert download(files.url, tmp_path / "data.gz", max_mib=3).read_bytes() == files.body


def test_a_server_without_ranges_sends_all_again(files: Files, tmp_path: Path) -> None:
    files.ranges, files.breaks = False, [300_000]
    assert download(files.url, tmp_path / "data.gz", max_mib=3, sha256=PIN).read_bytes() == BODY


def test_a_whole_part_is_taken_as_it_is(files: Files, tmp_path: Path) -> None:
    """The process died between the last byte and the renaming."""
    (tmp_path / "data.gz.part").write_bytes(BODY)
    assert download(files.url, tmp_path / "data.gz", max_mib=3, sha256=PIN).read_bytes() == BODY
    assert files.sent == 0


def test_a_part_that_is_wrong_is_fetched_from_the_start(files: Files, tmp_path: Path) -> None:
    (tmp_path / "data.gz.part").write_bytes(b"other" * 1000)
    assert download(files.url, tmp_path / "data.gz", max_mib=3, sha256=PIN).read_bytes() == BODY


def test_another_file_than_the_pinned_one_is_refused(files: Files, tmp_path: Path) -> None:
    with pytest.raises(HashMismatch, match=r"^data.gz: the server has a file with another sha256"):
        download(files.url, tmp_path / "data.gz", max_mib=3, sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("told", [True, False])
def test_a_file_above_the_limit_is_not_taken(files: Files, tmp_path: Path, told: bool) -> None:
    """By the length that is told, before a byte is stored; without one, while it comes."""
    files.length_told = told
    with pytest.raises(DownloadTooLarge, match=r"^data.gz: larger than the 1 MiB that are allowed$"):
        download(files.url, tmp_path / "data.gz", max_mib=1)
    assert not (tmp_path / "data.gz").exists()
    stored = tmp_path / "data.gz.part"
    assert (stored.stat().st_size if stored.exists() else 0) <= (0 if told else 2**20)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_one_line(files: Files, tmp_path: Path, status: int) -> None:
    files.status = status
    with pytest.raises(SourceUnavailable, match=rf"^data.gz: the server answered {status}$"):
        download(files.url, tmp_path / "data.gz", max_mib=3)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/data.gz", "ftp://127.0.0.1/data.gz", "nonsense"])
def test_no_connection_is_one_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(SourceUnavailable, match=r"^data.gz: no connection \(\w+\)$"):
        download(url, tmp_path / "data.gz", max_mib=3)
