"""The compute lease: one holder on a small machine, given back by the kernel, free on a larger one.

Every test keeps its lock in a cache folder of its own: the machine's real lease may be in use.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labwright.lease import EXCLUSIVE_UP_TO_CORES, compute_lease

HOLD = """
import sys
from labwright.lease import compute_lease
with compute_lease(cores=int(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
TAKE_TURNS = """
import os, sys, time
from labwright.lease import compute_lease
for _ in range(8):
    with compute_lease(cores=2):
        os.close(os.open(sys.argv[1], os.O_CREAT | os.O_EXCL))  # fails when another is inside
        time.sleep(0.005)
        os.unlink(sys.argv[1])
print("done")
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@contextmanager
def process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another process; ended with the block."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


@pytest.mark.parametrize("cores", range(1, EXCLUSIVE_UP_TO_CORES + 1))
def test_another_process_waits_and_gives_up_at_its_limit(cores: int) -> None:
    with process(HOLD, cores) as child:
        assert said(child) == "held"
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"not free within 0\.3 s"), compute_lease(timeout_s=0.3, cores=cores):
            pass
        assert 0.3 <= time.monotonic() - began < 5
        child.communicate("\n", timeout=20)
        with compute_lease(timeout_s=0, cores=cores):
            pass


def test_a_waiter_without_a_limit_gets_it_when_the_holder_ends() -> None:
    with compute_lease(cores=2), process(HOLD, 2) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1.0)
        waited = child
        os.set_blocking(waited.stdout.fileno(), False)  # type: ignore[union-attr]
        assert not waited.stdout.read()  # type: ignore[union-attr]
    # the block above ends the waiter too; this one outlives the holder
    with compute_lease(cores=2):
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, "2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    assert said(child) == "held"
    child.communicate("\n", timeout=20)
    assert child.returncode == 0
