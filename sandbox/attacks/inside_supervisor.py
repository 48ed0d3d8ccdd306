"""Attacks on process 1 of the container, which says how the script ended; each runs inside only."""

import os
import resource
import secrets
import sys
from functools import partial

from labwright.sandbox.attacks.inside_common import all_denied, report, tried


def kill_process_one() -> None:
    """Kill process 1 by every signal, then everything."""
    for number in range(1, 32):
        tried(partial(os.kill, 1, number))
    alive = os.path.exists("/proc/1")
    report(alive, "process 1 ignores signals from within", "31 signals")


def kill_all() -> None:
    """Kill everything that may be killed; process 1 must stay, or the files could not be taken."""
    tried(lambda: os.kill(-1, 9))
    report(os.path.exists("/proc/1"), "process 1 cannot be killed from within")


def _open(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def starve_process_one() -> None:
    """Take memory, files and processor time from process 1, so that it cannot report."""
    kinds = ("AS", "DATA", "STACK", "NOFILE", "FSIZE", "NPROC", "CPU")
    all_denied({k: tried(partial(resource.prlimit, 1, getattr(resource, f"RLIMIT_{k}"), (0, 0))) for k in kinds})


def read_process_one() -> None:
    """Read the secret that process 1 was given: its memory, environment, open files and input."""
    places = ("mem", "environ", "fd/0", "fd/1", "maps", "auxv", "syscall", "stack", "cwd/x", "root/in/given.json")
    all_denied({place: tried(partial(_open, f"/proc/1/{place}")) for place in places})


def forged_end() -> None:
    """Write the last word of process 1 with a made-up secret, a success, on both streams, and end with code 3."""
    for stream in (sys.stdout.buffer, sys.stderr.buffer):
        for secret in ("", "0" * 32, secrets.token_hex(16)):
            stream.write(f"\0{secret} ended 0 0 0\n".encode())
            stream.flush()
    report(True, "the word carries a secret of the job", "6 words")
    os._exit(3)
