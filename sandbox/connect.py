"""The one way to a sandbox: find the engine and the image, sweep, probe."""

from __future__ import annotations

from contextlib import closing

from labwright.config import cache_dir
from labwright.errors import EngineMissing, SandboxBroken
from labwright.sandbox import image
from labwright.sandbox.address import find_engine
from labwright.sandbox.docker_engine import DockerSandbox, engine_errors
from labwright.sandbox.image import BaseChoice, ImageInfo, Progress
from labwright.sandbox.owner import sweep
from labwright.sandbox.probe import proved


def connect(*, runtime: str | None = None) -> DockerSandbox:
    """A sandbox that passed its probe.

    Args:
        runtime: OCI runtime by its name in the engine, None for the engine's default.

    Raises:
        EngineMissing: no engine answers, the image is not built, or the probe found a hole.
    """
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
    sandbox.probe_facts = proved(sandbox, cache_dir() / "probes")
    return sandbox


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
