"""Containers started and imported ahead of need, each for one job.

A job that finds one waiting saves the start of the container and the import of the analysis stack; one that finds none
gets a new container. A container is never used twice, and one that died while it waited is passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any

from labwright.errors import SandboxBroken
from labwright.lease import compute_lease
from labwright.sandbox.container import JobContainer
from labwright.sandbox.contract import Job, Limits, Result
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.engine_info import engine_errors
from labwright.sandbox.staging import check

FAILURES = 3
"""So many containers that could not be warmed, one after the other, end the refilling."""
LEASE_S = 1.0
"""Longest wait for the lease before it is looked whether the pool is being closed."""


def soon() -> AbstractContextManager[None]:
    """The compute lease, when it can be had soon."""
    return compute_lease(timeout_s=LEASE_S)


class WarmPool:
    """A sandbox that keeps `size` warm containers for jobs of certain limits; other jobs pass through."""

    def __init__(
        self,
        sandbox: DockerSandbox,
        limits: Limits,
        size: int,
        *,
        lease: Callable[[], AbstractContextManager[Any]] = soon,
    ) -> None:
        """Begin to fill the pool in the background.

        Args:
            sandbox: makes the containers.
            limits: what waiting containers are made for.
            size: how many wait, at least 1.
            lease: held while a container is being warmed; TimeoutError when it cannot be had soon.
        """
        self._sandbox = sandbox
        self._limits = limits
        self._size = size
        self._lease = lease
        self._waiting: list[JobContainer] = []
        self._changed = Condition()
        self._closing = Event()
        self._failed = 0
        self.served = 0
        """Jobs that found a warm container."""
        self._filler = Thread(target=self._fill, name="labwright-warm-pool", daemon=True)
        self._filler.start()

    def run(self, job: Job, out_dir: Path, *, stop: Event | None = None) -> Result:
        """Run `job` in a waiting container if there is one for its limits, else in a new one.

        Raises:
            WrongUse: the job or `out_dir` is not acceptable.
            SandboxBroken: the sandbox failed; nothing is known about the script.
        """
        check(job, out_dir)
        begin = time.monotonic()
        container = self._take() if job.limits == self._limits else None
        if container is None:
            return self._sandbox.run(job, out_dir, stop=stop)
        self.served += 1
        return self._sandbox.run_in(container, job, out_dir, stop=stop, begin=begin)

    def policy(self) -> dict[str, Any]:
        """The isolation in force, as a JSON-ready mapping; a warm container has the same."""
        return self._sandbox.policy() | {"warm_containers": self._size}

    def ready(self) -> int:
        """How many containers wait."""
        with self._changed:
            return len(self._waiting)

    def wait_full(self, timeout_s: float) -> bool:
        """Wait until as many containers wait as there are to be; false when they are not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._waiting) >= self._size, timeout_s)

    def close(self) -> None:
        """Remove every waiting container and stop refilling."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._filler.join()
        for container in self._waiting:
            _discard(container)
        self._waiting.clear()

    def _take(self) -> JobContainer | None:
        while True:
            with self._changed:
                if not self._waiting:
                    return None
                container = self._waiting.pop(0)
                self._changed.notify_all()
            if container.alive():
                return container
            _discard(container)

    def _fill(self) -> None:
        while not self._closing.is_set() and self._failed < FAILURES:
            with self._changed:
                if len(self._waiting) >= self._size:
                    self._changed.wait()
                    continue
            with suppress(TimeoutError):  # the lease was not free; look again whether there is still need
                self._add()

    def _add(self) -> None:
        with self._lease():
            if self._closing.is_set():
                return
            try:
                container = self._sandbox.container(self._limits, "warm", warm=True)
            except SandboxBroken:
                self._failed += 1  # jobs still run in new containers, and say themselves what is wrong
                return
        self._failed = 0
        with self._changed:
            self._waiting.append(container)
            self._changed.notify_all()

    def __enter__(self) -> WarmPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _discard(container: JobContainer) -> None:
    with engine_errors("removing a container"), container:
        pass
