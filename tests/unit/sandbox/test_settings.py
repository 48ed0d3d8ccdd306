"""The seccomp profile and the limits as they are sent to the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from docker import APIClient

from labwright.sandbox import settings
from labwright.sandbox.contract import Limits

DENIED = [
    "io_uring_setup", "io_uring_enter", "io_uring_register", "ptrace", "process_vm_readv",
    "process_vm_writev", "pidfd_getfd", "bpf", "keyctl", "add_key", "request_key", "mount",
    "umount2", "unshare", "setns", "pivot_root", "chroot", "personality", "mknod", "mknodat",
    "perf_event_open", "userfaultfd", "open_by_handle_at", "name_to_handle_at", "kexec_load",
    "init_module", "finit_module", "delete_module", "reboot", "swapon", "sethostname",
    "settimeofday", "clock_settime", "iopl", "ioperm", "quotactl", "syslog", "acct", "fsopen",
    "move_mount", "open_tree", "fanotify_init", "kcmp", "lookup_dcookie", "vhangup", "modify_ldt",
    "landlock_create_ruleset",
]  # fmt: skip


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    profile = json.loads(settings.seccomp_profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    return list(profile["syscalls"])


def test_only_two_architectures_without_their_32_bit_forms() -> None:
    profile = json.loads(settings.seccomp_profile())
    assert all(entry["subArchitectures"] == [] for entry in profile["archMap"])


@pytest.mark.parametrize("name", DENIED)
def test_dangerous_calls_are_in_no_rule(rules: list[dict[str, Any]], name: str) -> None:
    assert all(name not in rule["names"] for rule in rules)


def test_sockets_are_filtered_by_family(rules: list[dict[str, Any]]) -> None:
    families = [rule["args"][0]["value"] for rule in rules if rule["names"] == ["socket"]]
    assert families == [1, 2, 10]
    assert all(rule.get("args") for rule in rules if {"socket", "socketpair", "clone"} & set(rule["names"]))


def test_clone_makes_no_namespace_and_clone3_is_absent(rules: list[dict[str, Any]]) -> None:
    clone = next(rule for rule in rules if rule["names"] == ["clone"])
    flags = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000
    assert clone["args"] == [{"index": 0, "value": flags, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    clone3 = next(rule for rule in rules if "clone3" in rule["names"])
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_no_call_is_listed_twice(rules: list[dict[str, Any]]) -> None:
    names = [name for rule in rules if "args" not in rule for name in rule["names"]]
    assert len(names) == len(set(names))


def test_every_limit_reaches_the_engine() -> None:
    limits = Limits(memory_mib=100, pids=7, cpus=4.0, out_mib=3, out_files=5, file_mib=2)
    api = APIClient(base_url="unix:///nowhere.sock", version="1.41")
    binds = settings.mounts(limits, inputs="/a", work="/b", labels={})
    config = settings.host_config(api, limits, binds=binds, cores=2, runtime=None)
    assert config["NetworkMode"] == "none"
    assert config["ReadonlyRootfs"] is True
    assert config["CapDrop"] == ["ALL"]
    assert config["Memory"] == config["MemorySwap"] == 100 << 20
    assert (config["PidsLimit"], config["NanoCpus"]) == (7, 2_000_000_000)
    assert {item["Name"]: item["Hard"] for item in config["Ulimits"]}["fsize"] == 2 << 20
    assert config["LogConfig"]["Type"] == "none"
    assert all(mount["ReadOnly"] for mount in config["Mounts"] if mount["Type"] == "bind")
    output = next(mount for mount in config["Mounts"] if mount["Target"] == "/out")
    assert "size=3m,nr_inodes=74," in output["VolumeOptions"]["DriverConfig"]["Options"]["o"]
    assert "no-new-privileges" in config["SecurityOpt"]


def test_environment_is_what_we_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sesame")
    assert "sesame" not in str(settings.environment(Limits()))
    assert settings.environment(Limits(cpus=0.5))["OMP_NUM_THREADS"] == "1"
