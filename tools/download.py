"""Downloads of data files: resumed where they broke off, capped in size, checked by sha256."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import httpx

from labwright.errors import DownloadTooLarge, HashMismatch, SourceUnavailable
from labwright.packages import sha256_of

TRIES: Final = 5
"""Times that a download may break off before it is given up."""
TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
Client = Callable[[], AbstractContextManager[httpx.Client]]


def plain_client() -> httpx.Client:
    """A client that follows redirects and waits with limits."""
    return httpx.Client(timeout=TIMEOUT, follow_redirects=True)


def download(url: str, target: Path, *, max_mib: float, sha256: str = "", client: Client = plain_client) -> Path:
    """Fetch a file; what an earlier, broken download left beside it is completed, not fetched again.

    Args:
        url: http or https address.
        target: where the file belongs; `<name>.part` beside it holds what has arrived.
        max_mib: largest size, MiB; checked before and while the file comes.
        sha256: pinned digest; empty checks the length only.
        client: opens the connection.

    Returns:
        `target`.

    Raises:
        DownloadTooLarge: the file is larger than the limit.
        HashMismatch: the whole file is not the pinned one, fetched from the start once more.
        SourceUnavailable: the server does not answer, does not have the file, or breaks off again and again.
    """
    if target.is_file() and (not sha256 or sha256_of(target) == sha256):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for _ in range(2 if sha256 else 1):
        _complete(url, part, int(max_mib * 2**20), client)
        if not sha256 or sha256_of(part) == sha256:
            return part.replace(target)
        part.unlink()  # a resumed file may be a mixture: once more from the start
    raise HashMismatch(f"{target.name}: the server has a file with another sha256 than the pinned one")


def _complete(url: str, part: Path, most: int, client: Client) -> None:
    error: Exception | None = None
    left = TRIES
    while left:
        before = _size(part)
        try:
            if _receive(url, part, most, client):
                return
        except httpx.HTTPStatusError as refused:
            code = refused.response.status_code
            raise SourceUnavailable(f"{part.stem}: the server answered {code}") from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL, httpx.UnsupportedProtocol) as refused:
            raise SourceUnavailable(f"{part.stem}: no connection ({type(refused).__name__})") from None
        except httpx.HTTPError as broken:
            error = broken
        left = TRIES if _size(part) > before else left - 1
    why = type(error).__name__ if error else "length differs from what was told"
    raise SourceUnavailable(f"{part.stem}: the download broke off ({why}); try again, it will be resumed")


def _receive(url: str, part: Path, most: int, client: Client) -> bool:
    """One request; whether the file is whole now."""
    have = _size(part)
    mark = part.with_name(part.name + ".etag")
    etag = mark.read_text(encoding="utf-8") if have and mark.is_file() else ""
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if etag:
            headers["If-Range"] = etag  # a file that changed is sent whole, not continued
    with client() as opened, opened.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if _told(answer.headers.get("Content-Range", "")) == have:
                mark.unlink(missing_ok=True)
                return True
            part.unlink()
            return False
        answer.raise_for_status()
        found = _RANGE.match(answer.headers.get("Content-Range", "")) if answer.status_code == 206 else None
        resumed = bool(found and int(found[1]) == have)
        length = answer.headers.get("Content-Length", "")
        whole = (have if resumed else 0) + int(length) if length.isdecimal() else None
        _check_size(part, whole or 0, most)
        mark.write_text(answer.headers.get("ETag", ""), encoding="utf-8")
        _append(answer, part, have if resumed else 0, most)
    if whole is not None and _size(part) != whole:
        return False
    mark.unlink(missing_ok=True)
    return True


def _append(answer: httpx.Response, part: Path, start: int, most: int) -> None:
    with part.open("ab" if start else "wb") as file:
        for chunk in answer.iter_raw():  # as they come: what a chunk size would hold back is lost at a break
            start += len(chunk)
            _check_size(part, start, most)
            file.write(chunk)


def _check_size(part: Path, size: int, most: int) -> None:
    if size > most:
        raise DownloadTooLarge(f"{part.stem}: larger than the {most / 2**20:g} MiB that are allowed")


def _told(content_range: str) -> int:
    size = content_range.rpartition("/")[2]
    return int(size) if size.isdecimal() else -1


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
