"""What the probe demands, against facts as a container reports them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from labwright.errors import SandboxBroken
from labwright.sandbox import probe
from labwright.sandbox.settings import tmpfs_limits

NO_CAPABILITY = "0000000000000000"
GOOD: dict[str, Any] = {
    "status": {
        "Uid": "65534 65534 65534 65534",
        "Gid": "65534 65534 65534 65534",
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }
    | dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), NO_CAPABILITY),
    "interfaces": ["lo"],
    "input_mount_read_only": True,
    "input": probe.CONTENT,
    "write_out": "ok",
    "docker_socket": False,
    "pids": "32",
    "memory": str(256 << 20),
    "swap": "",
    "memory_and_swap": str(256 << 20),
    "cpu": "100000",
    "sizes": {place: list(value) for place, value in tmpfs_limits(probe.LIMITS).items()},
    "rlimits": {"fsize": 8 << 20, "nofile": 1024, "core": 0, "as": -1, "nproc": -1, "cpu": -1},
}
GOOD |= dict.fromkeys(("vsock", "netlink", "packet", "unshare", "io_uring"), "EPERM")
GOOD |= dict.fromkeys(("write_root", "write_package", "write_input", "write_sysctl"), "EROFS")


def test_good_facts_pass() -> None:
    assert probe.failed_requirements(GOOD) == []


def test_second_cgroup_version_passes() -> None:
    facts = GOOD | {"swap": "0", "memory_and_swap": "", "cpu": "100000 100000"}
    assert probe.failed_requirements(facts) == []


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("interfaces", ["eth0", "lo"], "no network"),
        ("vsock", "ok", "vsock refused"),
        ("io_uring", "ok", "io_uring refused"),
        ("write_root", "ok", "write_root refused"),
        ("input_mount_read_only", False, "inputs mounted read-only"),
        ("pids", "max", "limit on processes"),
        ("memory", "max", "limit on memory"),
        ("memory_and_swap", "9223372036854771712", "no swap"),
        ("cpu", "max 100000", "limit on processors"),
        ("cpu", "-1", "limit on processors"),
        ("sizes", {}, "size of writable places"),
        ("docker_socket", True, "no engine socket"),
        ("sizes", GOOD["sizes"] | {"/out": [8, 3_000_000]}, "inodes of writable places"),
        ("sizes", GOOD["sizes"] | {"/out": [9, 96]}, "size of writable places"),
        ("rlimits", GOOD["rlimits"] | {"fsize": -1}, "limits on files"),
    ],
)
def test_each_hole_is_named(key: str, value: object, name: str) -> None:
    holes = probe.failed_requirements(GOOD | {key: value})
    assert len(holes) == 1
    assert holes[0].startswith(name)


def test_what_a_backend_owns_up_to_is_no_hole_and_all_else_is() -> None:
    facts = GOOD | {"pids": "", "cpu": ""}
    assert probe.failed_requirements(facts, ("limit on processes", "limit on processors")) == []
    assert [hole.split(" (")[0] for hole in probe.failed_requirements(facts, ("limit on processes",))] == [
        "limit on processors"
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [("CapEff", "0000000000000001"), ("Uid", "0 0 0 0"), ("NoNewPrivs", "0"), ("Seccomp", "0")],
)
def test_a_privileged_process_is_a_hole(key: str, value: str) -> None:
    facts = copy.deepcopy(GOOD)
    facts["status"][key] = value
    assert len(probe.failed_requirements(facts)) == 1


def test_why_an_engine_did_not_run_it_is_said_for_its_kind() -> None:
    error = SandboxBroken("running the job: 500")
    assert "inodes" in probe.cannot_run("podman rootless", error)
    assert "inodes" not in probe.cannot_run("docker rootless", error)
    assert all(str(error) in probe.cannot_run(kind, error) for kind in ("podman", "docker"))
