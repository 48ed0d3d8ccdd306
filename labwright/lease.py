"""One machine-wide lease on the compute of a small machine.

With two cores, one other busy process makes a two-thread llama.cpp generation 10 to 50 times slower: its
threads meet at a spinning barrier while one of them is descheduled. So text generation and sandbox jobs
exclude one another, across processes and runs. On more cores the lease is free.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from labwright.config import cache_dir

EXCLUSIVE_UP_TO_CORES = 2


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
    try:
        held = FileLock(folder / "compute.lock").acquire(timeout=timeout_s)
    except Timeout as error:
        raise TimeoutError(f"the compute lease was not free within {timeout_s:g} s") from error
    with held:
        yield
