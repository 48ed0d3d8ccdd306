"""One script in one started container: its output up to a cap, its end, and what ended it."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from docker import APIClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from labwright.sandbox import settings
from labwright.sandbox.contract import Cause, Limits
from labwright.sandbox.link import STDERR, STDOUT, Link, Stream

TAIL_BYTES = 16 << 10
WORD_BYTES = 256
"""Longest last word of process 1."""
KILLED = 137
_WORD = re.compile(rb"\0([0-9a-f]+) ended (\d+) (\d+) (\d+)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the script ended."""

    cause: Cause
    """What ended it."""
    exit_code: int | None
    """Its exit code when it ended by itself."""
    stdout: str
    """Tail of standard output."""
    stderr: str
    """Tail of standard error."""
    duration_s: float
    """Seconds from its start to its end."""
    first_output_at: float | None
    """Monotonic time of the first byte of output, None when there was none."""
    peak_memory_mib: float | None
    """Peak memory of the container, None when the control group does not tell."""


class Tail:
    """Counts a stream and keeps its last bytes."""

    def __init__(self, keep: int = TAIL_BYTES) -> None:
        self._keep = keep
        self._kept = b""
        self.total = 0
        """Bytes seen."""

    def add(self, data: bytes | None) -> None:
        """Append data; None is nothing."""
        if data:
            self.total += len(data)
            self._kept = (self._kept + data)[-self._keep - WORD_BYTES :]

    def word(self, secret: bytes) -> tuple[int, ...] | None:
        """The numbers of process 1's last word when it has come; it is no part of the output and is cut off."""
        at = self._kept.rfind(b"\0" + secret)
        match = _WORD.fullmatch(self._kept, at) if at >= 0 else None
        if match is None:
            return None
        self.total -= len(match[0])
        self._kept = self._kept[:at]
        return tuple(int(part) for part in match.groups()[1:])

    def text(self) -> str:
        """What was kept, undecodable bytes replaced."""
        return self._kept[-self._keep :].decode("utf-8", errors="replace")


class Execution:
    """The run of one script."""

    def __init__(self, api: APIClient, container: str, link: Link, limits: Limits) -> None:
        """Bind a container whose process 1 waits for the secret on `link`."""
        self._api = api
        self._container = container
        self._link = link
        self._limits = limits
        self._secret = secrets.token_hex(16).encode()
        self._tails: dict[Stream, Tail] = {STDOUT: Tail(), STDERR: Tail()}
        self._words: dict[Stream, tuple[int, ...]] = {}
        self._first_at: float | None = None

    def run(self, stop: Event | None) -> Ending:
        """Execute the script until it ends or is ended."""
        begin = time.monotonic()
        with suppress(OSError):  # process 1 is dead: the end of the streams says so
            self._link.send(self._secret)
        killed_for = self._follow(begin + self._limits.wall_s, stop)
        duration = time.monotonic() - begin
        if killed_for is not None:
            self._kill()
            return self._ending(killed_for, duration)
        if len(self._words) < len(self._tails):
            return self._ending("oom" if self._was_oom_killed() else "died", duration)
        code, peak, kills = self._words[STDOUT]
        peak_mib = round(peak / settings.MIB, 1) if peak else None
        if code == KILLED and kills:
            return self._ending("oom", duration, peak=peak_mib)
        return self._ending("exit", duration, code=code, peak=peak_mib)

    def _follow(self, deadline: float, stop: Event | None) -> Cause | None:
        """Read to the last word or the end of the streams; what the script must be killed for."""
        cap = self._limits.log_kib << 10
        for frame in self._link.frames(deadline):
            if stop is not None and stop.is_set():
                return "stopped"
            if frame is None:
                continue
            stream, data = frame
            tail = self._tails[stream]
            tail.add(data)
            word = tail.word(self._secret)
            if word is not None:
                self._words[stream] = word
            if tail.total > cap:
                return "output_cap"
            if self._first_at is None and tail.total:
                self._first_at = time.monotonic()
            if len(self._words) == len(self._tails):
                return None
        return "wall" if time.monotonic() >= deadline else None

    def _kill(self) -> None:
        """Kill the container from outside, and so every process in it."""
        self._link.close()  # the engine waits for the reader of a stream, also before it removes
        # Gone already, or the removal that follows reports what is wrong.
        with suppress(DockerException, RequestException):
            self._api.kill(self._container)

    def _was_oom_killed(self) -> bool:
        self._api.wait(self._container)  # the engine knows why only when it has seen the end
        return bool(self._api.inspect_container(self._container)["State"].get("OOMKilled"))

    def _ending(self, cause: Cause, duration: float, *, code: int | None = None, peak: float | None = None) -> Ending:
        return Ending(
            cause=cause,
            exit_code=code,
            stdout=self._tails[STDOUT].text(),
            stderr=self._tails[STDERR].text(),
            duration_s=duration,
            first_output_at=self._first_at,
            peak_memory_mib=peak,
        )
