"""The command line of a bubblewrap sandbox, and the Python that it binds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from labwright.errors import EngineMissing
from labwright.sandbox import settings
from labwright.sandbox.contract import Limits
from labwright.sandbox.syscall_filter import INSTALL

OUTER_ID = 64123
"""User and group that bwrap runs as when labwright is root; it owns nothing."""
SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64")
TOO_WIDE = {Path(p) for p in ("/", "/home", "/root", "/etc", "/var", "/tmp")}  # noqa: S108
_ASK = (
    "import importlib.metadata as m, json, sys; "
    "d = sorted({f'{i.name}=={i.version}' for i in m.distributions()}); "
    "print(json.dumps([sys.prefix, sys.base_prefix, sys.version, d]))"
)
# Binds what an unprivileged user may not reach (a home folder) inside a mount namespace of its own.
_BIND = 'set -e; while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The Python that runs the scripts, as it describes itself."""

    executable: str
    """Path by which it is started."""
    folders: tuple[str, ...]
    """Its prefix and its base prefix."""
    version: str
    """What `sys.version` says."""
    distributions: tuple[str, ...]
    """Installed packages with their versions, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """Numbers of the open files that the sandbox is given."""

    seccomp: int
    """The filter."""
    info: int
    """Where bwrap names the process that it made."""
    control: int
    """Where the supervisor answers."""


def tools(names: tuple[str, ...] = ("bwrap", "setpriv", "unshare", "mount")) -> dict[str, str]:
    """Paths of the programs that are needed.

    Raises:
        EngineMissing: one is absent, or the system is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise EngineMissing("the bubblewrap backend needs Linux; set [sandbox] backend to docker")
    found = {name: shutil.which(name) for name in names}
    absent = [name for name, path in found.items() if path is None]
    if absent:
        raise EngineMissing(f"the bubblewrap backend needs {', '.join(absent)}; {INSTALL}")
    return {name: str(path) for name, path in found.items()}


def interpreter(path: str) -> Interpreter:
    """Ask a Python about itself.

    Args:
        path: the interpreter, empty for the one that runs labwright.

    Raises:
        EngineMissing: it cannot be run, or lies in a folder that is too wide to be shown to a script.
    """
    executable = os.path.abspath(os.path.expanduser(path)) if path else sys.executable
    try:
        answer = subprocess.run([executable, "-I", "-c", _ASK], capture_output=True, timeout=60, check=True)
        prefix, base, version, distributions = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise EngineMissing(f"[sandbox] python: {executable} cannot be asked about itself: {error}") from error
    folders = tuple(dict.fromkeys((base, prefix)))
    wide = [folder for folder in folders if Path(folder) in TOO_WIDE | {Path.home()}]
    if wide:
        raise EngineMissing(
            f"[sandbox] python: {wide[0]} would be shown whole to the script; use a virtual environment"
        )
    return Interpreter(executable=executable, folders=folders, version=version, distributions=tuple(distributions))


def rlimits(limits: Limits) -> dict[str, int]:
    """Resource limits that the supervisor sets on the script."""
    return {
        "as": limits.memory_mib * settings.MIB,
        "nproc": limits.pids,
        "fsize": limits.file_mib * settings.MIB,
        "nofile": settings.OPEN_FILES,
        "core": 0,
        # A second wall that does not depend on the timer outside; per process, all cores busy.
        "cpu": ceil(limits.wall_s * max(1.0, limits.cpus)) + 5,
    }


def bwrap_arguments(python: Interpreter, limits: Limits, given: Descriptors, binds: dict[str, str]) -> list[str]:
    """What bwrap is told, without its own name.

    Args:
        python: runs supervisor and script.
        limits: limits of the job.
        given: open files.
        binds: place inside the sandbox to folder outside, all read-only.
    """
    isolation = (
        "--unshare-all --unshare-user --uid 65534 --gid 65534 --hostname sandbox --die-with-parent --new-session"
    )
    arguments = [*isolation.split(), "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"]
    arguments += ["--seccomp", str(given.seccomp), "--info-fd", str(given.info)]
    for name, value in sorted(_environment(limits).items()):
        arguments += ["--setenv", name, value]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    # The places first: an interpreter below /tmp is bound on top of the empty /tmp.
    for place, (size, _) in settings.tmpfs_limits(limits).items():
        arguments += ["--perms", "0700" if place == "/out" else "1777", "--size", str(size * settings.MIB)]
        arguments += ["--tmpfs", place]
    for place in SYSTEM:
        if os.path.islink(place):
            arguments += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            arguments += ["--ro-bind", place, place]
    for place, source in binds.items():
        arguments += ["--ro-bind", source, place]
    # bwrap's own root and /dev are memory without a size, so they are closed once filled.
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/out", "--"]
    supervisor = [python.executable, "-I", "-S", "/opt/labwright/supervisor.py"]
    return [*arguments, *supervisor, "namespace", str(given.control), json.dumps(rlimits(limits))]


def command(programs: dict[str, str], inner: list[str], mounts: dict[str, str]) -> list[str]:
    """The whole command: privileges are dropped before bwrap starts.

    As root bwrap would leave the machine's own settings below /proc writable from inside.

    Args:
        programs: what :func:`tools` found.
        inner: what :func:`bwrap_arguments` gave.
        mounts: folder to a reachable mount point, for root only; empty when labwright is not root.
    """
    drop = [programs["setpriv"], "--no-new-privs"]
    if mounts:
        drop += ["--reuid", str(OUTER_ID), "--regid", str(OUTER_ID), "--clear-groups"]
    confined = [*drop, programs["bwrap"], *inner]
    if not mounts:
        return confined
    pairs = [part for source, point in mounts.items() for part in (source, point)]
    own_mounts = [programs["unshare"], "--mount", "--propagation", "private"]
    return [*own_mounts, "/bin/sh", "-c", _BIND, "sh", *pairs, "--", *confined]


def _environment(limits: Limits) -> dict[str, str]:
    return settings.environment(limits) | {
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": "/opt/labwright/src",
    }
