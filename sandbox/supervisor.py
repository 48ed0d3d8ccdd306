"""Process 1 of a sandbox: starts the script, ends all that it left, says how it ended.

Runs inside the sandbox with the standard library only, and is never imported by labwright. The script cannot kill it
(process 1 of the name space), trace it or read its descriptors (not dumpable).

`container cold|warm`: reads one line from standard input, a secret of this job, then starts the script on the
container's own output streams. When the script and all that it started is dead, the last thing on both streams is a
line that begins with the secret, which nothing else could write: "SECRET ended CODE PEAK_BYTES OOM_KILLS". When the
other end of standard input goes, because labwright was killed, the container ends at once. With "warm" the process that
becomes the script imports the analysis stack before the secret comes (preload.py), and "ready" tells that it has.

`namespace DESCRIPTOR LIMITS`, for bubblewrap: answers on a descriptor "started", then "ended CODE PEAK_KIB", then a tar
of the outputs; the limits are JSON.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys

# Every job pays for what is imported here: no typing, no contextlib.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import tarfile

PR_SET_DUMPABLE = 4
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEPTH = 4
LONGEST = 256
SCRIPT = "/work/script.py"
PRELOAD = "/opt/labwright/preload.py"
CGROUP = "/sys/fs/cgroup/"
PEAK = ("memory.peak", "memory/memory.max_usage_in_bytes")
KILLS = ("memory.events", "memory/memory.oom_control")


def begin(command: list[str], limits: dict[str, int], keep: tuple[int, ...] = ()) -> int:
    """Start a Python program under resource limits, with the descriptors in `keep`; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        for name in (*IGNORED, signal.SIGPIPE):
            signal.signal(name, signal.SIG_DFL)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        if limits:
            import resource

            for kind, value in limits.items():
                resource.setrlimit(getattr(resource, f"RLIMIT_{kind.upper()}"), (value, value))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.setsid()
        os.chdir("/out")
        os.execv(sys.executable, [sys.executable, *command])  # noqa: S606
    finally:
        os._exit(127)


def waited(child: int) -> int:
    """Reap until the script ends; its wait status."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return status


def watched(child: int, link: int) -> int:
    """Reap until the script ends; its wait status. This process ends when the other end of `link` goes."""
    bell, rung = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(rung, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    for descriptor in (bell, link):
        poll.register(descriptor, select.POLLIN)
    while True:
        # Before the first poll as well: the script may have ended before the handler stood.
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            return status
        if pid == 0:
            for descriptor, _ in poll.poll():
                if not os.read(descriptor, LONGEST):
                    os._exit(1)


def clear() -> None:
    """Kill and reap every other process of the name space."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return  # none was left
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def exit_code(status: int) -> int:
    """A wait status as a shell would say it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def counted(paths: tuple[str, ...], name: str = "") -> int:
    """The number in the first of these files of the control group that is there, or that after a name; else 0."""
    for path in paths:
        if os.path.exists(CGROUP + path):
            with open(CGROUP + path, encoding="ascii") as file:
                return next((int(line.split()[-1]) for line in file if line.startswith(f"{name} " if name else "")), 0)
    return 0


def preloaded() -> tuple[int, int]:
    """A process that has imported the analysis stack and waits: its id, and the descriptor that releases it."""
    ready, told = os.pipe()
    wait, release = os.pipe()
    child = begin([PRELOAD, str(told), str(wait)], {}, keep=(told, wait))
    os.close(told)
    os.close(wait)
    if not os.read(ready, 1):
        sys.exit("the analysis stack cannot be imported")
    os.close(ready)
    os.write(1, b"ready\n")
    return child, release


def line(descriptor: int) -> bytes:
    """The next line without its end; empty when the other end is gone."""
    text = b""
    while len(text) < LONGEST:
        letter = os.read(descriptor, 1)
        if letter in (b"", b"\n"):
            return text if letter else b""
        text += letter
    return text


def container(mode: str) -> None:
    """Run one script in a container."""
    child, release = preloaded() if mode == "warm" else (0, 0)
    secret = line(0)
    if not secret:
        return
    if mode == "warm":
        os.write(release, b"g")
    else:
        child = begin([SCRIPT], {})
    status = watched(child, 0)
    clear()
    word = b"\0%s ended %d %d %d\n" % (secret, exit_code(status), counted(PEAK), counted(KILLS, "oom_kill"))
    os.write(1, word)
    os.write(2, word)
    while os.read(0, LONGEST):  # the outputs are there as long as this process is
        pass


def send(folder: str, prefix: str, tar: tarfile.TarFile, depth: int = 1) -> None:
    """Add the regular files below `folder` to an open tar; nothing else can change them any more."""
    import stat

    os.chmod(folder, 0o700)
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path = f"{folder}/{name}"
        kind = os.lstat(path).st_mode
        if stat.S_ISDIR(kind) and depth < DEPTH:
            send(path, f"{prefix}{name}/", tar, depth + 1)
        elif stat.S_ISREG(kind):
            os.chmod(path, 0o600)
            with open(path, "rb") as file:
                tar.addfile(tar.gettarinfo(arcname=prefix + name, fileobj=file), file)


def namespace(control: int, limits: str) -> None:
    """Run one script in a name space of bubblewrap."""
    import json
    import resource
    import tarfile

    os.set_inheritable(control, False)
    os.write(control, b"started\n")
    code = exit_code(waited(begin([SCRIPT], json.loads(limits))))
    clear()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    os.write(control, f"ended {code} {peak}\n".encode())
    with os.fdopen(control, "wb") as stream, tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        send("/out", "", tar)


def main() -> None:
    """Run the script once."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    for name in IGNORED:
        signal.signal(name, signal.SIG_IGN)
    if sys.argv[1] == "container":
        container(sys.argv[2])
    else:
        namespace(int(sys.argv[2]), sys.argv[3])


main()
