"""The doctor's findings, by what the attacks and the probe say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from labwright.sandbox import doctor
from labwright.sandbox.attacks.suite import Outcome, attacks
from labwright.sandbox.probe import LIMITS, requirements
from labwright.sandbox.settings import tmpfs_limits

NAMES = [name for _, _, names in doctor.RUN for name in names]
HELD = {
    name: Outcome(name=name, tried="", held=True, stopped_by="EPERM", figure=f"{name}!", cause="exit", seconds=1.0)
    for name in NAMES
}
ZERO = "0000000000000000"
FACTS: dict[str, Any] = {
    "status": {"Uid": "65534 65534", "Gid": "65534", "NoNewPrivs": "1", "Seccomp": "2"}
    | dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), ZERO),
    "sizes": {place: list(value) for place, value in tmpfs_limits(LIMITS).items()},
    "cpu": "100000",
    "rlimits": {"fsize": 8 << 20, "nofile": 1024, "core": 0, "as": -1, "nproc": -1, "cpu": -1},
} | dict.fromkeys(
    ("interfaces", "input_mount_read_only", "input", "write_out", "docker_socket", "pids", "memory", "swap",
     "memory_and_swap", "vsock", "netlink", "packet", "unshare", "io_uring", "write_root", "write_package",
     "write_input", "write_sysctl"), ""
)  # fmt: skip


def test_every_limit_of_a_job_is_run_against_by_an_attack_that_exists() -> None:
    assert set(NAMES) <= {attack.name for attack in attacks()}
    limits = [limit for limit, _, _ in doctor.RUN]
    assert len(set(limits)) == len(limits) == 17
    for place in ("/out", "/tmp", "/dev/shm"):
        assert {f"size of {place}", f"inodes of {place}"} <= set(limits)


def test_all_is_proven_when_every_attack_held() -> None:
    found = {f.limit: f for f in doctor.by_attacks(HELD)}
    assert all(f.proven for f in found.values())
    assert found["wall clock"].asked == "3 s"
    assert found["size of /tmp"].seen == "EPERM, disk_tmp!"
    assert found["log cap"].seen == "EPERM, endless_output!; EPERM, endless_errors!"


@pytest.mark.parametrize("name", NAMES)
def test_one_attack_that_went_through_is_one_limit_not_proven(name: str) -> None:
    outcomes = HELD | {name: replace(HELD[name], held=False, stopped_by="no limit")}
    wrong = [f for f in doctor.by_attacks(outcomes) if not f.proven]
    assert [name in names for limit, _, names in doctor.RUN if limit == wrong[0].limit] == [True]
    assert len(wrong) == 1
    assert "no limit" in wrong[0].seen


def test_what_the_probe_saw_is_shown() -> None:
    found = {f.limit: f for f in doctor.by_probe(FACTS)}
    assert set(found) == set(doctor.PROBED) <= set(requirements(FACTS))
    assert all(f.proven for f in found.values())
    assert (found["unprivileged user"].seen, found["no capabilities"].seen) == ("65534", ZERO)


@pytest.mark.parametrize(
    ("key", "value", "limit"),
    [
        ("Uid", "0 0", "unprivileged user"),
        ("CapBnd", "00000000a80425fb", "no capabilities"),
        ("NoNewPrivs", "0", "no new privileges"),
        ("Seccomp", "0", "seccomp filter"),
    ],
)
def test_a_privilege_is_a_limit_not_proven(key: str, value: str, limit: str) -> None:
    facts = FACTS | {"status": FACTS["status"] | {key: value}}
    [wrong] = [f for f in doctor.by_probe(facts) if not f.proven]
    assert wrong.limit == limit
    assert value.split()[0] in wrong.seen
