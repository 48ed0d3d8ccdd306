"""Proves every limit of the sandbox by running against it, and says of each what was asked and what was seen.

The payloads are those of the attack suite, by their names; what stays is read from a fresh probe, and the removal
of containers is looked up in the engine.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from docker import APIClient
from docker.errors import NotFound

from labwright.sandbox import owner, settings
from labwright.sandbox.attacks import suite
from labwright.sandbox.attacks.leftovers import leftovers
from labwright.sandbox.attacks.suite import LIMITS, SHORT, Outcome
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.engine_info import engine_errors
from labwright.sandbox.owner import Owner, sweep
from labwright.sandbox.probe import observed, requirements

RUN_ID = "doctor"
_PLACES = settings.tmpfs_limits(LIMITS)
RUN: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("wall clock", f"{SHORT.wall_s:g} s", ("sleeping",)),
    ("memory without swap", f"{LIMITS.memory_mib} MiB, 0 swap", ("memory",)),
    ("processes", str(LIMITS.pids), ("fork_bomb_polite",)),
    ("processors", f"{LIMITS.cpus:g}", ("cpu_spin",)),
    ("file size", f"{LIMITS.file_mib} MiB", ("large_file",)),
    *((f"size of {place}", f"{mib} MiB", (f"disk_{place[-3:]}",)) for place, (mib, _) in _PLACES.items()),
    *((f"inodes of {place}", str(most), (f"inodes_{place[-3:]}",)) for place, (_, most) in _PLACES.items()),
    ("log cap", f"{LIMITS.log_kib} KiB", ("endless_output", "endless_errors")),
    ("artifact bytes", f"{LIMITS.out_mib} MiB", ("sparse_files",)),
    ("artifact count", f"{LIMITS.out_files} files", ("too_many_files",)),
    ("no network", "own name space", ("network_routes", "loopback_of_host", "abstract_socket_of_host")),
    ("read-only root", "no write", ("tamper_code",)),
    ("read-only inputs", "no write", ("tamper_inputs",)),
)
"""Limit, what is asked, and the attacks that prove it."""
PROBED = {
    "unprivileged user": settings.USER,
    "no capabilities": "none",
    "no new privileges": "1",
    "seccomp filter": "2, sha256 " + settings.seccomp_sha256()[:12],
}
"""Requirements of the probe that are shown, and what is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One limit and its proof."""

    limit: str
    """What is limited."""
    asked: str
    """The limit that was set."""
    seen: str
    """What happened when it was reached for."""
    proven: bool
    """It held."""


def examine(sandbox: DockerSandbox, done: Callable[[Outcome], None]) -> list[Finding]:
    """Run against every limit.

    Args:
        sandbox: what is examined.
        done: told the outcome of every attack as it comes, from any thread.

    Raises:
        EngineMissing: the probe could not be run.
        SandboxBroken: the engine failed.
    """
    wanted = suite.chosen(list(dict.fromkeys(name for _, _, names in RUN for name in names)))
    outcomes = {outcome.name: outcome for outcome in suite.run(sandbox, wanted, done)}
    return [*by_attacks(outcomes), *by_probe(observed(sandbox)[0]), _removed(sandbox), _swept(sandbox)]


def by_attacks(outcomes: Mapping[str, Outcome]) -> list[Finding]:
    """The findings of attacks that were run, by the attacks' names."""
    findings = []
    for limit, asked, names in RUN:
        ran = [outcomes[name] for name in names]
        seen = [", ".join(filter(None, (o.stopped_by, o.figure))) for o in ran]
        findings.append(
            Finding(limit=limit, asked=asked, seen="; ".join(dict.fromkeys(seen)), proven=all(o.held for o in ran))
        )
    return findings


def by_probe(facts: Mapping[str, Any]) -> list[Finding]:
    """The findings of a probe's facts."""
    checks = requirements(dict(facts))
    findings = []
    for name, asked in PROBED.items():
        holds, seen = checks[name]
        findings.append(Finding(limit=name, asked=asked, seen=_text(seen), proven=holds))
    return findings


def _text(value: Any) -> str:
    return ", ".join(sorted(set(map(str, value)))) if isinstance(value, list) else str(value)


def _removed(sandbox: DockerSandbox) -> Finding:
    """Nothing of this process is left after all the jobs above."""
    left = leftovers(sandbox)
    seen = ", ".join(f"{count} {kind}" for kind, count in left.items())
    return Finding(limit="container removed", asked="nothing left", seen=seen, proven=not any(left.values()))


def _swept(sandbox: DockerSandbox) -> Finding:
    """A container whose owner lives stays; when the owner was killed it goes, with its folder."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    theirs = replace(Owner.current(), pid=child.pid, start=owner.start_of(child.pid) or 0)
    folder = sandbox.staging / f"{theirs}-{RUN_ID}"
    try:
        folder.mkdir(parents=True)
        with engine_errors("sweeping"), _orphan(sandbox, theirs) as (api, container):
            _sweep(sandbox)
            stayed = _is_there(api, container) and folder.exists()
            child.kill()
            child.wait()
            _sweep(sandbox)
            gone = not _is_there(api, container) and not folder.exists()
    finally:
        child.kill()
        child.communicate()
        if folder.is_dir():
            folder.rmdir()
    seen = f"{'kept' if stayed else 'LOST'} while its owner lived, {'gone' if gone else 'LEFT'} after the kill"
    return Finding(limit="orphan sweep", asked="only of dead owners", seen=seen, proven=stayed and gone)


def _sweep(sandbox: DockerSandbox) -> None:
    with closing(sandbox.address.client()) as client:
        sweep(client, sandbox.staging)


def _is_there(api: APIClient, container: str) -> bool:
    try:
        api.inspect_container(container)
    except NotFound:
        return False
    return True


@contextmanager
def _orphan(sandbox: DockerSandbox, theirs: Owner) -> Iterator[tuple[APIClient, str]]:
    """A running container labelled as another process's."""
    labels = owner.labels(RUN_ID) | {owner.OWNER_LABEL: str(theirs)}
    with closing(sandbox.new_api()) as api:
        config = settings.host_config(api, LIMITS, binds=[], cores=sandbox.engine.cores, runtime=sandbox.runtime)
        made = api.create_container(sandbox.image.id, user=settings.USER, labels=labels, host_config=config)
        container = str(made["Id"])
        try:
            api.start(container)
            yield api, container
        finally:
            if _is_there(api, container):
                api.remove_container(container, force=True, v=True)
