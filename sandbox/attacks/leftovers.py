"""Counts what jobs left behind: nothing is the only good answer."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psutil

from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.engine_info import engine_errors
from labwright.sandbox.owner import OWNER_LABEL, Owner


def leftovers(sandbox: DockerSandbox) -> dict[str, int]:
    """Containers, volumes, mounts, processes and staging folders of jobs of this process; all of them have ended.

    Other programs on this machine may run jobs of their own at the same time; those do not count.

    Args:
        sandbox: names the engine and the folder for copies of inputs that are looked at.

    Raises:
        SandboxBroken: the engine does not answer.
    """
    mine = str(Owner.current())
    labelled = {"label": f"{OWNER_LABEL}={mine}"}
    with engine_errors("counting what is left"), closing(sandbox.new_api()) as api:
        containers = len(api.containers(all=True, filters=labelled))
        volumes = len(api.volumes(filters=labelled)["Volumes"] or [])
    return {
        "containers": containers,
        "volumes": volumes,
        "mounts": sum(1 for part in psutil.disk_partitions(all=True) if mine in part.mountpoint),
        "processes": sum(1 for pid in psutil.pids() if _sees(pid, mine)),
        "folders": sum(1 for _ in sandbox.staging.glob(f"{mine}-*")),
    }


def _sees(pid: int, owner: str) -> bool:
    """Whether a folder of that owner's jobs is mounted where the process is: it is in one of the containers."""
    try:
        return f"/{owner}-" in Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False  # it has ended
