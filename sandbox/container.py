"""One container for one job: made, started and attached ahead of the job, filled, run, emptied, removed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from docker import APIClient
from docker.errors import APIError, NotFound

from labwright.errors import SandboxBroken
from labwright.sandbox.address import API_LIMIT_S
from labwright.sandbox.contract import Job, Limits, OutputFile
from labwright.sandbox.execution import Ending, Execution
from labwright.sandbox.link import Link
from labwright.sandbox.staging import ReadWatch, Stage, empty_stage, fill
from labwright.sandbox.takeout import OverCap, take

CONFLICT = 409
SERVER_ERROR = 500
FREEZE_WAITS_S = (0.2, 0.5, 1.0, 2.0)
"""Waits before a container is frozen again that the engine could not freeze."""
COLD = ["python3", "-I", "-S", "/opt/labwright/supervisor.py", "container", "cold"]
WARM = [*COLD[:-1], "warm"]
READY = b"ready\n"
READY_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What came of a job in its container."""

    ending: Ending
    outputs: tuple[OutputFile, ...]
    inputs_read: tuple[str, ...]


class JobContainer:
    """A started container whose process 1 waits for a script; it takes one job and is removed with it."""

    def __init__(self, api: APIClient, staging: Path, limits: Limits) -> None:
        """Make the folders that the container will see; :meth:`start` is next."""
        self.api = api
        self.limits = limits
        self._end = ExitStack()
        self._end.enter_context(closing(api))
        self.stage: Stage = self._end.enter_context(empty_stage(staging))
        self.id = ""
        self._link: Link

    def start(self, settings: dict[str, Any]) -> None:
        """Create the container with these arguments of the engine's client, attach to it and start it.

        Raises:
            SandboxBroken: the engine warns that it cannot enforce a limit.
        """
        created = self.api.create_container(**settings)
        self.id = str(created["Id"])
        self._end.callback(self._remove)
        if created.get("Warnings"):
            # An engine may accept a limit that it cannot enforce, and say so here only.
            raise SandboxBroken(f"the engine warns: {'; '.join(created['Warnings'])}")
        self._link = Link(self.api, self.id)
        self._end.callback(self._link.close)
        self.api.start(self.id)

    def await_ready(self) -> None:
        """Wait until the analysis stack is imported.

        Raises:
            SandboxBroken: it could not be.
        """
        seen = b""
        for frame in self._link.frames(time.monotonic() + READY_S):
            seen += frame[1] if frame else b""
            if seen == READY:
                return
        raise SandboxBroken(f"a container could not be warmed: {seen.decode(errors='replace').strip()[-300:]}")

    def alive(self) -> bool:
        """Process 1 still waits."""
        return next(self._link.frames(time.monotonic() + 1e-3), b"") is None  # silent, and not hung up

    def run(self, job: Job, out_dir: Path, stop: Event | None) -> Ended:
        """Run the one job and remove the container, whatever happens."""
        outputs: tuple[OutputFile, ...] = ()
        with ExitStack() as watching:
            with self:
                fill(self.stage, job)
                watch = watching.enter_context(ReadWatch(self.stage.inputs))
                ending = Execution(self.api, self.id, self._link, job.limits).run(stop)
                if ending.cause == "exit":
                    ending, outputs = self._take(out_dir, ending)
            # The container is gone: no later read can be missed.
            return Ended(ending=ending, outputs=outputs, inputs_read=watch.names())

    def _take(self, out_dir: Path, ending: Ending) -> tuple[Ending, tuple[OutputFile, ...]]:
        """Freeze the container, then take its files."""
        try:
            self._freeze()
        except APIError as error:
            if error.response is not None and error.response.status_code == CONFLICT:
                return replace(ending, cause="died", exit_code=None), ()
            raise
        try:
            with self._archive() as stream:
                return ending, take(stream, out_dir, self.limits)
        except OverCap:
            return replace(ending, cause="artifact_cap"), ()

    def _freeze(self) -> None:
        """Freeze the container; on a loaded machine the kernel may not be done in the engine's time: then again."""
        for wait in FREEZE_WAITS_S:
            try:
                self.api.pause(self.id)
            except APIError as error:
                if error.response is None or error.response.status_code != SERVER_ERROR:
                    raise
                time.sleep(wait)
            else:
                return
        self.api.pause(self.id)

    @contextmanager
    def _archive(self) -> Iterator[Any]:
        url = f"{self.api.base_url}/v{self.api.api_version}/containers/{self.id}/archive"
        plain = {"Accept-Encoding": "identity"}
        response = self.api.get(url, params={"path": "/out/."}, headers=plain, stream=True, timeout=API_LIMIT_S)
        try:
            response.raise_for_status()
            yield response.raw
        finally:
            # An unread stream holds the container in the engine until it is closed.
            response.close()

    def _remove(self) -> None:
        with suppress(NotFound):
            self.api.remove_container(self.id, force=True, v=True)

    def __enter__(self) -> JobContainer:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()
