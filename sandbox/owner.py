"""Who owns a container or a staging folder, and the removal of what a killed owner left.

A `finally` does not survive SIGKILL. So everything is labelled with the owner's process id, the start time of
that process, the boot and the process namespace; only what carries our label and whose owner is certainly
dead is removed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError, NotFound

LABEL = "org.labwright.job"
RUN_LABEL = "org.labwright.run"
OWNER_LABEL = "org.labwright.owner"
_TEXT = re.compile(r"(\d+)-(\d+)-(\w+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Owner:
    """One process, told apart from any later one with the same id."""

    pid: int
    start: int
    """Clock ticks from boot to its start."""
    boot: str
    """First eight digits of the boot id."""
    namespace: int
    """Inode of its process namespace: the id means nothing in another one."""

    def __str__(self) -> str:
        return f"{self.pid}-{self.start}-{self.boot}-{self.namespace}"

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """The owner that `text` starts with, None when it names none."""
        match = _TEXT.match(text)
        return cls(int(match[1]), int(match[2]), match[3], int(match[4])) if match else None

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        boot, namespace = _here()
        return cls(os.getpid(), start_of(os.getpid()) or 0, boot, namespace)

    def is_dead(self) -> bool:
        """It certainly does not run any more; false when that cannot be told."""
        boot, namespace = _here()
        if not boot:
            return False
        if self.boot != boot:
            return True
        return self.namespace == namespace and start_of(self.pid) != self.start


def _here() -> tuple[str, int]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        return boot, os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return "", 0


def start_of(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name may hold spaces and brackets; what follows it starts with the state, field 3.
    fields = stat.rpartition(") ")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def labels(run_id: str) -> dict[str, str]:
    """Labels of a container of this process."""
    return {LABEL: "1", OWNER_LABEL: str(Owner.current()), RUN_LABEL: run_id}


def sweep(client: DockerClient, staging: Path) -> int:
    """Remove containers and staging folders of dead owners; returns how many containers went."""
    removed = 0
    for summary in client.api.containers(all=True, filters={"label": LABEL}):
        if _owner_is_dead(summary.get("Labels") or {}):
            try:
                client.api.remove_container(summary["Id"], force=True, v=True)
            except (NotFound, APIError):  # another sweep was first
                continue
            removed += 1
    sweep_staging(staging)
    return removed


def sweep_staging(staging: Path) -> None:
    """Remove the staging folders of dead owners."""
    for folder in staging.glob("*") if staging.is_dir() else ():
        owner = Owner.parse(folder.name)
        if owner is not None and owner.is_dead():
            shutil.rmtree(folder, ignore_errors=True)


def _owner_is_dead(found: Mapping[str, str]) -> bool:
    owner = Owner.parse(found.get(OWNER_LABEL, ""))
    return owner is not None and owner.is_dead()
