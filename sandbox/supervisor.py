"""Process 1 of a bubblewrap sandbox: runs the script, ends all that it left, sends the outputs.

Runs inside the sandbox with the standard library only, and is never imported by labwright. The script cannot
kill it (process 1 of the namespace), trace it or read its descriptors (not dumpable). Its arguments are the
descriptor to answer on and the limits as JSON. It answers "started", then "ended CODE PEAK_KIB", then a tar.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import stat
import sys
import tarfile

PR_SET_DUMPABLE = 4
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEPTH = 4


def begin(limits: dict[str, int]) -> int:
    """Start the script under its limits; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        for name in (*IGNORED, signal.SIGPIPE):
            signal.signal(name, signal.SIG_DFL)
        for kind, value in limits.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind.upper()}"), (value, value))
        os.setsid()
        os.chdir("/out")
        os.execv(sys.executable, [sys.executable, "/work/script.py"])  # noqa: S606
    finally:
        os._exit(127)


def finish(child: int) -> int:
    """Wait for the script, kill every other process; the script's exit code as a shell would say it."""
    status = 0
    while True:
        pid, status = os.wait()
        if pid == child:
            break
    with contextlib.suppress(ProcessLookupError):  # none was left
        os.kill(-1, signal.SIGKILL)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def send(folder: str, prefix: str, tar: tarfile.TarFile, depth: int = 1) -> None:
    """Add the regular files below `folder`; nothing else can change them any more."""
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


def main() -> None:
    """Run the script once."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    for name in IGNORED:
        signal.signal(name, signal.SIG_IGN)
    control = int(sys.argv[1])
    os.set_inheritable(control, False)
    os.write(control, b"started\n")
    code = finish(begin(json.loads(sys.argv[2])))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    os.write(control, f"ended {code} {peak}\n".encode())
    with os.fdopen(control, "wb") as stream, tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        send("/out", "", tar)


main()
