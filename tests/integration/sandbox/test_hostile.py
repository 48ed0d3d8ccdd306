"""Hostile jobs. Every payload runs inside the container only, and is bounded by itself as well."""

from __future__ import annotations

import signal
import socket
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


def test_fork_bomb(sandbox: DockerSandbox, tmp_path: Path) -> None:
    script = (
        "import os, time\ncount = 0\n"
        "try:\n    while count < 500:\n"
        "        if os.fork() == 0: time.sleep(5); os._exit(0)\n"
        "        count += 1\n"
        "except OSError as error: print(error.errno == 11)\n"
        "print(count)\nos.kill(-1, 9)\n"
    )
    result = attack(sandbox, tmp_path / "out", script)
    held, count = result.stdout.split()
    assert held == "True"
    assert int(count) < LIMITS["pids"]


def test_disk_fill(sandbox: DockerSandbox, tmp_path: Path) -> None:
    script = (
        "import errno\n"
        "def fill(place, limit):\n"
        "    done = 0\n"
        "    try:\n"
        "        for number in range(limit):\n"
        "            with open(f'{place}/f{number}', 'wb') as file: file.write(bytes(1 << 20)); done += 1\n"
        "    except OSError as error: print(place, done, errno.errorcode[error.errno])\n"
        "fill('/out', 40)\n"
        "import os\n"
        "for name in os.listdir('/out'): os.remove('/out/' + name)\n"
        "try:\n"
        "    for number in range(2000): open(f'/dev/shm/{number}', 'w').close()\n"
        "except OSError as error: print('/dev/shm', number, errno.errorcode[error.errno])\n"
        "try:\n    open('/tmp/big', 'wb').truncate(1 << 40)\n"
        "except OSError as error: print('sparse', 1, errno.errorcode[error.errno])\n"
    )
    script = "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + script
    result = attack(sandbox, tmp_path / "out", script)
    seen = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in seen] == ["/out", "/dev/shm", "sparse"], result
    assert [line[2] for line in seen] == ["ENOSPC", "ENOSPC", "EFBIG"]
    assert int(seen[0][1]) <= LIMITS["out_mib"]


def test_output_flood(sandbox: DockerSandbox, tmp_path: Path) -> None:
    script = "import sys\nfor _ in range(1000): sys.stdout.write('x' * 65536)\n"
    result = attack(sandbox, tmp_path / "out", script)
    assert (result.cause, result.exit_code) == ("output_cap", None)
    assert len(result.stdout) == 16 << 10


def test_no_network(sandbox: DockerSandbox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        script = (
            "import socket, errno\n"
            f"targets = ((socket.AF_INET, ('127.0.0.1', {port})), (socket.AF_UNIX, '\\0labwright-test'))\n"
            "for kind, where in targets:\n"
            "    try: socket.socket(kind).connect(where); print('HOLE')\n"
            "    except OSError as error: print(errno.errorcode[error.errno])\n"
            "print(open('/proc/net/dev').read().count(':'))\n"
            "try: socket.socket(40, socket.SOCK_STREAM); print('HOLE')\n"
            "except OSError as error: print(errno.errorcode[error.errno])\n"
        )
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind("\0labwright-test")
        abstract.listen()
        result = attack(sandbox, tmp_path / "out", script)
        abstract.close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert result.stdout.split() == ["ECONNREFUSED", "ECONNREFUSED", "1", "EPERM"]


def test_links_and_pipes_are_not_taken(sandbox: DockerSandbox, tmp_path: Path) -> None:
    script = (
        "import os\n"
        "os.symlink('/etc/passwd', 'passwd'); os.symlink('../../..', 'up')\n"
        "try: os.mkfifo('pipe')\n"
        "except PermissionError: pass\n"
        "open('good.txt', 'w').write('good'); os.link('good.txt', 'twin.txt')\n"
        "open('-rf', 'w').write('x'); open('new\\nline', 'w').write('x'); open('.hidden', 'w').write('x')\n"
        "os.mkdir('folder'); os.symlink('/', 'folder/root')\n"
    )
    result = attack(sandbox, tmp_path / "out", script, out_files=16)
    assert result.ok, result.stderr
    names = [file.name for file in result.outputs]
    assert len(names) == 1
    assert names[0] in ("good.txt", "twin.txt")
    taken = list((tmp_path / "out").rglob("*"))
    assert [path.name for path in taken] == names
    assert not any(path.is_symlink() for path in taken)


def test_root_is_read_only_and_nothing_privileged_works(sandbox: DockerSandbox, tmp_path: Path) -> None:
    script = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "acts = {\n"
        " 'root': lambda: open('/x', 'w'), 'bin': lambda: open('/usr/local/bin/x', 'w'),\n"
        " 'opt': lambda: open('/opt/labwright/src/labwright/__init__.py', 'a'),\n"
        " 'work': lambda: open('/work/script.py', 'a'), 'setuid': lambda: os.setuid(0),\n"
        " 'chroot': lambda: os.chroot('/tmp'), 'mknod': lambda: os.mknod('/tmp/n', 0o60600, 1),\n"
        " 'hostname': lambda: __import__('socket').sethostname('x')}\n"
        "for name, act in acts.items():\n"
        "    try: act(); print('HOLE', name)\n"
        "    except OSError: pass\n"
        "for name in ('unshare', 'mount', 'setns', 'ptrace', 'personality', 'bpf'):\n"
        "    call = getattr(libc, name, None)\n"
        "    if call is not None and call(0x10000000, 0, 0, 0, 0) >= 0: print('HOLE', name)\n"
        "open('/tmp/x.sh', 'w').write('#!/usr/bin/env python3\\n'); os.chmod('/tmp/x.sh', 0o755)\n"
        "try: os.execv('/tmp/x.sh', ['x']); print('HOLE exec')\n"
        "except OSError: print('done')\n"
    )
    result = attack(sandbox, tmp_path / "out", script)
    assert result.stdout == "done\n", result


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
