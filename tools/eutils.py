"""HTTP to the NCBI E-utilities: rate, retries, time limits, and XML read by Biopython.

Biopython's own opener has neither a time limit nor a configurable address, and its parser fetches a
document type definition that it does not ship; so the transport is ours and the parsing is Biopython's,
with unknown definitions replaced by the newest one in the package.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from labwright.errors import SourceUnavailable

BASE_URL: Final = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"
NEWEST_PUBMED_DTD: Final = "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd"
RETRIED: Final = frozenset({429, 500, 502, 503, 504})
LONGEST_WAIT_S: Final = 8.0
_DOCTYPE = re.compile(rb'<!DOCTYPE\s+(\w+)\s+PUBLIC\s+"[^"]*"\s+"([^"]*)"\s*>')

Value = str | int | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EutilsConfig:
    """How to talk to the E-utilities."""

    email: str = ""
    """Address that NCBI may write to (NCBI_EMAIL)."""
    api_key: str = field(default="", repr=False)
    """Key that raises the allowed rate from 3 to 10 requests a second (NCBI_API_KEY)."""
    base_url: str = BASE_URL
    """Address of the service, without a closing slash."""
    connect_s: float = 5.0
    """Longest wait for a connection, seconds."""
    read_s: float = 30.0
    """Longest silence while a reply is being read, seconds."""
    attempts: int = 4
    """Tries of a request that is answered with 429 or 5xx."""

    @property
    def interval_s(self) -> float:
        """Least time between the starts of two requests, seconds."""
        return 0.1 if self.api_key else 0.34


class Eutils:
    """One service; keeps the rate over all its requests. Not safe to share between threads."""

    def __init__(
        self,
        config: EutilsConfig,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is sent."""
        self._config = config
        self._sleep = sleep
        self._clock = clock
        self._next_start = 0.0
        timeout = httpx.Timeout(config.read_s, connect=config.connect_s)
        self._client = httpx.Client(timeout=timeout, follow_redirects=True)

    def get(self, tool: str, params: Mapping[str, Value]) -> bytes:
        """The raw reply of one utility, for example `esearch`.

        Raises:
            SourceUnavailable: no connection, no reply in time, or an error status after every try.
        """
        wait_s = 1.0
        for attempt in range(1, self._config.attempts + 1):
            reply = self._send(tool, params)
            if reply.is_success:
                return reply.content
            if reply.status_code not in RETRIED or attempt == self._config.attempts:
                raise SourceUnavailable(f"NCBI {tool} answered {reply.status_code} ({attempt} tries)")
            self._sleep(_waiting_time(reply, wait_s))
            wait_s *= 2
        raise SourceUnavailable(f"NCBI {tool}: no try was allowed")

    def read(self, tool: str, params: Mapping[str, Value]) -> Any:
        """The reply of one utility, parsed by Biopython.

        Raises:
            SourceUnavailable: as `get`, or the reply is not whole or not XML of the E-utilities.
        """
        return parse(self.get(tool, {**params, "retmode": "xml"}), tool)

    def _send(self, tool: str, params: Mapping[str, Value]) -> httpx.Response:
        now = self._clock()
        if now < self._next_start:
            self._sleep(self._next_start - now)
        self._next_start = max(now, self._next_start) + self._config.interval_s
        known = {"tool": "labwright", "email": self._config.email, "api_key": self._config.api_key}
        query: dict[str, Any] = {**params, **{name: value for name, value in known.items() if value}}
        try:
            return self._client.get(f"{self._config.base_url}/{tool}.fcgi", params=query)
        except httpx.HTTPError as error:
            # The message of httpx may hold the address with the key in it: only its type is passed on.
            raise SourceUnavailable(f"NCBI {tool} cannot be reached ({type(error).__name__})") from None


def parse(xml: bytes, tool: str) -> Any:
    """E-utilities XML as Biopython's nested lists and mappings; never goes to the network.

    Raises:
        SourceUnavailable: the text is cut off, not XML, or not of a kind that Biopython knows.
    """
    from Bio import Entrez
    from Bio.Entrez.Parser import CorruptedXMLError, NotXMLError, ValidationError

    try:
        return Entrez.read(io.BytesIO(_with_shipped_dtd(xml)), validate=False)  # type: ignore[no-untyped-call]
    except (CorruptedXMLError, NotXMLError, ValidationError, ValueError, RuntimeError) as error:
        reason = type(error).__name__
        raise SourceUnavailable(f"NCBI {tool} sent a reply that cannot be read ({reason})") from error


def _waiting_time(reply: httpx.Response, planned_s: float) -> float:
    asked = reply.headers.get("Retry-After", "")
    return min(max(planned_s, float(asked) if asked.isdecimal() else 0.0), LONGEST_WAIT_S)


def _with_shipped_dtd(xml: bytes) -> bytes:
    import Bio.Entrez

    found = _DOCTYPE.search(xml, 0, 2000)
    if found is None:
        raise ValueError("no document type")
    shipped = Path(Bio.Entrez.__file__).parent / "DTDs"
    name = found[2].decode("ascii", "replace").rsplit("/", 1)[-1]
    if (shipped / name).is_file():
        return xml
    if found[1] != b"PubmedArticleSet":
        raise ValueError(f"unknown document type {name}")
    known = f'<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle//EN" "{NEWEST_PUBMED_DTD}">'
    return xml[: found.start()] + known.encode() + xml[found.end() :]
