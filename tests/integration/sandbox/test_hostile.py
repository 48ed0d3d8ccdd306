"""Hostile jobs whose exact result matters; test_attacks.py has the others.

Every payload runs inside the container only, and is bounded by itself as well.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from labwright.config import cache_dir
from labwright.sandbox.address import find_engine
from labwright.sandbox.contract import Job, Limits, Result
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.owner import OWNER_LABEL, RUN_LABEL, Owner, sweep
from labwright.sandbox.probe import probe

pytestmark = pytest.mark.docker
LIMITS: dict[str, Any] = {"wall_s": 20.0, "memory_mib": 192, "pids": 24, "cpus": 1.0}
LIMITS |= {"out_mib": 4, "out_files": 8, "file_mib": 8, "log_kib": 64}


def attack(sandbox: DockerSandbox, out: Path, script: str, **limits: Any) -> Result:
    result = sandbox.run(Job(script=script, limits=Limits(**(LIMITS | limits))), out)
    with closing(find_engine().client()) as client:
        mine: dict[str, Any] = {"label": f"{OWNER_LABEL}={Owner.current()}"}
        assert not client.containers.list(all=True, filters=mine)
        assert not client.volumes.list(filters=mine)
    return result


def test_probe_passes(sandbox: DockerSandbox) -> None:
    facts = probe(sandbox)
    assert facts["interfaces"] == ["lo"]
    assert facts["inputs_read_observable"]


def test_wall_limit_ends_a_script_that_ignores_signals(sandbox: DockerSandbox, tmp_path: Path) -> None:
    script = (
        "import signal, time\n"
        "for name in ('TERM', 'INT', 'HUP'): signal.signal(getattr(signal, 'SIG' + name), signal.SIG_IGN)\n"
        "print('started', flush=True)\nopen('x', 'w').write('x')\ntime.sleep(60)\n"
    )
    result = attack(sandbox, tmp_path / "out", script, wall_s=2.0)
    assert (result.cause, result.exit_code, result.outputs) == ("wall", None, ())
    assert result.stdout == "started\n"
    assert result.total_s < 30


def test_memory_bomb(sandbox: DockerSandbox, tmp_path: Path) -> None:
    result = attack(sandbox, tmp_path / "out", "held = []\nwhile len(held) < 600: held.append(bytearray(1 << 20))\n")
    assert (result.cause, result.exit_code) == ("oom", None)


def test_own_sigkill_is_no_oom(sandbox: DockerSandbox, tmp_path: Path) -> None:
    result = attack(sandbox, tmp_path / "out", "import os\nos.kill(os.getpid(), 9)\n")
    assert (result.cause, result.exit_code) == ("exit", 137)


def test_killing_everything_leaves_process_1(sandbox: DockerSandbox, tmp_path: Path) -> None:
    result = attack(sandbox, tmp_path / "out", "import os\nos.kill(1, 9); os.kill(1, 15)\nos.kill(-1, 9)\n")
    # kill(-1) spares its caller, which then finds no other process
    assert (result.cause, result.exit_code) == ("exit", 1)
    assert "ProcessLookupError" in result.stderr


def test_output_flood(sandbox: DockerSandbox, tmp_path: Path) -> None:
    script = "import sys\nfor _ in range(1000): sys.stdout.write('x' * 65536)\n"
    result = attack(sandbox, tmp_path / "out", script)
    assert (result.cause, result.exit_code) == ("output_cap", None)
    assert len(result.stdout) == 16 << 10


@pytest.mark.parametrize(
    "script",
    [
        "for n in range(20): open(f'f{n}', 'w').write('x')\n",
        "for n in range(8):\n    with open(f'f{n}', 'wb') as file: file.truncate(8 << 20)\n",
    ],
    ids=["files", "sparse bytes"],
)
def test_artifact_cap(sandbox: DockerSandbox, tmp_path: Path, script: str) -> None:
    result = attack(sandbox, tmp_path / "out", script)
    assert (result.cause, result.exit_code, result.outputs) == ("artifact_cap", 0, ())
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.alone  # whoever connects sweeps too
def test_orphans_of_a_killed_client_are_swept(sandbox: DockerSandbox, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from labwright.sandbox.connect import connect\nfrom labwright.sandbox.contract import Job\n"
        "connect().run(Job(script='import time; time.sleep(60)', run_id=sys.argv[2]), Path(sys.argv[1]))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out"), tmp_path.name])
    with closing(find_engine().client()) as client:
        orphan: dict[str, Any] = {"label": f"{RUN_LABEL}={tmp_path.name}"}
        deadline = time.monotonic() + 60
        while not client.containers.list(filters=orphan) and time.monotonic() < deadline:
            time.sleep(0.1)
        sweep(client, cache_dir() / "staging")
        assert client.containers.list(filters=orphan), "a living owner's container must stay"
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert client.containers.list(filters=orphan)
        assert sweep(client, cache_dir() / "staging") >= 1
        assert not client.containers.list(all=True, filters=orphan)
        assert not client.volumes.list(filters=orphan)
    left = [Owner.parse(path.name) for path in (cache_dir() / "staging").iterdir()]
    assert child.pid not in {owner.pid for owner in left if owner is not None}
