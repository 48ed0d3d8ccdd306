"""Fetch one archive of a package index by its file name and pinned sha256, without running any of it.

The index that pip is configured for is asked (`PIP_INDEX_URL`, `PIP_EXTRA_INDEX_URL`, `PIP_CERT`, `PIP_FIND_LINKS`,
pip.conf), so a mirror or a certificate needs no second setting. pip itself is not used for the download:
it would run the build script of a source archive to learn its metadata.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

import httpx

from labwright.errors import HashMismatch, SourceUnavailable
from labwright.packages import sha256_of
from labwright.tools.download import download

DEFAULT_INDEX = "https://pypi.org/simple"
TIMEOUT_S = 120.0
MAX_MIB = 2048.0
"""Largest archive, MiB; the catalogue's largest has a tenth of it."""


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hrefs += [value for name, value in attrs if tag == "a" and name == "href" and value]


def pip_settings() -> dict[str, str]:
    """Pip's settings from its files and its environment variables, by long option name.

    Returns:
        Option to value, the environment over the files.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        if key.startswith(("global.", "download.", "install.")):
            settings[key.split(".", 1)[1]] = value.strip().strip("'\"")
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            settings[name[4:].lower().replace("_", "-")] = value
    return settings


def fetch_archive(package: str, archive: str, sha256: str, folder: Path) -> Path:
    """Fetch an archive into a folder, unless it is there already; a broken download is resumed.

    Args:
        package: name in the index.
        archive: file name of the wheel or source archive.
        sha256: pinned digest of the file.
        folder: where archives are kept.

    Returns:
        Path of the archive.

    Raises:
        HashMismatch: the index serves another file under that name.
        DownloadTooLarge: the archive is larger than `MAX_MIB`.
        SourceUnavailable: no configured index answers, or none holds the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / archive
    if target.is_file() and sha256_of(target) == sha256:
        return target
    settings = pip_settings()
    url = _locate(package, archive, settings)
    if not url.startswith("file:"):
        return download(url, target, max_mib=MAX_MIB, sha256=sha256, client=lambda: _client(settings))
    if sha256_of(_local(url)) != sha256:
        raise HashMismatch(f"{archive}: the package index serves a file with another sha256 than the pinned one")
    part = target.with_name(archive + ".part")
    part.write_bytes(_local(url).read_bytes())
    return part.replace(target)


def _locate(package: str, archive: str, settings: dict[str, str]) -> str:
    for place in settings.get("find-links", "").split():
        candidate = Path(place) / archive
        if "://" not in place and candidate.is_file():
            return candidate.resolve().as_uri()
    indexes = [settings.get("index-url", DEFAULT_INDEX), *settings.get("extra-index-url", "").split()]
    if "no-index" in settings and settings["no-index"].lower() not in ("0", "false", "no", "off"):
        indexes = []
    errors: list[str] = []
    for index in indexes:
        page = f"{index.rstrip('/')}/{package.lower().replace('_', '-')}/"
        try:
            links = _page_links(page, settings)
        except (httpx.HTTPError, OSError) as error:
            errors.append(f"{urlsplit(page).hostname or page}: {type(error).__name__}")
            continue
        for link in links:
            if unquote(urlsplit(link).path).rsplit("/", 1)[-1] == archive:
                return link.split("#", 1)[0]
    why = "; ".join(errors) or "no configured index lists it"
    raise SourceUnavailable(f"{archive} cannot be found ({why}); check the network or PIP_INDEX_URL")


def _page_links(page: str, settings: dict[str, str]) -> list[str]:
    parser = _Links()
    if page.startswith("file:"):
        folder = _local(page)
        index = folder / "index.html"
        if not index.is_file():
            return [path.resolve().as_uri() for path in folder.iterdir()]
        parser.feed(index.read_text(encoding="utf-8"))
        return [urljoin(index.resolve().as_uri(), href) for href in parser.hrefs]
    with _client(settings) as client:
        answer = client.get(page, headers={"Accept": "text/html"}).raise_for_status()
    parser.feed(answer.text)
    return [urljoin(str(answer.url), href) for href in parser.hrefs]


def _client(settings: dict[str, str]) -> httpx.Client:
    context = ssl.create_default_context(cafile=settings.get("cert"))
    return httpx.Client(verify=context, timeout=TIMEOUT_S, follow_redirects=True, proxy=settings.get("proxy"))


def _local(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))
