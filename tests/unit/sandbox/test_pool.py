"""The pool's rules, on a sandbox that makes no containers; what a script sees is in the integration tests."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from labwright.config import SandboxConfig
from labwright.errors import SandboxBroken, WrongUse
from labwright.sandbox import connect
from labwright.sandbox.contract import Job, Limits
from labwright.sandbox.pool import FAILURES, WarmPool

LIMITS = Limits(memory_mib=256)


class Container:
    def __init__(self) -> None:
        self.closed = False

    def alive(self) -> bool:
        return True

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


class Maker:
    """Makes containers that do nothing, or fails."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.made: list[Container] = []
        self.tried = 0
        self.served: list[object] = []

    def container(self, limits: Limits, run_id: str, *, warm: bool) -> Container:
        self.tried += 1
        if self.broken:
            raise SandboxBroken("no memory left")
        self.made.append(Container())
        return self.made[-1]

    def run_in(self, container: Container, job: Job, out_dir: Path, **_: Any) -> str:
        self.served.append(container)
        container.closed = True
        return "warm"

    def run(self, job: Job, out_dir: Path, **_: Any) -> str:
        self.served.append(None)
        return "cold"


def pool_of(maker: Any, size: int = 2, lease: Any = nullcontext) -> WarmPool:
    return WarmPool(maker, LIMITS, size, lease=lease)


def test_it_fills_serves_each_container_once_and_leaves_none(tmp_path: Path) -> None:
    maker = Maker()
    with pool_of(maker) as pool:
        for number in range(3):
            assert pool.wait_full(10)
            assert pool.run(Job(script="", limits=LIMITS), tmp_path / str(number)) == "warm"
        assert pool.run(Job(script="", limits=Limits(memory_mib=512)), tmp_path / "other") == "cold"
        assert pool.wait_full(10)
    served = [made for made in maker.served if made is not None]
    assert len({id(made) for made in served}) == len(served) == 3
    assert all(made.closed for made in maker.made)


def test_containers_that_cannot_be_made_do_not_stop_jobs(tmp_path: Path) -> None:
    maker = Maker(broken=True)
    with pool_of(maker) as pool:
        assert not pool.wait_full(0.5)
        assert pool.run(Job(script="", limits=LIMITS), tmp_path / "out") == "cold"
    assert maker.tried == FAILURES


def test_nothing_is_warmed_while_the_lease_is_held() -> None:
    maker, lease = Maker(), threading.Lock()
    with lease:
        pool = pool_of(maker, lease=lambda: lease)
        assert not pool.wait_full(0.2)
        assert not maker.made
    assert pool.wait_full(10)
    pool.close()


def test_a_lease_that_is_not_free_is_asked_for_again() -> None:
    maker, refusals = Maker(), iter([TimeoutError(), TimeoutError()])

    def lease() -> Any:
        error = next(refusals, None)
        if error is not None:
            raise error
        return nullcontext()

    with pool_of(maker, lease=lease) as pool:
        assert pool.wait_full(10)


def test_a_job_that_cannot_be_run_takes_no_container(tmp_path: Path) -> None:
    maker = Maker()
    with pool_of(maker) as pool:
        assert pool.wait_full(10)
        with pytest.raises(WrongUse, match="no file"):
            pool.run(Job(script="", limits=LIMITS, inputs={"x": tmp_path / "absent"}), tmp_path / "out")
        assert (pool.ready(), maker.served) == (2, [])


@pytest.mark.parametrize(("cores", "asked", "size"), [(2, None, 0), (8, None, 2), (2, 3, 3), (8, 0, 0)])
def test_how_many_wait(monkeypatch: pytest.MonkeyPatch, cores: int, asked: int | None, size: int) -> None:
    class Sandbox(connect.DockerSandbox):
        def __init__(self) -> None: ...

        container = Maker().container  # type: ignore[assignment]

    monkeypatch.setattr("os.cpu_count", lambda: cores)
    with connect.warmed(Sandbox(), SandboxConfig(warm=asked)) as sandbox:
        if size == 0:
            assert isinstance(sandbox, connect.DockerSandbox)
        else:
            assert isinstance(sandbox, WarmPool)
            assert sandbox.wait_full(10)
            assert sandbox.ready() == size
