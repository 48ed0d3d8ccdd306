"""The compiled filter, run by a small BPF machine: what the kernel would decide about a call."""

from __future__ import annotations

import platform
import struct
import sys

import pytest

from labwright.sandbox.syscall_filter import compiled

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seccomp is of Linux")
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FOREIGN = 0x40000003  # 32-bit x86
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
KILL = {0x00000000, 0x80000000}
JUMPS = {
    0x15: lambda a, k: a == k,
    0x25: lambda a, k: a > k,
    0x35: lambda a, k: a >= k,
    0x45: lambda a, k: bool(a & k),
}


@pytest.fixture(scope="module")
def program() -> list[tuple[int, int, int, int]]:
    return list(struct.iter_unpack("=HBBI", compiled()))


def decide(program, number: int, *arguments: int, arch: int | None = None) -> int:
    arch = ARCH[platform.machine()] if arch is None else arch
    data = struct.pack("=iIQ6Q", number, arch, 0, *(*arguments, *([0] * (6 - len(arguments)))))
    at, accumulator = 0, 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif code == 0x54:
            accumulator &= k
        elif code == 0x05:
            at += k
        elif code == 0x06:
            return k
        else:
            at += yes if JUMPS[code](accumulator, k) else no


def number(name: str) -> int:
    import pyseccomp

    return int(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name))


@pytest.mark.parametrize("name", ["read", "write", "openat", "mmap", "execve", "futex", "exit_group", "wait4"])
def test_ordinary_calls_pass(program, name):
    assert decide(program, number(name)) == ALLOW


@pytest.mark.parametrize(
    "name",
    ["unshare", "mount", "setns", "ptrace", "bpf", "io_uring_setup", "keyctl", "chroot", "pivot_root", "personality",
     "process_vm_writev", "perf_event_open", "userfaultfd", "open_by_handle_at", "init_module", "reboot"],
)  # fmt: skip
def test_dangerous_calls_are_refused(program, name):
    assert decide(program, number(name)) == EPERM


def test_a_call_that_nobody_knows_is_refused(program):
    assert decide(program, 4000) == EPERM


@pytest.mark.parametrize(
    ("family", "said"), [(1, ALLOW), (2, ALLOW), (10, ALLOW), (16, EPERM), (17, EPERM), (38, EPERM), (40, EPERM)]
)
def test_sockets_by_family(program, family, said):
    assert decide(program, number("socket"), family, 1) == said


def test_only_pairs_of_unix_sockets(program):
    assert decide(program, number("socketpair"), 1) == ALLOW
    assert decide(program, number("socketpair"), 2) == EPERM


@pytest.mark.parametrize("flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
def test_no_new_namespace_by_clone(program, flag):
    assert decide(program, number("clone"), 0x1200011) == ALLOW
    assert decide(program, number("clone"), 0x11 | flag) == EPERM


def test_clone3_is_absent(program):
    assert decide(program, number("clone3")) == ENOSYS


def test_another_architecture_is_killed(program):
    assert decide(program, number("read"), arch=FOREIGN) in KILL


def test_the_32_bit_form_of_the_calls_is_killed(program):
    if platform.machine() == "x86_64":
        assert decide(program, number("read") | 0x40000000) in KILL | {EPERM}
