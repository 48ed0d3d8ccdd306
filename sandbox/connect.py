"""The one way to a sandbox: find the engine and the image, sweep, probe."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from labwright.config import SandboxConfig, cache_dir
from labwright.errors import EngineMissing, SandboxBroken
from labwright.lease import lease_is_exclusive
from labwright.sandbox import image
from labwright.sandbox.address import find_engine
from labwright.sandbox.bubblewrap import LACKING, BubblewrapSandbox
from labwright.sandbox.bubblewrap_command import rlimits
from labwright.sandbox.contract import Job, Limits
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.engine_info import engine_errors
from labwright.sandbox.image import BaseChoice, ImageInfo, Progress
from labwright.sandbox.owner import sweep, sweep_staging
from labwright.sandbox.pool import WarmPool
from labwright.sandbox.probe import LIMITS, fingerprint, proved
from labwright.sandbox.queue import JobQueue
from labwright.sandbox.sbom import Bill, bill_of

AnySandbox = DockerSandbox | BubblewrapSandbox
MEMORY_SHARE = 0.8
"""Part of the machine's memory that jobs may be promised together."""
WARM = 2
"""Warm containers where nothing else is said: an analysis and its check."""
ANALYSES = (
    "import gseapy, leidenalg, lifelines, pyarrow, pydeseq2, rdata, scanpy, sklearn, statsmodels.api\n"
    "import labwright.tools.analysis\n"
)


def connect(chosen: SandboxConfig | None = None) -> AnySandbox:
    """A sandbox that passed its probe; the backend that is asked for or none.

    Args:
        chosen: `[sandbox]` of the configuration, None for its defaults.

    Raises:
        EngineMissing: the backend is not there, the image is not built, or the probe found a hole.
    """
    chosen = chosen or SandboxConfig()
    return _bubblewrap(chosen.python) if chosen.backend == "bubblewrap" else connect_engine(chosen.runtime)


def limits_of(chosen: SandboxConfig) -> Limits:
    """Limits of an analysis job."""
    return Limits(wall_s=chosen.wall_s, memory_mib=chosen.memory_mib)


@contextmanager
def warmed(sandbox: AnySandbox, chosen: SandboxConfig) -> Iterator[AnySandbox | WarmPool]:
    """The sandbox, with as many warm containers for analysis jobs as the configuration says, removed at the end."""
    size = chosen.warm
    if size is None:
        size = 0 if lease_is_exclusive() else WARM
    if size == 0 or not isinstance(sandbox, DockerSandbox):
        yield sandbox
        return
    with WarmPool(sandbox, limits_of(chosen), size) as pool:
        yield pool


def queue_for(sandbox: AnySandbox) -> JobQueue:
    """A queue that fills the machine of the sandbox: its cores, and its memory but for a fifth."""
    cores, memory = os.cpu_count() or 1, psutil.virtual_memory().total >> 20
    if isinstance(sandbox, DockerSandbox):
        cores, memory = sandbox.engine.cores, sandbox.engine.memory_mib
    return JobQueue(sandbox, cores=cores, memory_mib=MEMORY_SHARE * memory)


def connect_engine(runtime: str = "") -> DockerSandbox:
    """A sandbox on a container engine that passed its probe.

    Args:
        runtime: OCI runtime by its name in the engine, empty for the engine's default.

    Raises:
        EngineMissing: no engine answers, it has no such runtime, the image is not built, or the probe found a hole.
    """
    address = find_engine()
    staging = cache_dir() / "staging"
    try:
        with engine_errors("looking for the image"), closing(address.client()) as client:
            found = image.find(client)
            if found is None:
                raise EngineMissing("the sandbox image is not built; run `labwright sandbox build`")
            sweep(client, staging)
        sandbox = DockerSandbox(address, found, staging, runtime=runtime or None)
        sandbox.probe_facts = proved(sandbox, cache_dir() / "probes", key=fingerprint(sandbox))
        sandbox.sbom_sha256 = bill_of(sandbox, sbom_dir()).sha256
    except SandboxBroken as error:
        raise EngineMissing(f"the container engine failed: {error}; run `make engine`") from error
    return sandbox


def _bubblewrap(python: str) -> BubblewrapSandbox:
    staging = cache_dir() / "staging"
    sweep_staging(staging)
    sandbox = BubblewrapSandbox(staging, python=python)
    sandbox.probe_facts = proved(sandbox, cache_dir() / "probes", key=sandbox.fingerprint(), lacking=tuple(LACKING))
    seen, asked = sandbox.probe_facts["rlimits"], rlimits(LIMITS)
    if seen != asked:
        raise EngineMissing(f"bubblewrap: the limits in force are {seen}, not {asked}")
    _can_analyse(sandbox)
    return sandbox


def _can_analyse(sandbox: BubblewrapSandbox) -> None:
    """Whether the interpreter has what analyses import, remembered with the probe."""
    mark = cache_dir() / "probes" / f"{sandbox.fingerprint()}.imports"
    if mark.is_file():
        return
    limits = Limits(wall_s=300.0)
    with tempfile.TemporaryDirectory(prefix="labwright-probe-") as folder:
        result = sandbox.run(Job(script=ANALYSES, limits=limits, run_id="probe"), Path(folder) / "out")
    if not result.ok:
        last = (result.stderr.strip().splitlines() or [result.cause])[-1][-200:]
        raise EngineMissing(
            f"{sandbox.python.executable} cannot run analyses ({last}); install sandbox/requirements.txt "
            "into a virtual environment and name its Python as [sandbox] python"
        )
    mark.touch()


def sbom_dir() -> Path:
    """Folder of the bills of materials."""
    return cache_dir() / "sbom"


def build_image(progress: Progress, *, base: BaseChoice = "auto") -> tuple[ImageInfo, Bill]:
    """Build the image of this version of labwright unless it is there, and list what is in it.

    Raises:
        EngineMissing: no engine answers, or the build failed.
    """
    address = find_engine()
    try:
        with engine_errors("building the image"), closing(address.client()) as client:
            built = image.build(client, progress, base=base)
        # Our own script lists them, so this does not wait for a probe.
        return built, bill_of(DockerSandbox(address, built, cache_dir() / "staging"), sbom_dir())
    except SandboxBroken as error:
        raise EngineMissing(str(error)) from error
