"""Ordinary and hostile jobs in bubblewrap. Every payload runs inside it only, and is bounded by itself as well."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from labwright.config import SandboxConfig
from labwright.errors import EngineMissing, WrongUse
from labwright.sandbox.bubblewrap import LACKING, BubblewrapSandbox
from labwright.sandbox.connect import connect
from labwright.sandbox.contract import Job, Limits, Result
from labwright.sandbox.probe import probe

pytestmark = [pytest.mark.bubblewrap, pytest.mark.alone]
ANALYSIS = Path(__file__).parents[3] / ".venv-analysis" / "bin" / "python"
LIMITS: dict[str, Any] = {"wall_s": 20.0, "memory_mib": 256, "pids": 24, "cpus": 1.0}
LIMITS |= {"out_mib": 4, "out_files": 8, "file_mib": 8, "log_kib": 64}
NAMESPACE = "import os\nprint(os.readlink('/proc/self/ns/pid'), flush=True)\n"


@pytest.fixture(scope="module")
def bubblewrap() -> BubblewrapSandbox:
    try:
        made = connect(
            SandboxConfig(backend="bubblewrap", python=os.environ.get("LABWRIGHT_SANDBOX_PYTHON", str(ANALYSIS)))
        )
    except EngineMissing as error:
        if os.environ.get("LABWRIGHT_REQUIRE_ENGINE") == "1":
            pytest.fail(f"bubblewrap is required: {error}")
        pytest.skip(str(error))
    assert isinstance(made, BubblewrapSandbox)
    return made


@pytest.fixture
def attack(bubblewrap: BubblewrapSandbox, tmp_path: Path):
    def attack(script: str, inputs: dict[str, Path] | None = None, **limits: Any) -> Result:
        job = Job(script=script, inputs=inputs or {}, limits=Limits(**(LIMITS | limits)))
        return bubblewrap.run(job, tmp_path / "out")

    return attack


def left_in(namespace: str) -> list[str]:
    """Processes of the machine that live in a process namespace."""
    left = []
    for link in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            left += [str(link)] * (os.readlink(link) == namespace)
        except OSError:
            continue
    return left


def test_the_probe_passes_but_for_what_is_said(bubblewrap):
    facts = probe(bubblewrap, tuple(LACKING))
    assert facts["interfaces"] == ["lo"]
    assert facts["inputs_read_observable"]
    with pytest.raises(EngineMissing, match="limit on processes"):
        probe(bubblewrap)


def test_the_policy_says_what_is_not_covered(bubblewrap):
    policy = bubblewrap.policy()
    assert policy["isolation"] == "bubblewrap"
    assert set(LACKING.values()) < set(policy["not_covered"])
    assert policy["probe"]["status"]["Seccomp"] == "2"


def test_outputs_and_reads(attack, tmp_path):
    (tmp_path / "read.csv").write_text("a,b\n1,2\n")
    (tmp_path / "opened.csv").write_text("a,b\n1,2\n")
    result = attack(
        "import os, sys\nprint(open('/in/read.csv').read()); open('/in/opened.csv').close()\n"
        "os.mkdir('figures'); open('figures/a.txt', 'w').write('hello'); os.chmod('figures', 0)\n"
        "open('b.csv', 'w').write('x'); os.chmod('b.csv', 0)\nprint('err', file=sys.stderr); sys.exit(3)\n",
        {name: tmp_path / name for name in ("read.csv", "opened.csv")},
    )
    assert (result.cause, result.exit_code, result.stderr) == ("exit", 3, "err\n")
    assert [file.name for file in result.outputs] == ["b.csv", "figures/a.txt"]
    assert (tmp_path / "out/figures/a.txt").read_text() == "hello"
    assert result.inputs_read == ("read.csv",)
    assert result.image_id.startswith("python:")


def test_analyses_and_figures_work(attack):
    script = (
        "import matplotlib.pyplot as plt, scanpy, lifelines, pydeseq2, gseapy, rdata, pyarrow, leidenalg\n"
        "import labwright.tools.analysis as analysis\n"
        "plt.plot([1, 2]); plt.savefig('a.png'); print(analysis.__file__)\n"
    )
    result = attack(script, wall_s=120, memory_mib=3072, pids=128)
    assert result.ok, result.stderr
    assert result.stdout.startswith("/opt/labwright/src/")
    assert [file.name for file in result.outputs] == ["a.png"]


def test_no_network(attack):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0labwright-bubblewrap-test")
        abstract.listen()
        port = listener.getsockname()[1]
        result = attack(
            "import socket, errno\n"
            f"targets = ((socket.AF_INET, ('127.0.0.1', {port})), (socket.AF_UNIX, '\\0labwright-bubblewrap-test'))\n"
            "for kind, where in targets:\n"
            "    try: socket.socket(kind).connect(where); print('HOLE')\n"
            "    except OSError as error: print(errno.errorcode[error.errno])\n"
            "print(open('/proc/net/dev').read().count(':'))\n"
            "for family in (16, 17, 40):\n"
            "    try: socket.socket(family, socket.SOCK_STREAM); print('HOLE')\n"
            "    except OSError as error: print(errno.errorcode[error.errno])\n"
        )
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert result.stdout.split() == ["ECONNREFUSED", "ECONNREFUSED", "1", "EPERM", "EPERM", "EPERM"], result


def test_nothing_of_the_machine_can_be_written_or_seen(attack, tmp_path, monkeypatch):
    monkeypatch.setenv("LABWRIGHT_TEST_SECRET", "sesame")
    (tmp_path / "secret").write_text("sesame")
    result = attack(
        "import os\n"
        "for path in ('/x', '/dev/x', '/etc/passwd', '/usr/x', '/opt/labwright/x', '/work/script.py', '/in/x',\n"
        "             '/proc/sys/kernel/core_pattern', '/proc/sys/vm/drop_caches', '/proc/sysrq-trigger'):\n"
        "    try: os.close(os.open(path, os.O_WRONLY | (os.O_CREAT if path.endswith('x') else 0))); print('HOLE', path)\n"
        "    except OSError as error: assert error.errno in (1, 13, 30) or path.endswith('trigger'), (path, error)\n"
        f"for path in ('/etc/shadow', '/home', '/var', '/sys', '/run', {str(tmp_path / 'secret')!r}):\n"
        "    if os.path.exists(path): print('HOLE', path)\n"
        "if 'sesame' in str(dict(os.environ)): print('HOLE environment')\n"
        "for path in ('/proc/1/environ', '/proc/1/mem', '/proc/1/fd/9'):\n"
        "    try: open(path, 'rb').read(1); print('HOLE', path)\n"
        "    except OSError: pass\n"
        "try: os.listdir('/proc/1/fd'); print('HOLE descriptors')\n"
        "except OSError: print('done')\n"
    )
    assert result.stdout == "done\n", result


def test_privileged_calls_are_refused(attack):
    result = attack(
        "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "for name in ('unshare', 'mount', 'umount2', 'setns', 'ptrace', 'personality', 'chroot', 'pivot_root'):\n"
        "    call = getattr(libc, name, None)\n"
        "    code = call(0x10000000, 0, 0, 0, 0) if call else libc.syscall(155, 0, 0)\n"
        "    print(name, 'HOLE' if code >= 0 else errno.errorcode[ctypes.get_errno()])\n"
        "for number in (425, 321, 250, 298):\n"  # io_uring_setup, bpf, keyctl, perf_event_open on x86-64
        "    print(number, 'HOLE' if libc.syscall(number, 0, 0, 0, 0, 0) >= 0 else errno.errorcode[ctypes.get_errno()])\n"
    )
    seen = dict(line.split() for line in result.stdout.splitlines())
    assert len(seen) == 12, result
    assert set(seen.values()) == {"EPERM"}, seen


def test_the_wall_ends_a_script_and_its_daemon(attack):
    result = attack(
        NAMESPACE + "import signal, time\n"
        "for name in ('TERM', 'INT', 'HUP'): signal.signal(getattr(signal, 'SIG' + name), signal.SIG_IGN)\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
        "open('x', 'w').write('x')\ntime.sleep(60)\n",
        wall_s=2.0,
    )
    assert (result.cause, result.exit_code, result.outputs) == ("wall", None, ())
    assert result.stdout.startswith("pid:[")
    assert left_in(result.stdout.strip()) == []
    assert result.total_s < 30


def test_what_a_script_leaves_ends_with_it(attack):
    result = attack(
        NAMESPACE + "import time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\n    os._exit(0)\n"
    )
    assert result.ok
    assert left_in(result.stdout.strip()) == []
    assert result.total_s < 30


def test_a_living_sandbox_would_be_seen():
    assert left_in(os.readlink("/proc/self/ns/pid"))


def test_killing_everything_leaves_process_1(attack):
    result = attack("import os\nos.kill(1, 9); os.kill(1, 15)\nos.kill(-1, 9)\n")
    assert (result.cause, result.exit_code) == ("exit", 1)
    assert "ProcessLookupError" in result.stderr
    assert attack("import os\nos.kill(os.getpid(), 9)\n").exit_code == 137


def test_output_flood(attack):
    result = attack(NAMESPACE + "import sys\nfor _ in range(1000): sys.stdout.write('x' * 65536)\n")
    assert (result.cause, result.exit_code) == ("output_cap", None)
    assert len(result.stdout) == 16 << 10


def test_many_processes_and_much_memory(attack):
    result = attack(
        "import os, time\ncount = 0\n"
        "try:\n    while count < 100:\n"
        "        if os.fork() == 0: time.sleep(5); os._exit(0)\n"
        "        count += 1\n"
        "except OSError as error: print(error.errno == 11)\n"
        "print(count)\nos.kill(-1, 9)\n"
    )
    held, count = result.stdout.split()
    assert held == "True"
    assert 5 < int(count) < LIMITS["pids"]
    result = attack("held = []\nwhile len(held) < 600: held.append(bytearray(1 << 20))\n")
    assert (result.cause, result.exit_code) == ("exit", 1)
    assert "MemoryError" in result.stderr


def test_disk_fill(attack):
    result = attack(
        "import errno, os, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "for place in ('/out', '/dev/shm'):\n"
        "    try:\n"
        "        for number in range(80):\n"
        "            with open(f'{place}/{number}', 'wb') as file: file.write(bytes(1 << 20))\n"
        "    except OSError as error: print(place, number, errno.errorcode[error.errno])\n"
        "    for name in os.listdir(place): os.remove(f'{place}/{name}')\n"
        "try:\n    open('/tmp/big', 'wb').truncate(1 << 40)\n"
        "except OSError as error: print('sparse', 1, errno.errorcode[error.errno])\n"
    )
    seen = [line.split() for line in result.stdout.splitlines()]
    assert [(line[0], line[2]) for line in seen] == [("/out", "ENOSPC"), ("/dev/shm", "ENOSPC"), ("sparse", "EFBIG")]
    assert int(seen[0][1]) <= LIMITS["out_mib"]


def test_links_and_pipes_are_not_taken(attack, tmp_path):
    result = attack(
        "import os\n"
        "os.symlink('/etc/passwd', 'passwd'); os.symlink('../../..', 'up')\n"
        "try: os.mkfifo('pipe')\n"
        "except PermissionError: pass\n"
        "open('good.txt', 'w').write('good'); os.link('good.txt', 'twin.txt')\n"
        "open('-rf', 'w').write('x'); open('new\\nline', 'w').write('x'); open('.hidden', 'w').write('x')\n"
        "os.mkdir('folder'); os.symlink('/', 'folder/root')\n"
        "where = '/out'\n"
        "for _ in range(40): where += '/d'; os.mkdir(where)\n"
        "os.chdir(where); open('deep', 'w').write('x')\n",
        out_files=16,
    )
    assert result.ok, result.stderr
    assert [file.name for file in result.outputs] == ["good.txt"]
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["good.txt"]


@pytest.mark.parametrize(
    "script",
    [
        "for n in range(20): open(f'f{n}', 'w').write('x')\n",
        "for n in range(8):\n    with open(f'f{n}', 'wb') as file: file.truncate(8 << 20)\n",
    ],
    ids=["files", "sparse bytes"],
)
def test_artifact_cap(attack, tmp_path, script):
    result = attack(script)
    assert (result.cause, result.exit_code, result.outputs) == ("artifact_cap", 0, ())
    assert not list((tmp_path / "out").iterdir())


def test_unacceptable_jobs_are_refused(bubblewrap, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(WrongUse, match="empty folder"):
        bubblewrap.run(Job(script=""), tmp_path)
