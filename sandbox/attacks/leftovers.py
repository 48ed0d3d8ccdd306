"""Counts what jobs left behind: nothing is the only good answer."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import psutil

from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.engine_info import engine_errors
from labwright.sandbox.owner import OWNER_LABEL, Owner


def leftovers(sandbox: DockerSandbox, owners: Collection[str] = ()) -> dict[str, int]:
    """Containers, volumes, mounts, processes and staging folders of jobs that have all ended.

    Other programs on this machine may run jobs of their own at the same time; those do not count.

    Args:
        sandbox: names the engine and the folder for copies of inputs that are looked at.
        owners: whose jobs are looked for, as :class:`Owner` writes them; this process's when none is given.

    Raises:
        SandboxBroken: the engine does not answer.
    """
    owners = owners or (str(Owner.current()),)
    with engine_errors("counting what is left"), closing(sandbox.new_api()) as api:
        labelled = [{"label": f"{OWNER_LABEL}={owner}"} for owner in owners]
        containers = sum(len(api.containers(all=True, filters=filters)) for filters in labelled)
        volumes = sum(len(api.volumes(filters=filters)["Volumes"] or []) for filters in labelled)
    places = [part.mountpoint for part in psutil.disk_partitions(all=True)]
    seen = [text for pid in psutil.pids() if (text := _mounts_of(pid))]
    return {
        "containers": containers,
        "volumes": volumes,
        "mounts": sum(1 for place in places if any(owner in place for owner in owners)),
        # A folder of an owner's jobs is mounted where the process is: it is in one of the containers.
        "processes": sum(1 for text in seen if any(f"/{owner}-" in text for owner in owners)),
        "folders": sum(1 for owner in owners for _ in sandbox.staging.glob(f"{owner}-*")),
    }


def _mounts_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # it has ended
