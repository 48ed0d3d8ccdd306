"""The one way to a sandbox: find the engine and the image, sweep, probe."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Literal

from labwright.config import cache_dir
from labwright.errors import EngineMissing, SandboxBroken
from labwright.sandbox import image
from labwright.sandbox.address import find_engine
from labwright.sandbox.bubblewrap import LACKING, BubblewrapSandbox
from labwright.sandbox.bubblewrap_command import rlimits
from labwright.sandbox.contract import Job, Limits
from labwright.sandbox.docker_engine import DockerSandbox, engine_errors
from labwright.sandbox.image import BaseChoice, ImageInfo, Progress
from labwright.sandbox.owner import sweep, sweep_staging
from labwright.sandbox.probe import LIMITS, fingerprint, proved

Backend = Literal["docker", "bubblewrap"]
AnySandbox = DockerSandbox | BubblewrapSandbox
ANALYSES = (
    "import gseapy, leidenalg, lifelines, pyarrow, pydeseq2, rdata, scanpy, sklearn, statsmodels.api\n"
    "import labwright.tools.analysis\n"
)


def connect(*, backend: Backend = "docker", python: str = "", runtime: str | None = None) -> AnySandbox:
    """A sandbox that passed its probe; the backend that is asked for or none.

    Args:
        backend: docker, or bubblewrap where a person chose it.
        python: for bubblewrap, the interpreter that has the analysis packages; empty for labwright's own.
        runtime: for docker, OCI runtime by its name in the engine, None for the engine's default.

    Raises:
        EngineMissing: the backend is not there, the image is not built, or the probe found a hole.
    """
    return _bubblewrap(python) if backend == "bubblewrap" else _docker(runtime)


def _docker(runtime: str | None) -> DockerSandbox:
    address = find_engine()
    staging = cache_dir() / "staging"
    try:
        with engine_errors("looking for the image"), closing(address.client()) as client:
            found = image.find(client)
            if found is None:
                raise EngineMissing("the sandbox image is not built; run `labwright sandbox build`")
            sweep(client, staging)
        sandbox = DockerSandbox(address, found, staging, runtime=runtime)
    except SandboxBroken as error:
        raise EngineMissing(f"the container engine failed: {error}; run `make engine`") from error
    sandbox.probe_facts = proved(sandbox, cache_dir() / "probes", key=fingerprint(sandbox))
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


def build_image(progress: Progress, *, base: BaseChoice = "auto") -> ImageInfo:
    """Build the image of this version of labwright unless it is there.

    Raises:
        EngineMissing: no engine answers, or the build failed.
    """
    address = find_engine()
    try:
        with engine_errors("building the image"), closing(address.client()) as client:
            return image.build(client, progress, base=base)
    except SandboxBroken as error:
        raise EngineMissing(str(error)) from error
