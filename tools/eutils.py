"""The NCBI E-utilities: rate and identity as NCBI asks for them, and XML read by Biopython.

Biopython's own opener has neither a time limit nor a configurable address, and its parser fetches a
document type definition that it does not ship; so the transport is ours and the parsing is Biopython's,
with unknown definitions replaced by the newest one in the package.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from labwright.tools.reply_cache import ReplyCache
from labwright.tools.transport import Damaged, Dated, Service, Transport, Value

BASE_URL: Final = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"
NEWEST_PUBMED_DTD: Final = "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd"
SAID_CHARS: Final = 120
_DOCTYPE = re.compile(rb'<!DOCTYPE\s+(\w+)\s+PUBLIC\s+"[^"]*"\s+"([^"]*)"\s*>')
_ERROR = re.compile(rb"<ERROR>(.*?)</ERROR>", re.DOTALL)
T = TypeVar("T")


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
    """Tries of a request that is answered with 429 or 5xx, breaks off, or comes back damaged."""

    @property
    def interval_s(self) -> float:
        """Least time between the starts of two requests, seconds."""
        return 0.1 if self.api_key else 0.34


class Eutils:
    """One service; keeps the rate over all its requests. Safe to share between threads."""

    def __init__(
        self,
        config: EutilsConfig,
        *,
        cache: ReplyCache | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        """Prepare; nothing is sent."""
        service = Service(
            name="NCBI",
            base_url=config.base_url,
            interval_s=config.interval_s,
            identity={"tool": "labwright", "email": config.email, "api_key": config.api_key},
            connect_s=config.connect_s,
            read_s=config.read_s,
            attempts=config.attempts,
        )
        self._transport = Transport(service, cache=cache, sleep=sleep, clock=clock, today=today)

    def get(self, tool: str, params: Mapping[str, Value], read: Callable[[bytes], T], *, keep: bool = True) -> Dated[T]:
        """The reply of one utility, for example `esearch`, read by `read` and dated.

        Raises:
            SourceUnavailable: no connection, no whole reply in time, or an error status after every try.
        """
        return self._transport.get(f"{tool}.fcgi", params, read, keep=keep)

    def read(self, tool: str, params: Mapping[str, Value], *, keep: bool = True) -> Dated[Any]:
        """The reply of one utility, parsed by Biopython.

        Raises:
            SourceUnavailable: as `get`, or the reply is not whole or not XML of the E-utilities.
        """
        return self.get(tool, {**params, "retmode": "xml"}, parsed, keep=keep)


def parsed(xml: bytes) -> Any:
    """E-utilities XML as Biopython's nested lists and mappings; never goes to the network.

    Raises:
        Damaged: the text is cut off, not XML, not of a kind that Biopython knows, or an error message of NCBI.
    """
    from xml.parsers.expat import ExpatError

    from Bio import Entrez
    from Bio.Entrez.Parser import CorruptedXMLError, NotXMLError, ValidationError

    if said := _ERROR.search(xml, 0, 4000):
        words = "".join(c if c.isprintable() else " " for c in said[1].decode("utf-8", "replace"))
        raise Damaged(f"NCBI says: {words[:SAID_CHARS]}")
    unreadable = (CorruptedXMLError, NotXMLError, ValidationError, ExpatError, ValueError, LookupError, RuntimeError)
    try:
        return Entrez.read(io.BytesIO(_with_shipped_dtd(xml)), validate=False)  # type: ignore[no-untyped-call]
    except unreadable as error:
        raise Damaged(type(error).__name__) from error


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
