"""Counts what jobs left behind: nothing is the only good answer."""

from __future__ import annotations

from contextlib import closing

import psutil

from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.engine_info import engine_errors
from labwright.sandbox.owner import LABEL
from labwright.sandbox.settings import USER_ID


def leftovers(sandbox: DockerSandbox) -> dict[str, int]:
    """Containers, volumes, mounts, processes and folders of any labwright job, running or not.

    Args:
        sandbox: names the engine and the folder for copies of inputs that are looked at.

    Raises:
        SandboxBroken: the engine does not answer.
    """
    labelled = {"label": LABEL}
    staging = sandbox.staging
    with engine_errors("counting what is left"), closing(sandbox.new_api()) as api:
        containers = len(api.containers(all=True, filters=labelled))
        volumes = len(api.volumes(filters=labelled)["Volumes"] or [])
    return {
        "containers": containers,
        "volumes": volumes,
        "mounts": sum(1 for part in psutil.disk_partitions(all=True) if str(staging) in part.mountpoint),
        "processes": sum(1 for p in psutil.process_iter(["uids", "cmdline"]) if _of_a_job(p)),
        "folders": sum(1 for _ in staging.iterdir()) if staging.is_dir() else 0,
    }


def _of_a_job(process: psutil.Process) -> bool:
    uids, command = process.info["uids"], process.info["cmdline"] or []
    return uids is not None and uids.real == USER_ID and any("/work/script.py" in part for part in command)
