"""The one way to a sandbox: find the engine and the image, sweep, probe."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from labwright.config import cache_dir
from labwright.errors import EngineMissing, SandboxBroken
from labwright.sandbox import image
from labwright.sandbox.address import find_engine
from labwright.sandbox.docker_engine import DockerSandbox
from labwright.sandbox.engine_info import engine_errors
from labwright.sandbox.image import BaseChoice, ImageInfo, Progress
from labwright.sandbox.owner import sweep
from labwright.sandbox.probe import proved
from labwright.sandbox.sbom import Bill, bill_of


def connect(*, runtime: str = "") -> DockerSandbox:
    """A sandbox that passed its probe.

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
        sandbox.probe_facts = proved(sandbox, cache_dir() / "probes")
        sandbox.sbom_sha256 = bill_of(sandbox, sbom_dir()).sha256
    except SandboxBroken as error:
        raise EngineMissing(f"the container engine failed: {error}; run `make engine`") from error
    return sandbox


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
