"""Attacks on processor, memory, processes, disk and time."""

import errno
import os
import resource
import signal
import sys
import threading
import time
from functools import partial

from labwright.sandbox.attacks.inside_common import given, name_of, report, tried

MOST_TRIES = 200_000


def fork_bomb_polite() -> None:
    """Fork sleeping children until the kernel refuses."""
    children = 0
    try:
        while children < 10_000:
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            children += 1
    except OSError as error:
        report(children < given()["pids"], name_of(error.errno or 0), f"{children} processes")
        return
    report(False, "no limit on processes", f"{children} processes")


def fork_bomb_endless() -> None:
    """Every process forks for ever."""
    while True:
        try:
            os.fork()
        except OSError:
            continue


def threads() -> None:
    """Start threads until the kernel refuses."""
    stop = threading.Event()
    started = 0
    try:
        while started < 10_000:
            threading.Thread(target=stop.wait, daemon=True).start()
            started += 1
    except RuntimeError:
        report(started < given()["pids"], "EAGAIN", f"{started} threads")
        return
    finally:
        stop.set()
    report(False, "no limit on threads", f"{started} threads")


def memory() -> None:
    """Allocate and touch memory without end, saying how much of it was swapped."""
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20)) * 8)
        with open("/proc/self/status", encoding="ascii") as file:
            swap = next((line.split()[1] for line in file if line.startswith("VmSwap")), "0")
        print(f"{len(held) * 8} MiB, swapped {swap} kB", flush=True)


def memory_of_many() -> None:
    """Eight processes share the work of filling memory; the group's limit counts, not the process's."""
    for _ in range(7):
        if os.fork() == 0:
            break
    held = []
    while True:
        held.append(bytearray(1 << 20))


def memory_file() -> None:
    """Fill memory through an anonymous memory file, which no process's heap shows."""
    block = os.urandom(1 << 20)
    while True:
        descriptor = os.memfd_create("fill")
        for _ in range(8):  # below the limit on file size
            os.write(descriptor, block)


def _filled(folder: str, most_mib: int) -> None:
    block = b"\xa5" * (1 << 20)
    written, number, why = 0, 0, ""
    while not why and written < (most_mib + 64) << 20:
        descriptor = os.open(f"{folder}/fill{number}", os.O_WRONLY | os.O_CREAT)
        number += 1
        try:
            while written < (most_mib + 64) << 20:
                written += os.write(descriptor, block)
        except OSError as error:
            why = "" if error.errno == errno.EFBIG else name_of(error.errno or 0)
        finally:
            os.close(descriptor)
    report(why == "ENOSPC" and written <= most_mib << 20, why or "no limit", f"{written >> 20} MiB written")


def disk_out() -> None:
    """Fill the output folder."""
    _filled("/out", given()["mib"]["/out"])


def disk_tmp() -> None:
    """Fill /tmp."""
    _filled("/tmp", given()["mib"]["/tmp"])


def disk_shm() -> None:
    """Fill /dev/shm."""
    _filled("/dev/shm", given()["mib"]["/dev/shm"])


def _many_files(folder: str, most: int) -> None:
    made = 0
    try:
        while made < MOST_TRIES:
            os.close(os.open(f"{folder}/{made}", os.O_WRONLY | os.O_CREAT))
            made += 1
    except OSError as error:
        report(made <= most, name_of(error.errno or 0), f"{made} files")
        return
    report(False, "no limit on inodes", f"{made} files")


def inodes_out() -> None:
    """A million empty files in the output folder."""
    _many_files("/out", given()["inodes"]["/out"])


def inodes_tmp() -> None:
    """A million empty files in /tmp."""
    _many_files("/tmp", given()["inodes"]["/tmp"])


def inodes_shm() -> None:
    """A million empty files in /dev/shm."""
    _many_files("/dev/shm", given()["inodes"]["/dev/shm"])


def large_file() -> None:
    """Write one file past the limit on file size."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    block, written = b"\xa5" * (1 << 20), 0
    descriptor = os.open("/tmp/large", os.O_WRONLY | os.O_CREAT)
    try:
        while written < 1 << 30:
            written += os.write(descriptor, block)
    except OSError as error:
        report(error.errno == errno.EFBIG, name_of(error.errno or 0), f"{written >> 20} MiB written")
        return
    report(False, "no limit on file size", f"{written >> 20} MiB written")


def sparse_terabyte() -> None:
    """Make a file of one tebibyte that holds nothing."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    descriptor = os.open("/out/sparse", os.O_WRONLY | os.O_CREAT)
    outcome = tried(lambda: os.ftruncate(descriptor, 1 << 40))
    report(outcome == "EFBIG", outcome)


def open_files() -> None:
    """Open files until the kernel refuses."""
    held: list[int] = []
    try:
        while len(held) < MOST_TRIES:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        report(error.errno == errno.EMFILE, name_of(error.errno or 0), f"{len(held)} open files")
        return
    report(False, "no limit on open files", f"{len(held)} open files")


def endless_output() -> None:
    """Write to standard output without end."""
    while True:
        os.write(1, b"y\n" * 32_768)


def endless_errors() -> None:
    """Write to standard error without end."""
    while True:
        os.write(2, b"E" * 65_536)


def line_without_end() -> None:
    """One line that never ends, in small pieces."""
    while True:
        os.write(1, b"x" * 997)


def sleeping() -> None:
    """Never come back."""
    time.sleep(86_400)


def ignoring_signals() -> None:
    """Ignore every signal that can be ignored, and stay."""
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue
    while True:
        time.sleep(1)


def silent_children() -> None:
    """Children close their output and stay, the script waits for them."""
    if os.fork() == 0:
        os.setsid()
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        time.sleep(86_400)
    os.wait()


def daemons() -> None:
    """Leave three detached processes behind that carry a mark, and end well."""
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for descriptor in (0, 1, 2):
                    os.close(descriptor)
                os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(86400)", given()["mark"]])
            os._exit(0)
        os.wait()
    time.sleep(0.3)
    report(True, "removal of the container", "3 processes left behind")


def zombies() -> None:
    """Children that end and are never waited for."""
    made = 0
    try:
        while made < 10_000:
            if os.fork() == 0:
                os._exit(0)
            made += 1
    except OSError as error:
        report(made < given()["pids"], name_of(error.errno or 0), f"{made} zombies")
        return
    report(False, "no limit on zombies", f"{made} zombies")


def cpu_spin() -> None:
    """Four processes ask for all processors; what they got is counted."""
    begin = time.monotonic()
    for _ in range(4):
        if os.fork() == 0:
            while time.monotonic() - begin < 3.0:
                pass
            os._exit(0)
    for _ in range(4):
        os.wait()
    wall = time.monotonic() - begin
    spent = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    share = spent / wall
    report(share <= given()["cpus"] * 1.15, "quota of processor time", f"{share:.2f} processors used")


def cpu_for_ever() -> None:
    """Spin in every process and never end."""
    for _ in range(3):
        os.fork()
    while True:
        pass


def priority() -> None:
    """Ask for a better place than others have."""
    found = {
        "nice": tried(lambda: os.nice(-10)),
        "real time": tried(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))),
        "oom score": tried(_lower_oom_score),
    }
    held = all(outcome in ("EPERM", "EACCES", "EROFS") for outcome in found.values())
    report(held, ", ".join(f"{name}: {outcome}" for name, outcome in found.items()))


def _lower_oom_score() -> None:
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("-1000")


def raised_limits() -> None:
    """Raise the hard limits that the container has."""
    found = {}
    for name in ("RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE"):
        kind = getattr(resource, name)
        outcome = tried(partial(resource.setrlimit, kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
        found[name] = "EPERM" if outcome in ("ValueError", "EPERM") else outcome
    report(set(found.values()) == {"EPERM"}, ", ".join(sorted(set(found.values()))), f"{len(found)} limits")


def core_dump() -> None:
    """Die with a dump of memory."""
    child = os.fork()
    if child == 0:
        os.chdir("/out")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.abort()
    status = os.waitpid(child, 0)[1]
    left = [name for name in os.listdir("/out") if "core" in name]
    report(not os.WCOREDUMP(status) and not left, "limit on core dumps is 0", f"{len(left)} dumps")
