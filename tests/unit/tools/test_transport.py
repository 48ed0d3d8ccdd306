"""What all network clients share: rate over threads, size and time limits, and the replies that are kept."""

from __future__ import annotations

import importlib.util
import sqlite3
import sys
import threading
from collections.abc import Iterator
from datetime import date
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from labwright.errors import SourceUnavailable
from labwright.tools.reply_cache import ReplyCache
from labwright.tools.transport import Damaged, Service, Transport

spec = importlib.util.spec_from_file_location("ncbi_server", Path(__file__).with_name("ncbi_server.py"))
assert spec is not None
assert spec.loader is not None
ncbi_server = sys.modules["ncbi_server"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ncbi_server)
TODAY = date(2026, 1, 2)


@pytest.fixture
def server() -> Iterator[Any]:
    with ncbi_server.serving() as fake:
        yield fake


def transport(
    server: Any, waits: list[float] | None = None, *, cache: ReplyCache | None = None, **limits: Any
) -> Transport:
    service = Service(name="Test", base_url=server.base_url, **{"interval_s": 0.0, **limits})
    return Transport(service, cache=cache, sleep=(waits if waits is not None else []).append, today=lambda: TODAY)


def test_a_retry_after_in_the_form_of_a_date_is_honoured(server: Any) -> None:
    from datetime import UTC, datetime, timedelta

    waits: list[float] = []
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=6), usegmt=True)
    server.answer("", 429, Retry_After=soon).answer("ok")
    assert transport(server, waits).get("x", {}, bytes).value == b"ok"
    assert 4 < waits[0] <= 6


@pytest.mark.parametrize("said", ["999999", "soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_an_unreasonable_retry_after_is_bounded(server: Any, said: str) -> None:
    waits: list[float] = []
    server.answer("", 503, Retry_After=said).answer("ok")
    transport(server, waits).get("x", {}, bytes)
    assert waits == [8.0 if said == "999999" else 1.0]


def test_a_reply_above_the_limit_is_refused_without_a_second_try(server: Any) -> None:
    server.answer(b"x" * 2_000_000)
    with pytest.raises(SourceUnavailable, match=r"^Test sent more than 1 MiB$"):
        transport(server, max_mib=1).get("x", {}, bytes)
    assert len(server.asked) == 1


def test_a_reply_that_drips_for_too_long_is_broken_off(server: Any) -> None:
    for _ in range(4):
        server.answer(b"x" * 100)
    with pytest.raises(SourceUnavailable, match=r"^Test x broke off \(ReadTimeout\) \(4 tries\)$"):
        transport(server, total_s=-1.0).get("x", {}, bytes)


def test_the_rate_holds_over_threads(server: Any) -> None:
    waits: list[float] = []
    service = Service(name="Test", base_url=server.base_url, interval_s=0.5)
    shared = Transport(service, sleep=waits.append, clock=lambda: 100.0)
    for _ in range(6):
        server.answer("ok")
    threads = [threading.Thread(target=shared.get, args=("x", {}, bytes)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.5])


def test_who_asks_is_sent_but_is_no_part_of_what_is_kept(server: Any, tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite", days=7)
    server.answer("ok")
    first = transport(server, cache=cache, identity={"api_key": "secret-1", "email": ""})
    assert first.get("x", {"term": "a"}, bytes).value == b"ok"
    assert server.asked[0][1] == {"term": ["a"], "api_key": ["secret-1"]}
    other = transport(server, cache=cache, identity={"api_key": "secret-2"})
    assert other.get("x", {"term": "a"}, bytes).value == b"ok"
    assert len(server.asked) == 1
    assert b"secret" not in (tmp_path / "r.sqlite").read_bytes()
    assert "secret" not in repr(first.service)


def test_a_kept_reply_has_its_own_date_and_an_age(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite", days=7)
    cache.put("k", b"body", TODAY)
    assert cache.get("k", date(2026, 1, 8)) == (b"body", TODAY)
    assert cache.get("k", date(2026, 1, 9)) is None
    cache.put("l", b"new", date(2026, 1, 10))
    assert sqlite3.connect(tmp_path / "r.sqlite").execute("select key from replies").fetchall() == [("l",)]


@pytest.mark.parametrize("damage", ["file", "row"])
def test_a_damaged_cache_is_as_good_as_none(server: Any, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "r.sqlite"
    cache = ReplyCache(path, days=7)
    server.answer("one").answer("two")
    client = transport(server, cache=cache)
    assert client.get("x", {}, bytes).value == b"one"
    if damage == "file":
        path.write_bytes(b"no database" * 1000)
    else:
        with sqlite3.connect(path) as db:
            db.execute("update replies set body = 'text', fetched_on = 'never'")
    assert client.get("x", {}, bytes).value == b"two"


def test_a_cache_that_cannot_be_written_stops_nothing(server: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    server.answer("ok")
    assert (
        transport(server, cache=ReplyCache(tmp_path / "file" / "r.sqlite", days=7)).get("x", {}, bytes).value == b"ok"
    )


def test_a_kept_reply_that_a_newer_version_cannot_read_is_asked_for_anew(server: Any, tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "r.sqlite", days=7)
    server.answer("old").answer("new")

    def only_new(body: bytes) -> bytes:
        if body != b"new":
            raise Damaged("old")
        return body

    client = transport(server, cache=cache)
    client.get("x", {}, bytes)
    assert client.get("x", {}, only_new).value == b"new"


def test_many_processes_may_write_at_once(tmp_path: Path) -> None:
    """Threads of their own connections stand in for processes: SQLite locks the file, not the object."""
    caches = [ReplyCache(tmp_path / "r.sqlite", days=7) for _ in range(8)]
    threads = [
        threading.Thread(target=lambda c=c, i=i: [c.put(f"{i}-{j}", b"x" * 1000, TODAY) for j in range(10)])  # type: ignore[misc]
        for i, c in enumerate(caches)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(caches[0].get(f"{i}-{j}", TODAY) for i in range(8) for j in range(10))


def test_a_file_s_size_comes_from_its_headers(server: Any) -> None:
    server.answer(b"x" * 1234).answer("", 404)
    client = transport(server)
    assert client.size("a.gz") == 1234
    assert client.size("b.gz") is None
