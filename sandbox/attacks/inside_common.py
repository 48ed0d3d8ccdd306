"""What every attack uses inside the container; standard library only, put before the attack's own file.

An attack proves denial at the earliest call: it creates a socket and never connects it beyond its own
namespace, opens a system setting for writing and closes it again.
"""

import ctypes
import errno
import json
import os
import platform
from collections.abc import Callable, Iterable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
DENIED = {"EPERM", "EACCES", "EROFS", "ENOENT", "ENOSYS", "ENXIO", "ENODEV", "ENOTDIR"}
"""Errors by which a system refuses or does not even have what is asked for."""
CALLS = {
    "x86_64": {
        "ptrace": 101, "pivot_root": 155, "keyctl": 250, "add_key": 248, "unshare": 272, "setns": 308,
        "process_vm_readv": 310, "perf_event_open": 298, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
        "open_by_handle_at": 304, "personality": 135, "clock_settime": 227, "init_module": 175,
        "kexec_load": 246, "reboot": 169, "swapon": 167, "quotactl": 179, "fsopen": 430, "open_tree": 428,
        "pidfd_getfd": 438, "acct": 163, "settimeofday": 164, "adjtimex": 159, "iopl": 172, "capset": 126,
    },
    "aarch64": {
        "ptrace": 117, "pivot_root": 41, "keyctl": 219, "add_key": 217, "unshare": 97, "setns": 268,
        "process_vm_readv": 270, "perf_event_open": 241, "bpf": 280, "userfaultfd": 282, "io_uring_setup": 425,
        "open_by_handle_at": 265, "personality": 92, "clock_settime": 112, "init_module": 105,
        "kexec_load": 104, "reboot": 142, "swapon": 224, "quotactl": 60, "fsopen": 430, "open_tree": 428,
        "pidfd_getfd": 438, "acct": 89, "settimeofday": 170, "adjtimex": 171, "iopl": -1, "capset": 91,
    },
}[platform.machine()]  # fmt: skip


def name_of(code: int) -> str:
    """Symbolic name of an error number."""
    return errno.errorcode.get(code, str(code))


def tried(action: Callable[[], Any]) -> str:
    """Name of the error that ended the action, "ok" when it went through."""
    try:
        action()
    except OSError as error:
        return name_of(error.errno or 0)
    except (ValueError, MemoryError, RuntimeError) as error:
        return type(error).__name__
    return "ok"


def call(name: str, *arguments: Any) -> str:
    """Name of the error of a raw system call, "ok" when it went through."""
    ctypes.set_errno(0)
    done = LIBC.syscall(CALLS[name], *arguments)
    return name_of(ctypes.get_errno()) if done == -1 else "ok"


def writable(path: str) -> str:
    """Open for writing and close again; nothing is written."""
    return tried(lambda: os.close(os.open(path, os.O_WRONLY)))


def report(held: bool, by: str, figure: str = "") -> None:
    """Print the verdict, the last line of standard output."""
    print(json.dumps({"held": held, "by": by, "figure": figure}), flush=True)


def all_denied(found: dict[str, str], refusals: Iterable[str] = ()) -> None:
    """Report held when each of several tries was refused."""
    allowed = DENIED | set(refusals)
    through = [name for name, outcome in found.items() if outcome not in allowed]
    kinds = ", ".join(sorted(set(found.values())))
    report(
        not through, kinds if not through else f"went through: {', '.join(through)} ({kinds})", f"{len(found)} tries"
    )


def given() -> dict[str, Any]:
    """What the suite tells the attack."""
    with open("/in/given.json", encoding="utf-8") as file:
        return dict(json.load(file))
