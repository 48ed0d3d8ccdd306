"""The command line of bubblewrap, what is missing, and how the host reads a supervisor."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from labwright.config import SandboxConfig
from labwright.errors import EngineMissing, SandboxBroken
from labwright.sandbox.bubblewrap import ALSO_NOT_COVERED, LACKING
from labwright.sandbox.bubblewrap_command import Descriptors, Interpreter, bwrap_arguments, command, interpreter, tools
from labwright.sandbox.connect import connect
from labwright.sandbox.contract import Limits
from labwright.sandbox.namespace_run import NamespaceRun
from labwright.sandbox.probe import failed_requirements

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are of Linux")
PYTHON = Interpreter(executable="/opt/py/bin/python", folders=("/opt/py",), version="3", distributions=())
GIVEN = Descriptors(seccomp=7, info=8, control=9)
LIMITS = Limits(memory_mib=300, pids=9, out_mib=3, file_mib=2, wall_s=10, cpus=2)
PROGRAMS = {name: f"/usr/bin/{name}" for name in ("bwrap", "setpriv", "unshare", "mount")}


@pytest.fixture
def arguments() -> list[str]:
    return bwrap_arguments(PYTHON, LIMITS, GIVEN, {"/in": "/host/in"})


def test_nothing_is_shared_and_nothing_is_kept(arguments):
    assert {"--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"} <= set(
        arguments
    )
    joined = " ".join(arguments)
    for pair in ("--uid 65534", "--gid 65534", "--cap-drop ALL", "--seccomp 7", "--info-fd 8", "--chdir /out"):
        assert pair in joined
    assert not {"--share-net", "--bind", "--dev-bind", "--cap-add", "--bind-try"} & set(arguments)


def test_every_writable_place_has_a_size_and_the_rest_is_closed(arguments):
    assert arguments.count("--tmpfs") == 3
    for at in (n for n, word in enumerate(arguments) if word == "--tmpfs"):
        assert arguments[at - 2] == "--size"
        assert int(arguments[at - 1]) > 0
    joined = " ".join(arguments)
    assert f"--perms 0700 --size {3 << 20} --tmpfs /out" in joined
    closed = joined.index("--remount-ro /dev --remount-ro / ")
    assert closed > max(joined.index("--ro-bind /host/in /in"), joined.rindex("--tmpfs"))


def test_limits_reach_the_supervisor(arguments):
    inner = arguments[arguments.index("--") + 1 :]
    assert inner[:6] == ["/opt/py/bin/python", "-I", "-S", "/opt/labwright/supervisor.py", "namespace", "9"]
    assert json.loads(inner[6]) == {
        "as": 300 << 20, "nproc": 9, "fsize": 2 << 20, "nofile": 1024, "core": 0, "cpu": 25,
    }  # fmt: skip


def test_root_gives_up_its_rights_before_bwrap():
    whole = command(PROGRAMS, ["--x"], {"/root/py": "/tmp/b/0"})
    assert whole[:4] == ["/usr/bin/unshare", "--mount", "--propagation", "private"]
    confined = whole[whole.index("--") + 1 :]
    assert confined == [
        "/usr/bin/setpriv", "--no-new-privs", "--reuid", "64123", "--regid", "64123", "--clear-groups",
        "/usr/bin/bwrap", "--x",
    ]  # fmt: skip
    assert command(PROGRAMS, ["--x"], {}) == ["/usr/bin/setpriv", "--no-new-privs", "/usr/bin/bwrap", "--x"]


def test_what_is_absent_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineMissing, match=r"bwrap, setpriv.*apt-get install bubblewrap util-linux") as missing:
        tools()
    assert missing.value.exit_code == 4


def test_neither_backend_stands_in_for_the_other(monkeypatch, tmp_path):
    monkeypatch.setenv("LABWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere.sock")
    with pytest.raises(EngineMissing, match="container engine"):
        connect()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineMissing, match="bubblewrap"):
        connect(SandboxConfig(backend="bubblewrap"))


def fake_python(folder: Path, prefix: str) -> str:
    path = folder / "python"
    answer = json.dumps([prefix, prefix, "3.11", []])
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return str(path)


def test_a_python_says_what_it_is(tmp_path):
    asked = interpreter("")
    assert asked.executable == sys.executable
    assert set(asked.folders) == {sys.prefix, sys.base_prefix}
    assert any(name.startswith("pytest==") for name in asked.distributions)
    assert interpreter(fake_python(tmp_path, "/opt/py")).folders == ("/opt/py",)


@pytest.mark.parametrize("prefix", ["/", "/home", str(Path.home())])
def test_a_folder_that_is_too_wide_is_not_shown(tmp_path, prefix):
    with pytest.raises(EngineMissing, match="shown whole"):
        interpreter(fake_python(tmp_path, prefix))


def test_a_python_that_is_none(tmp_path):
    with pytest.raises(EngineMissing, match="cannot be asked"):
        interpreter(str(tmp_path / "absent"))


def run(tmp_path: Path, script: str, **limits):
    """A run of a plain shell in the supervisor's place."""

    def build(given: Descriptors) -> list[str]:
        return ["/bin/sh", "-c", script, "sh", f"/proc/self/fd/{given.control}"]

    return NamespaceRun(Limits(**({"wall_s": 10} | limits)), build, b"").run(tmp_path / "out")


def test_a_sandbox_that_cannot_be_made_is_no_result(tmp_path):
    with pytest.raises(SandboxBroken, match="no namespaces here"):
        run(tmp_path, "echo no namespaces here >&2; exit 1")


def test_a_supervisor_that_dies_is_told_apart(tmp_path):
    ending, outputs = run(tmp_path, "echo started > $1; echo text; exit 0")
    assert (ending.cause, ending.exit_code, ending.stdout, outputs) == ("died", None, "text\n", ())


def test_an_archive_that_stops_short_is_no_result(tmp_path):
    with pytest.raises(SandboxBroken, match="cannot be taken"):
        run(tmp_path, "echo started > $1; echo ended 0 9 > $1; echo rubbish > $1")
    assert not list((tmp_path / "out").iterdir())


def test_the_wall_and_the_cap_hold_on_the_host(tmp_path):
    assert run(tmp_path, "echo started > $1; exec sleep 30", wall_s=0.5)[0].cause == "wall"
    flood = "echo started > $1; while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"
    assert run(tmp_path, flood, log_kib=8)[0].cause == "output_cap"


def test_every_gap_is_a_requirement_of_the_probe_in_a_sentence():
    facts = {"status": {"Uid": "65534", "Gid": "65534", "NoNewPrivs": "1", "Seccomp": "2"}}
    facts["status"] |= dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0")
    facts |= dict.fromkeys(("interfaces", "input", "write_out", "docker_socket", "input_mount_read_only"), "")
    facts |= dict.fromkeys(("vsock", "netlink", "packet", "unshare", "io_uring"), "EPERM")
    facts |= dict.fromkeys(("write_root", "write_package", "write_input", "write_sysctl"), "EROFS")
    facts |= dict.fromkeys(("pids", "memory", "swap", "memory_and_swap", "cpu"), "")
    facts |= {"sizes": {"/out": [1, 1]}, "rlimits": {"fsize": 0, "nofile": 0, "core": 0}}
    names = {hole.split(" (saw")[0] for hole in failed_requirements(facts)}
    assert set(LACKING) <= names
    assert all(text.endswith(".") for text in (*LACKING.values(), *ALSO_NOT_COVERED))
