"""Proves by experiment that the engine enforces what is asked of it; an engine that does not is refused."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from labwright.errors import EngineMissing, SandboxBroken
from labwright.sandbox import settings
from labwright.sandbox.contract import Job, Limits, Sandbox
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.staging import private_folder

VALID_S = 86_400.0
LIMITS = Limits(wall_s=30.0, memory_mib=256, pids=32, cpus=1.0, out_mib=8, out_files=16, file_mib=8)
CONTENT = "what the probe reads\n"
REFUSED = {"EPERM", "EROFS", "EACCES"}
_proved: dict[str, dict[str, Any]] = {}


class Probed(Sandbox, Protocol):
    """A sandbox as the probe needs it."""

    @property
    def kind(self) -> str:
        """What isolates its jobs: the engine's kind, or bubblewrap."""

    @property
    def staging(self) -> Path:
        """Folder for copies of inputs."""


def proved(sandbox: Probed, cache: Path, *, key: str, lacking: Collection[str] = ()) -> dict[str, Any]:
    """Facts of a probe that passed: from this process, from the last day, or new.

    Args:
        sandbox: what is probed.
        cache: folder that remembers passed probes.
        key: hash of everything that the outcome depends on.
        lacking: requirements that the backend says it does not meet.

    Raises:
        EngineMissing: a requirement failed; the message names it.
    """
    if key not in _proved:
        path = cache / f"{key}.json"
        facts = _remembered(path)
        if facts is None:
            facts = probe(sandbox, lacking)
            cache.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        _proved[key] = facts
    return _proved[key]


def fingerprint(sandbox: DockerSandbox) -> str:
    """Hash of everything that a passed probe depends on."""
    package = resources.files("labwright.sandbox")
    names = ("settings.py", "probe.py", "probe_script.py", "seccomp.json")
    recipes = [(package / name).read_text(encoding="utf-8") for name in names]
    engine = sandbox.engine
    parts = [engine.id, engine.version, engine.runtime, sandbox.image.id, *recipes]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _remembered(path: Path) -> dict[str, Any] | None:
    try:
        if time.time() - path.stat().st_mtime > VALID_S:
            return None
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def probe(sandbox: Probed, lacking: Collection[str] = ()) -> dict[str, Any]:
    """Run one job that tries what must not work.

    Args:
        sandbox: what is probed.
        lacking: requirements that the backend says it does not meet.

    Raises:
        EngineMissing: a requirement failed, or the container could not be run.
    """
    facts, read = observed(sandbox)
    holes = failed_requirements(facts, lacking)
    if holes:
        raise EngineMissing(f"{_called(sandbox.kind)} fails the sandbox probe: {'; '.join(holes)}")
    return facts | {"inputs_read_observable": read}


def observed(sandbox: Probed) -> tuple[dict[str, Any], bool]:
    """What one job could do and saw, and whether its read of an input was seen from outside.

    Raises:
        EngineMissing: the job could not be run.
    """
    script = (resources.files("labwright.sandbox") / "probe_script.py").read_text(encoding="utf-8")
    with private_folder(sandbox.staging) as folder:
        source = folder / "probe.txt"
        source.write_text(CONTENT, encoding="ascii")
        job = Job(script=script, inputs={"probe.txt": source}, limits=LIMITS, run_id="probe")
        try:
            result = sandbox.run(job, folder / "out")
        except SandboxBroken as error:
            raise EngineMissing(cannot_run(sandbox.kind, error)) from error
    if not result.ok:
        raise EngineMissing(f"the sandbox probe failed ({result.cause}): {result.stderr.strip()[-300:]}")
    try:
        facts = json.loads(result.stdout)
    except ValueError as error:
        raise EngineMissing(f"the sandbox probe answered {result.stdout[:200]!r}") from error
    return dict(facts), result.inputs_read == ("probe.txt",)


def cannot_run(kind: str, error: SandboxBroken) -> str:
    """Why an engine of this kind did not run the sandbox."""
    if kind.startswith("podman"):
        return (
            "Podman's service cannot run the sandbox: it takes no system call filter in a request and no limit on the "
            f"inodes of a memory file system; run `make engine`, or use Docker Engine ({error})"
        )
    return f"{_called(kind)} cannot run the sandbox: {error}"


def _called(kind: str) -> str:
    return kind if kind == "bubblewrap" else "the container engine"


def failed_requirements(facts: dict[str, Any], lacking: Collection[str] = ()) -> list[str]:
    """Names of the requirements that the probe's facts do not meet, but those in `lacking`, with what was seen."""
    checks = requirements(facts).items()
    return [f"{name} (saw {seen})" for name, (holds, seen) in checks if not holds and name not in lacking]


def requirements(facts: dict[str, Any]) -> dict[str, tuple[bool, Any]]:
    """Every requirement by its name: whether the probe's facts meet it, and what was seen."""
    status = facts["status"]
    ids = status["Uid"].split() + status["Gid"].split()
    capabilities = {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
    checks = {
        "unprivileged user": (set(ids) == {str(settings.USER_ID)}, ids),
        "no capabilities": (not any(int(held, 16) for held in capabilities), sorted(capabilities)),
        "no new privileges": (status["NoNewPrivs"] == "1", status["NoNewPrivs"]),
        "seccomp filter": (status["Seccomp"] == "2", status["Seccomp"]),
        "no network": (facts["interfaces"] == ["lo"], facts["interfaces"]),
        "inputs mounted read-only": (facts["input_mount_read_only"], facts["input_mount_read_only"]),
        "input readable": (facts["input"] == CONTENT, facts["input"][:40]),
        "writable output folder": (facts["write_out"] == "ok", facts["write_out"]),
        "no engine socket": (not facts["docker_socket"], facts["docker_socket"]),
    }
    for name in ("vsock", "netlink", "packet", "unshare", "io_uring"):
        checks[f"{name} refused"] = (facts[name] == "EPERM", facts[name])
    for name in ("write_root", "write_package", "write_input", "write_sysctl"):
        checks[f"{name} refused"] = (facts[name] in REFUSED, facts[name])
    return checks | _limit_checks(facts)


def _limit_checks(facts: dict[str, Any]) -> dict[str, tuple[bool, Any]]:
    memory = str(LIMITS.memory_mib * settings.MIB)
    swap_off = facts["memory_and_swap"] == memory or facts["swap"] == "0"
    expected = settings.tmpfs_limits(LIMITS)
    mib = {place: size for place, (size, _) in facts["sizes"].items()}
    few = all(seen[1] == expected[place][1] for place, seen in facts["sizes"].items())
    quota = facts["cpu"].split()
    asked = {"fsize": LIMITS.file_mib * settings.MIB, "nofile": settings.OPEN_FILES, "core": 0}
    given = {kind: facts["rlimits"][kind] for kind in asked}
    return {
        "limit on processes": (facts["pids"] == str(LIMITS.pids), facts["pids"]),
        "limit on memory": (facts["memory"] == memory, facts["memory"]),
        "no swap": (swap_off, facts["swap"] or facts["memory_and_swap"]),
        "limit on processors": (bool(quota) and quota[0].isdigit(), facts["cpu"]),
        "size of writable places": (mib == {place: size for place, (size, _) in expected.items()}, mib),
        "limits on files": (given == asked, given),
        "inodes of writable places": (few, facts["sizes"]),
    }
