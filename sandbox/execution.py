"""One script in one started container: its output up to a cap, its end, and what ended it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from docker import APIClient
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from labwright.errors import SandboxBroken
from labwright.sandbox import settings
from labwright.sandbox.contract import Cause, Limits

TAIL_BYTES = 16 << 10
COMMAND = ["python3", "/work/script.py"]
KILLED = 137
NEAR_LIMIT = 0.97


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
    peak_memory_mib: float | None
    """Peak memory of the container, None when the engine does not tell."""


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
            self._kept = (self._kept + data)[-self._keep :]

    def text(self) -> str:
        """What was kept, undecodable bytes replaced."""
        return self._kept.decode("utf-8", errors="replace")


class Execution:
    """The run of one script."""

    def __init__(self, api: APIClient, container: str, limits: Limits, new_api: Callable[[], APIClient]) -> None:
        self._api = api
        self._container = container
        self._limits = limits
        self._new_api = new_api
        self._stdout = Tail()
        self._stderr = Tail()
        self._killed_for: Cause | None = None
        self._ended = False
        self._lock = threading.Lock()

    def run(self) -> Ending:
        """Execute the script until it ends or is ended."""
        api = self._api
        since = time.time()
        job = api.exec_create(self._container, COMMAND, user=settings.USER, workdir="/out")["Id"]
        timer = threading.Timer(self._limits.wall_s, self._kill, args=("wall",))
        timer.daemon = True
        begin = time.monotonic()
        timer.start()
        try:
            self._follow(job)
        finally:
            timer.cancel()
            duration = time.monotonic() - begin
        with self._lock:  # a timer that has fired finishes first, a later one does nothing
            self._ended = True
            killed_for = self._killed_for
        if killed_for is not None:
            return self._ending(killed_for, None, duration, None)
        return self._natural_end(job, since, duration)

    def _follow(self, job: str) -> None:
        cap = self._limits.log_kib << 10
        stream = self._api.exec_start(job, stream=True, demux=True)
        over = False
        try:
            for out, err in stream:
                self._stdout.add(out)
                self._stderr.add(err)
                over = self._stdout.total > cap or self._stderr.total > cap
                if over:
                    break
        finally:
            with suppress(OSError):  # the engine waits for an unread stream, so close it before any kill
                stream.close()
        if over:
            self._kill("output_cap")

    def _kill(self, cause: Cause) -> None:
        """Kill the container from outside; the engine cannot kill one execution."""
        with self._lock:
            if self._killed_for is not None or self._ended:
                return
            self._killed_for = cause
            try:
                with closing(self._new_api()) as api:
                    api.kill(self._container)
            except (DockerException, RequestException):
                # Gone already, or the removal that follows reports what is wrong.
                return

    def _natural_end(self, job: str, since: float, duration: float) -> Ending:
        state = self._api.inspect_container(self._container)["State"]
        if not state.get("Running"):
            return self._ending("oom" if state.get("OOMKilled") else "died", None, duration, None)
        code = self._exit_code(job)
        memory = self._memory()
        peak = memory.get("max_usage")
        peak_mib = round(peak / settings.MIB, 1) if peak else None
        if code == KILLED and (self._oom_event(since) or self._was_full(memory)):
            return self._ending("oom", None, duration, peak_mib)
        return self._ending("exit", code, duration, peak_mib)

    def _exit_code(self, job: str) -> int:
        for _ in range(100):
            answer = self._api.exec_inspect(job)
            if not answer["Running"] and answer["ExitCode"] is not None:
                return int(answer["ExitCode"])
            time.sleep(0.02)
        raise SandboxBroken("the script's output ended but the engine says that it still runs")

    def _memory(self) -> dict[str, Any]:
        try:
            stats = self._api.stats(self._container, stream=False, one_shot=True)
        except APIError:
            return {}
        return dict(stats.get("memory_stats") or {})

    def _was_full(self, memory: dict[str, Any]) -> bool:
        limit = self._limits.memory_mib * settings.MIB
        return bool(memory.get("max_usage", 0) >= NEAR_LIMIT * limit)

    def _oom_event(self, since: float) -> bool:
        """Whether the engine reported that the kernel killed for memory."""
        filters = {"container": [self._container], "event": ["oom"]}
        # The engine takes whole seconds; it answers when `until` has come.
        until = int(time.time() + 0.2) + 1
        stream = self._api.events(since=int(since) - 1, until=until, filters=filters, decode=True)
        try:
            return any(True for _ in stream)
        finally:
            stream.close()

    def _ending(self, cause: Cause, code: int | None, duration: float, peak: float | None) -> Ending:
        return Ending(
            cause=cause,
            exit_code=code,
            stdout=self._stdout.text(),
            stderr=self._stderr.text(),
            duration_s=duration,
            peak_memory_mib=peak,
        )
