"""What every container gets: no network, no capability, read-only root, own seccomp profile, limits."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from docker import APIClient
from docker.types import DriverConfig, LogConfig, Mount, Ulimit

from labwright.sandbox.contract import Limits

MIB = 1 << 20
USER_ID = 65534
USER = f"{USER_ID}:{USER_ID}"
HOSTNAME = "sandbox"
SHM_MIB = 64
TMP_MIB = 512
OPEN_FILES = 1024
_TMPFS = "nosuid,nodev,noexec"


@cache
def seccomp_profile() -> str:
    """The system calls that a container may make, as compact JSON text."""
    text = (resources.files("labwright.sandbox") / "seccomp.json").read_text(encoding="utf-8")
    return json.dumps(json.loads(text), separators=(",", ":"))


def seccomp_sha256() -> str:
    """Hex digest of the profile as it is sent to the engine."""
    return hashlib.sha256(seccomp_profile().encode()).hexdigest()


def tmpfs_limits(limits: Limits) -> dict[str, tuple[int, int]]:
    """Size in MiB and number of inodes of each writable place."""
    return {
        "/tmp": (min(TMP_MIB, limits.memory_mib // 2), 8192),  # noqa: S108
        "/dev/shm": (SHM_MIB, 256),  # noqa: S108
        "/out": (limits.out_mib, 2 * limits.out_files + 64),
    }


def environment(limits: Limits) -> dict[str, str]:
    """Environment of the script; it never holds a secret, the script can read it."""
    threads = str(max(1, int(limits.cpus)))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    scratch = ("HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "TMPDIR")
    return (
        dict.fromkeys(names, threads)
        | dict.fromkeys(scratch, "/tmp")  # noqa: S108
        | {"MPLBACKEND": "Agg", "PYTHONHASHSEED": "0", "TZ": "UTC"}
    )


def mounts(limits: Limits, *, inputs: str, work: str, labels: dict[str, str]) -> list[Mount]:
    """Inputs and script read-only from the host; outputs on an anonymous sized memory volume."""
    size, inodes = tmpfs_limits(limits)["/out"]
    options = f"size={size}m,nr_inodes={inodes},mode=0700,uid={USER_ID},gid={USER_ID},{_TMPFS}"
    volume = DriverConfig("local", {"type": "tmpfs", "device": "tmpfs", "o": options})
    return [
        Mount("/in", inputs, "bind", read_only=True),
        Mount("/work", work, "bind", read_only=True),
        Mount("/out", None, "volume", no_copy=True, labels=labels, driver_config=volume),
    ]


def host_config(api: APIClient, limits: Limits, *, binds: list[Mount], cores: int, runtime: str | None) -> Any:
    """Everything the engine enforces, in the engine's terms.

    Args:
        api: a client, which knows the API version.
        limits: limits of the job.
        binds: what :func:`mounts` gave.
        cores: cores of the engine's machine; an engine refuses a larger quota.
        runtime: OCI runtime by its name in the engine, None for the engine's default.
    """
    memory = limits.memory_mib * MIB
    tmpfs = {
        place: f"size={size}m,nr_inodes={inodes},mode=1777,{_TMPFS}"
        for place, (size, inodes) in tmpfs_limits(limits).items()
        if place != "/out"
    }
    ulimits = [("nofile", OPEN_FILES), ("fsize", limits.file_mib * MIB), ("core", 0)]
    return api.create_host_config(
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        ipc_mode="private",
        security_opt=["no-new-privileges", f"seccomp={seccomp_profile()}"],
        pids_limit=limits.pids,
        mem_limit=memory,
        memswap_limit=memory,
        nano_cpus=int(min(limits.cpus, float(cores)) * 1e9),
        ulimits=[Ulimit(name=name, soft=value, hard=value) for name, value in ulimits],
        tmpfs=tmpfs,
        mounts=binds,
        log_config=LogConfig(type="none"),
        init=False,
        runtime=runtime,
    )
