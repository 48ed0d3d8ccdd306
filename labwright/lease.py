"""One machine-wide lease on the compute of a small machine.

With two cores, one other busy process makes a two-thread llama.cpp generation 10 to 50 times slower: its
threads meet at a spinning barrier while one of them is descheduled. So text generation and sandbox jobs
exclude one another, across processes and runs. On more cores the lease is free.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event
from typing import Any

from filelock import FileLock, Timeout

from labwright.config import cache_dir

EXCLUSIVE_UP_TO_CORES = 2
LOOK_S = 0.5
"""How often a wait looks whether it is to be given up."""
_STOPPED = Event()


def lease_is_exclusive(cores: int | None = None) -> bool:
    """Whether one holder at a time has the compute of a machine of so many cores, of this one when None."""
    return (cores if cores is not None else os.cpu_count() or 1) <= EXCLUSIVE_UP_TO_CORES


@contextmanager
def compute_lease(*, timeout_s: float = -1.0, cores: int | None = None) -> Iterator[None]:
    """Hold the machine's compute; waits for another holder, for ever when `timeout_s` is negative.

    The lock is the kernel's (flock): a holder that is killed gives it back.

    Raises:
        TimeoutError: another holder kept it for `timeout_s` seconds.
    """
    if not lease_is_exclusive(cores):
        yield
        return
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    # A stream of text is begun by one thread and ended by another, which has to be able to give the lease back.
    with _acquired(FileLock(folder / "compute.lock", thread_local=False), timeout_s):
        yield


def stop_waiting() -> None:
    """Let every wait of this process for the lease end as an interrupt does, those of other threads too.

    A signal reaches the main thread alone; a worker that waits for another run's model would hold up the end.
    """
    _STOPPED.set()


def stopping() -> bool:
    """Whether :func:`stop_waiting` was called: long work of this process's threads ends as well."""
    return _STOPPED.is_set()


def _acquired(lock: FileLock, timeout_s: float) -> AbstractContextManager[Any]:
    end = time.monotonic() + timeout_s if timeout_s >= 0 else math.inf
    while not _STOPPED.is_set():
        left = end - time.monotonic()
        try:
            return lock.acquire(timeout=max(0.0, min(LOOK_S, left)))
        except Timeout as error:
            if left <= LOOK_S:
                raise TimeoutError(f"the compute lease was not free within {timeout_s:g} s") from error
    raise KeyboardInterrupt
