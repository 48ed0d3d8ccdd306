"""Runs inside a container and prints, as JSON, what it can see and do there; never imported by labwright."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000
IO_URING_SETUP = 425
WANTED = ("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
CGROUP = "/sys/fs/cgroup/"


def outcome(action: Callable[[], None]) -> str:
    """Say "ok" when the action succeeds, else the name of its error."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "ok"


def called(result: int) -> str:
    """Name of the error of a C call, "ok" when there was none."""
    return "ok" if result >= 0 else errno.errorcode.get(ctypes.get_errno() or 0, "?")


def opened(path: str) -> None:
    """Try to create or to write a file."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def made_socket(family: int, kind: int = socket.SOCK_DGRAM) -> None:
    """Make a socket and close it; it is never connected."""
    socket.socket(family, kind).close()


def cgroup_value(*paths: str) -> str:
    """Content of the first of these files of the cgroup that can be read."""
    for path in paths:
        try:
            return Path(CGROUP + path).read_text(encoding="ascii").strip()
        except OSError:
            continue
    return ""


def status() -> dict[str, str]:
    """The lines of /proc/self/status that matter."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    pairs = (line.split(":", 1) for line in lines)
    return {name: value.strip() for name, value in pairs if name in WANTED}


def interfaces() -> list[str]:
    """Names of the network interfaces."""
    lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()[2:]
    return sorted(line.split(":")[0].strip() for line in lines)


def sizes() -> dict[str, list[int]]:
    """MiB and inodes of each writable place."""
    found = {}
    for place in ("/tmp", "/dev/shm", "/out"):  # noqa: S108
        info = os.statvfs(place)
        found[place] = [info.f_blocks * info.f_frsize >> 20, info.f_files]
    return found


def rlimits() -> dict[str, int]:
    """The hard limits on this process, by their short names."""
    kinds = ("as", "nproc", "fsize", "nofile", "core", "cpu")
    return {kind: resource.getrlimit(getattr(resource, f"RLIMIT_{kind.upper()}"))[1] for kind in kinds}


def main() -> None:
    """Print the facts."""
    facts = {
        "status": status(),
        "interfaces": interfaces(),
        "vsock": outcome(lambda: made_socket(40, socket.SOCK_STREAM)),
        "netlink": outcome(lambda: made_socket(16, socket.SOCK_RAW)),
        "packet": outcome(lambda: made_socket(17)),
        "unshare": called(LIBC.unshare(CLONE_NEWUSER)),
        "io_uring": called(LIBC.syscall(IO_URING_SETUP, 1, None)),
        "write_root": outcome(lambda: opened("/probe")),
        "write_package": outcome(lambda: opened("/opt/labwright/probe")),
        "write_input": outcome(lambda: opened("/in/probe.txt")),
        "write_sysctl": outcome(lambda: opened("/proc/sys/kernel/core_pattern")),
        "write_out": outcome(lambda: opened("/out/probe")),
        "input_mount_read_only": bool(os.statvfs("/in").f_flag & os.ST_RDONLY),
        "input": Path("/in/probe.txt").read_text(encoding="ascii"),
        "pids": cgroup_value("pids.max", "pids/pids.max"),
        "memory": cgroup_value("memory.max", "memory/memory.limit_in_bytes"),
        "swap": cgroup_value("memory.swap.max"),
        "memory_and_swap": cgroup_value("memory/memory.memsw.limit_in_bytes"),
        "cpu": cgroup_value("cpu.max", "cpu/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_quota_us"),
        "sizes": sizes(),
        "rlimits": rlimits(),
        "docker_socket": any(os.path.exists(path) for path in ("/var/run/docker.sock", "/run/docker.sock")),
    }
    print(json.dumps(facts))


main()
