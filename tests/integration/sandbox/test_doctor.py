"""The doctor on a real engine: every limit is proven, and one that is not there is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from labwright.config import cache_dir
from labwright.errors import EngineMissing
from labwright.sandbox.connect import connect_engine
from labwright.sandbox.contract import Job, Result
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.doctor import examine

pytestmark = [pytest.mark.docker, pytest.mark.alone]


def labwright(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "labwright.cli", *arguments]
    return subprocess.run(command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True)


def test_every_limit_is_proven_and_the_engine_described(sandbox: DockerSandbox, tmp_path: Path) -> None:
    done = labwright("sandbox", "doctor", "--json", folder=tmp_path)
    told = json.loads(done.stdout)
    assert not [f for f in told["limits"] if not f["proven"]]
    assert (done.returncode, told["holds"], len(told["limits"])) == (0, True, 23)
    engine = told["policy"]["engine"]
    assert engine["runtime"] in engine["runtimes"]
    assert engine["kind"].split()[0] in ("docker", "podman")
    assert engine["cgroup_version"] in ("1", "2")
    assert engine["memory_mib"] > 256


class Lax(DockerSandbox):
    """Gives jobs more than they ask for."""

    def run(self, job: Job, out_dir: Path, *, stop: Event | None = None) -> Result:
        limits = replace(job.limits, pids=256, memory_mib=512, out_mib=48, out_files=200, file_mib=32)
        return super().run(replace(job, limits=limits), out_dir, stop=stop)


def test_limits_that_are_not_those_asked_for_are_found(sandbox: DockerSandbox) -> None:
    lax = Lax(sandbox.address, sandbox.image, cache_dir() / "staging")
    wrong = {f.limit for f in examine(lax, lambda _: None) if not f.proven}
    assert {"processes", "size of /out", "size of /tmp", "artifact count"} <= wrong
    assert not wrong & {"no network", "read-only root", "read-only inputs", "container removed", "orphan sweep"}


def test_a_runtime_that_the_engine_does_not_have_is_named(sandbox: DockerSandbox, tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match=r"no runtime 'absent'; it has .*runc"):
        connect_engine("absent")
    (tmp_path / "labwright.toml").write_text('[sandbox]\nruntime = "absent"\n')
    for command in (("sandbox", "exec", str(tmp_path / "labwright.toml")), ("datasets", "verify", "gse7390")):
        done = labwright(*command, folder=tmp_path)
        assert done.returncode == 4
        assert "no runtime 'absent'" in done.stderr
    whole = labwright("doctor", "--json", folder=tmp_path)
    part = next(f for f in json.loads(whole.stdout) if f["part"] == "sandbox")
    assert "no runtime 'absent'" in part["detail"]


def test_a_runtime_by_its_name_is_the_one_that_is_used(sandbox: DockerSandbox, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("print('ran')\n")
    name = sandbox.engine.default_runtime
    done = labwright("sandbox", "exec", "script.py", folder=tmp_path, LABWRIGHT_SANDBOX_RUNTIME=name)
    assert json.loads(done.stdout)["stdout"] == "ran\n"
    assert connect_engine(name).policy()["isolation"].endswith(f"+{name}")
