"""A local server that keeps the E-utilities' contract over any number of records made from real PubMed replies.

It answers esearch (with and without history), efetch (by id and from history) and elink; faults are queued and each
spoils the next reply.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Fault = Callable[[bytes], tuple[int, bytes, dict[str, str]]]
SEARCH = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE eSearchResult PUBLIC "-//NLM//DTD esearch 20060628//EN" '
    '"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20060628/esearch.dtd">\n<eSearchResult><Count>{n}</Count>'
    "<RetMax>{n}</RetMax><RetStart>0</RetStart>{where}<IdList>{ids}</IdList><TranslationSet/>"
    "<QueryTranslation>x</QueryTranslation></eSearchResult>"
)
STORED = "<QueryKey>1</QueryKey><WebEnv>MCID_6927d6e7fee3e90f880ec190</WebEnv>"

FAULTS: dict[str, Fault] = {
    "429": lambda body: (429, b'{"error":"API rate limit exceeded"}', {"Retry-After": "2"}),
    "500": lambda body: (500, b"", {}),
    "503 with a date": lambda body: (503, b"", {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    "truncated": lambda body: (200, body[: len(body) // 2], {}),
    "one byte short": lambda body: (200, body.rstrip()[:-1], {}),
    "empty": lambda body: (200, b"", {}),
    "a web page": lambda body: (200, b"<html><body>Search backend failed</body></html>", {}),
    "wrong encoding": lambda body: (200, body.replace(b"</", b"\xe9\xff</", 3), {}),
    "unknown encoding": lambda body: (200, b'<?xml version="1.0" encoding="X-NONE"?>' + body[body.index(b"?>") + 2 :], {}),
    "broken off": lambda body: (200, body[: len(body) // 2], {"Content-Length": str(len(body))}),
    "slow": lambda body: (200, body, {"X-Wait": "1.2"}),
    "an error message": lambda body: (
        200,
        b'<?xml version="1.0" ?>\n<!DOCTYPE eEfetchResult PUBLIC "-//NLM//DTD efetch 20131226//EN" '
        b'"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20131226/efetch.dtd">\n'
        b"<eFetchResult><ERROR>Search Backend failed: read timed out</ERROR></eFetchResult>",
        {},
    ),
}  # fmt: skip


class EntrezServer:
    """Records 1..n under PMIDs that begin at 30,000,001; the search gives them in a shuffled order."""

    def __init__(self, replies: Path, n: int) -> None:
        text = (replies / "pubmed2.xml").read_text(encoding="utf-8")
        self._head = text[: text.index("<PubmedArticle>")]
        template = re.search(r"<PubmedArticle>.*?</PubmedArticle>", text, re.DOTALL)
        assert template is not None
        large = r"<(ArticleIdList|MeshHeadingList|ChemicalList|AuthorList|History)\b.*?</\1>"
        self._template = re.sub(large, "", template[0], flags=re.DOTALL)  # so that 10,000 are parsed in seconds
        self.pmids = [str(30_000_001 + (i * 7919) % n) for i in range(n)]
        self.listed = list(self.pmids)
        """What a search lists; a test may repeat or drop ids."""
        self.withheld: Counter[str] = Counter()
        """How many more times a record is left out of replies."""
        self.faults: list[str] = []
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.base_url = ""

    def reply(self, tool: str, params: dict[str, list[str]]) -> bytes:
        if tool == "esearch":
            ids = self.listed[: int(params["retmax"][0])]
            where = STORED if params.get("usehistory") == ["y"] else ""
            listed = "".join(f"<Id>{i}</Id>" for i in ids)
            return SEARCH.format(n=len(self.listed), where=where, ids=listed).encode()
        if "WebEnv" in params:
            start = int(params["retstart"][0])
            wanted = self.listed[start : start + int(params["retmax"][0])]
        else:
            wanted = params["id"][0].split(",")
        return self.records([i for i in wanted if not self._withholds(i)])

    def records(self, pmids: list[str]) -> bytes:
        bodies = (re.sub(r"(<PMID[^>]*>)\d+", rf"\g<1>{i}", self._template, count=1) for i in pmids)
        return (self._head + "".join(bodies) + "</PubmedArticleSet>").encode()

    def _withholds(self, pmid: str) -> bool:
        self.withheld[pmid] -= 1
        return self.withheld[pmid] >= 0


@contextmanager
def serving(server: EntrezServer) -> Iterator[EntrezServer]:
    """Run the server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            tool, params = parts.path.rsplit("/", 1)[-1].removesuffix(".fcgi"), parse_qs(parts.query)
            server.asked.append((tool, params))
            body = server.reply(tool, params)
            status, headers = 200, {}
            if server.faults:
                status, body, headers = FAULTS[server.faults.pop(0)](body)
            time.sleep(float(headers.pop("X-Wait", 0)))
            try:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # the client went away, as it should from a slow reply

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.base_url = f"http://127.0.0.1:{listener.server_port}/eutils"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
