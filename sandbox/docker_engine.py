"""Runs a job in a throw-away container of a Docker engine.

Protocol: create, start an idle process 1, execute the script as an unprivileged user, read its output up to a
cap, kill the container from outside at the wall limit, freeze it, take its files, remove it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from docker import APIClient
from docker.errors import APIError

from labwright.errors import SandboxBroken, WrongUse
from labwright.sandbox import owner, settings
from labwright.sandbox.address import API_LIMIT_S, EngineAddress
from labwright.sandbox.contract import Job, Limits, OutputFile, Result
from labwright.sandbox.engine_info import engine_errors, engine_info
from labwright.sandbox.execution import Ending, Execution
from labwright.sandbox.image import ImageInfo
from labwright.sandbox.staging import ReadWatch, Stage, staged
from labwright.sandbox.takeout import OverCap, take

CONFLICT = 409


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

    def run(self, job: Job, out_dir: Path) -> Result:
        """Run `job`; write its outputs into `out_dir`, which must be absent or empty.

        Raises:
            WrongUse: the job or `out_dir` is not acceptable.
            SandboxBroken: the sandbox failed; nothing is known about the script.
        """
        if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
            raise WrongUse(f"{out_dir} must be absent or an empty folder")
        begin = time.monotonic()
        with staged(job, self.staging) as stage, ReadWatch(stage.inputs) as watch:
            outputs: tuple[OutputFile, ...] = ()
            with engine_errors("running the job"), self._container(job, stage) as (api, container):
                ending = Execution(api, container, job.limits, self.new_api).run()
                if ending.cause == "exit":
                    ending, outputs = self._take(api, container, out_dir, ending, job.limits)
            read = watch.names()  # the container is gone: no later read can be missed
        return Result(
            cause=ending.cause,
            exit_code=ending.exit_code,
            stdout=ending.stdout,
            stderr=ending.stderr,
            outputs=outputs,
            inputs_read=read,
            duration_s=round(ending.duration_s, 4),
            total_s=round(time.monotonic() - begin, 4),
            peak_memory_mib=ending.peak_memory_mib,
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

    @contextmanager
    def _container(self, job: Job, stage: Stage) -> Iterator[tuple[APIClient, str]]:
        """A started, idle container, removed at the end whatever happens."""
        with closing(self.new_api()) as api:
            container = self._create(api, job, stage)
            try:
                api.start(container)
                yield api, container
            finally:
                api.remove_container(container, force=True, v=True)

    def _create(self, api: APIClient, job: Job, stage: Stage) -> str:
        labels = owner.labels(job.run_id)
        binds = settings.mounts(job.limits, inputs=str(stage.inputs), work=str(stage.work), labels=labels)
        config = settings.host_config(api, job.limits, binds=binds, cores=self.engine.cores, runtime=self.runtime)
        created = api.create_container(
            self.image.id,
            user=settings.USER,
            hostname=settings.HOSTNAME,
            environment=settings.environment(job.limits),
            labels=labels,
            host_config=config,
        )
        if created.get("Warnings"):
            # An engine may accept a limit that it cannot enforce, and say so here only.
            api.remove_container(created["Id"], force=True, v=True)
            raise SandboxBroken(f"the engine warns: {'; '.join(created['Warnings'])}")
        return str(created["Id"])

    def _take(
        self, api: APIClient, container: str, out_dir: Path, ending: Ending, limits: Limits
    ) -> tuple[Ending, tuple[OutputFile, ...]]:
        """Freeze the container, then take its files."""
        try:
            api.pause(container)
        except APIError as error:
            if error.response is not None and error.response.status_code == CONFLICT:
                return replace(ending, cause="died", exit_code=None), ()
            raise
        url = f"{api.base_url}/v{api.api_version}/containers/{container}/archive"
        plain = {"Accept-Encoding": "identity"}
        response = api.get(url, params={"path": "/out/."}, headers=plain, stream=True, timeout=API_LIMIT_S)
        try:
            response.raise_for_status()
            return ending, take(response.raw, out_dir, limits)
        except OverCap:
            return replace(ending, cause="artifact_cap"), ()
        finally:
            # An unread stream holds the container in the engine until it is closed.
            response.close()
