"""HTTP to literature and data services: rate, retries, time and size limits, and replies kept with their date."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Generic, TypeVar

import httpx

from labwright.errors import SourceUnavailable
from labwright.tools.reply_cache import ReplyCache

RETRIED: Final = frozenset({429, 500, 502, 503, 504})
LONGEST_WAIT_S: Final = 8.0
BROKEN_OFF: Final = (httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError, httpx.DecodingError)

Value = str | int | Sequence[str]
T = TypeVar("T")


class Damaged(ValueError):
    """A reply that arrived but is cut off, or is not of the kind that was asked for."""


@dataclass(frozen=True, slots=True)
class Dated(Generic[T]):
    """What a service said, and when."""

    value: T
    on: str
    """Date of the reply, ISO; older than today when it was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service and how it wants to be asked."""

    name: str
    """What messages call it."""
    base_url: str
    """Address, without a closing slash."""
    interval_s: float
    """Least time between the starts of two requests, seconds."""
    identity: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Parameters that say who asks (mail, key): sent, but never part of a message or of what is kept."""
    connect_s: float = 5.0
    """Longest wait for a connection, seconds."""
    read_s: float = 30.0
    """Longest silence while a reply is being read, seconds."""
    total_s: float = 180.0
    """Longest time that one reply may take, seconds."""
    max_mib: float = 64.0
    """Largest reply, MiB."""
    attempts: int = 4
    """Tries of a request that is answered with 429 or 5xx, breaks off, or comes back damaged."""


class Transport:
    """Requests to one service. Safe to share between threads; the rate holds over all its requests."""

    def __init__(
        self,
        service: Service,
        *,
        cache: ReplyCache | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        """Prepare; nothing is sent."""
        self.service = service
        self._cache = cache
        self._sleep = sleep
        self._clock = clock
        self._today = today
        self._next_start = 0.0
        self._lock = threading.Lock()
        timeout = httpx.Timeout(service.read_s, connect=service.connect_s)
        agent = {"User-Agent": "labwright (https://pypi.org/project/labwright)"}
        self._client = httpx.Client(timeout=timeout, follow_redirects=True, headers=agent)

    def get(self, path: str, params: Mapping[str, Value], read: Callable[[bytes], T], *, keep: bool = True) -> Dated[T]:
        """One reply, read and dated. A reply is kept only once `read` could make sense of it.

        Args:
            path: what follows the address of the service.
            params: of the query, without those that say who asks.
            read: makes a value of the body; raises `Damaged` when the body is cut off or of another kind.
            keep: False for requests whose reply holds only for a while.

        Raises:
            SourceUnavailable: no connection, no whole reply in time, or an error status after every try.
        """
        key = hashlib.sha256(json.dumps([self.service.base_url, path, dict(params)]).encode()).hexdigest()
        kept = self._cache.get(key, self._today()) if self._cache and keep else None
        if kept is not None:
            with suppress(Damaged):  # kept by another version, which could read it
                return Dated(read(kept[0]), kept[1].isoformat())
        reply, value = self._until_good("GET", path, params, read)
        if self._cache and keep:
            self._cache.put(key, reply.content, self._today())
        return Dated(value, self._today().isoformat())

    def size(self, path: str) -> int | None:
        """Bytes of a file by its headers; None when it is not there or the size is not told.

        Raises:
            SourceUnavailable: no connection, or an error status after every try.
        """
        reply = self._until_good("HEAD", path, {}, lambda body: None, missing_is=404)[0]
        told = reply.headers.get("Content-Length", "")
        return int(told) if reply.is_success and told.isdecimal() else None

    def _until_good(
        self, method: str, path: str, params: Mapping[str, Value], read: Callable[[bytes], T], *, missing_is: int = 0
    ) -> tuple[httpx.Response, T]:
        what = f"{self.service.name} {path.split('?')[0].rsplit('/', 1)[-1].removesuffix('.fcgi') or 'page'}"
        wait_s = 1.0
        for attempt in range(1, self.service.attempts + 1):
            asked_s = 0.0
            try:
                reply = self._send(method, path, params)
                if reply.is_success or reply.status_code == missing_is:
                    return reply, read(reply.content)
                wrong = f"answered {reply.status_code}"
                if reply.status_code not in RETRIED:
                    raise SourceUnavailable(f"{what} {wrong} ({attempt} tries)")
                asked_s = _retry_after(reply)
            except Damaged as error:
                wrong = f"sent a reply that cannot be read ({error})"
            except BROKEN_OFF as error:
                wrong = f"broke off ({type(error).__name__})"
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                # The message of httpx may hold the address with the key in it: only its type is passed on.
                raise SourceUnavailable(f"{what} cannot be reached ({type(error).__name__})") from None
            if attempt < self.service.attempts:
                self._sleep(min(max(wait_s, asked_s), LONGEST_WAIT_S))
                wait_s *= 2
        raise SourceUnavailable(f"{what} {wrong} ({self.service.attempts} tries)")

    def _send(self, method: str, path: str, params: Mapping[str, Value]) -> httpx.Response:
        with self._lock:
            now = self._clock()
            wait_s = self._next_start - now
            self._next_start = max(now, self._next_start) + self.service.interval_s
        if wait_s > 0:
            self._sleep(wait_s)
        query: dict[str, Any] = {**params, **{name: value for name, value in self.service.identity.items() if value}}
        request = self._client.build_request(method, f"{self.service.base_url}/{path}", params=query or None)
        until = time.monotonic() + self.service.total_s
        most = int(self.service.max_mib * 2**20)
        body = bytearray()
        reply = self._client.send(request, stream=True)
        try:
            for chunk in reply.iter_bytes():
                body += chunk
                if len(body) > most:
                    raise SourceUnavailable(f"{self.service.name} sent more than {self.service.max_mib:g} MiB")
                if time.monotonic() > until:
                    raise httpx.ReadTimeout("the whole reply took too long")
        finally:
            reply.close()
        headers = {name: value for name, value in reply.headers.items() if name != "content-encoding"}
        return httpx.Response(reply.status_code, headers=headers, content=bytes(body))


def _retry_after(reply: httpx.Response) -> float:
    """Seconds that the service asks to wait for; 0 when it does not say."""
    said = reply.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
