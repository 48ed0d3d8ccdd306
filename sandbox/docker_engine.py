"""Runs a job in a throw-away container of a Docker engine.

Protocol: create, attach, start process 1, give it the word to start the script as an unprivileged user, read the output
up to a cap, kill the container from outside at the wall limit, freeze it, take its files, remove it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Any

from docker import APIClient

from labwright.sandbox import owner, settings
from labwright.sandbox.address import EngineAddress
from labwright.sandbox.container import COLD, WARM, JobContainer
from labwright.sandbox.contract import Job, Limits, Result
from labwright.sandbox.engine_info import engine_errors, engine_info
from labwright.sandbox.image import ImageInfo
from labwright.sandbox.staging import check


class DockerSandbox:
    """A sandbox on a Docker engine; made by :func:`labwright.sandbox.connect.connect`, which probes it."""

    def __init__(self, address: EngineAddress, image: ImageInfo, staging: Path, *, runtime: str | None = None) -> None:
        """Bind an engine and an image.

        Args:
            address: where the engine is.
            image: the image that jobs run in.
            staging: folder for copies of inputs; must be visible to the engine under the same path.
            runtime: OCI runtime by its name in the engine, None for the engine's default.

        Raises:
            EngineMissing: the engine has no runtime of that name.
            SandboxBroken: the engine does not answer.
        """
        self.image = image
        self.engine = engine_info(address, runtime)
        self.probe_facts: dict[str, Any] = {}
        self.sbom_sha256 = ""
        """Digest of the image's bill of materials, empty until it is known."""
        self.address = address
        self.staging = staging
        self.runtime = runtime

    @property
    def kind(self) -> str:
        """The engine's kind."""
        return self.engine.kind

    def run(self, job: Job, out_dir: Path, *, stop: Event | None = None) -> Result:
        """Run `job` in a new container; write its outputs into `out_dir`, which must be absent or empty.

        Raises:
            WrongUse: the job or `out_dir` is not acceptable.
            SandboxBroken: the sandbox failed; nothing is known about the script.
        """
        begin = time.monotonic()
        check(job, out_dir)
        return self.run_in(self.container(job.limits, job.run_id), job, out_dir, stop=stop, begin=begin)

    def container(self, limits: Limits, run_id: str = "", *, warm: bool = False) -> JobContainer:
        """A started container that waits for one job of these limits; the caller runs the job in it or closes it.

        Args:
            limits: limits of the job to come.
            run_id: label of the run that owns it.
            warm: import the analysis stack, and return when that is done.

        Raises:
            SandboxBroken: the sandbox failed.
        """
        with engine_errors("starting a container"), ExitStack() as undo:
            made = undo.enter_context(JobContainer(self.new_api(), self.staging, limits))
            made.start(self._settings(made, run_id, WARM if warm else COLD))
            if warm:
                made.await_ready()
            undo.pop_all()
            return made

    def run_in(
        self, container: JobContainer, job: Job, out_dir: Path, *, stop: Event | None = None, begin: float | None = None
    ) -> Result:
        """Run `job`, already checked, in a container made for its limits, which is removed with it.

        Args:
            container: what :meth:`container` gave.
            job: the job.
            out_dir: receives the outputs.
            stop: kills the job when it is set.
            begin: monotonic time that the result's seconds are counted from, now when None.

        Raises:
            SandboxBroken: the sandbox failed; nothing is known about the script.
        """
        begin = time.monotonic() if begin is None else begin
        with engine_errors("running the job"):
            ended = container.run(job, out_dir, stop)
        first = ended.ending.first_output_at
        return Result(
            cause=ended.ending.cause,
            exit_code=ended.ending.exit_code,
            stdout=ended.ending.stdout,
            stderr=ended.ending.stderr,
            outputs=ended.outputs,
            inputs_read=ended.inputs_read,
            duration_s=round(ended.ending.duration_s, 4),
            first_output_s=None if first is None else round(first - begin, 4),
            total_s=round(time.monotonic() - begin, 4),
            peak_memory_mib=ended.ending.peak_memory_mib,
            image_id=self.image.id,
        )

    def policy(self) -> dict[str, Any]:
        """The isolation in force and what the probe saw, as a JSON-ready mapping."""
        return {
            "isolation": f"{self.engine.kind.split()[0]}+{self.engine.runtime}",
            "engine": asdict(self.engine),
            "image": asdict(self.image) | {"sbom_sha256": self.sbom_sha256},
            "network": "none",
            "user": settings.USER,
            "capabilities": [],
            "no_new_privileges": True,
            "root_read_only": True,
            "seccomp_sha256": settings.seccomp_sha256(),
            "default_limits": asdict(Limits()),
            "tmpfs_mib_inodes": {k: list(v) for k, v in settings.tmpfs_limits(Limits()).items()},
            "inputs_read_observable": bool(self.probe_facts.get("inputs_read_observable", False)),
            "probe": self.probe_facts,
        }

    def new_api(self) -> APIClient:
        """A client of its own for one job or one timer: they are not safe to share between threads."""
        return self.address.api(self.engine.api_version)

    def _settings(self, container: JobContainer, run_id: str, command: list[str]) -> dict[str, Any]:
        labels = owner.labels(run_id)
        stage, limits = container.stage, container.limits
        binds = settings.mounts(limits, inputs=str(stage.inputs), work=str(stage.work), labels=labels)
        return {
            "image": self.image.id,
            "command": command,
            "user": settings.USER,
            "hostname": settings.HOSTNAME,
            "environment": settings.environment(limits),
            "labels": labels,
            "stdin_open": True,
            "host_config": settings.host_config(
                container.api, limits, binds=binds, cores=self.engine.cores, runtime=self.runtime
            ),
        }
