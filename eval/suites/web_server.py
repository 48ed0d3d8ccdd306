"""A `labwright serve` process to measure, and a browserless visitor of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil

from labwright.errors import RunFailed
from labwright.store import RunStore

START_S = 120.0


class Server:
    """One server over a folder of runs; it can be killed and started again."""

    def __init__(self, runs: Path, port: int = 0, *, config: Path | None = None, engine: bool = False) -> None:
        """Prepare; nothing is started.

        Args:
            runs: folder of the run folders.
            port: to listen on; 0 takes a free one.
            config: labwright.toml of the runs.
            engine: whether runs find the engine; without it what is asked for is kept and shown, not carried out.
        """
        self.runs, self.port = runs, port
        self._config, self._engine = config, engine
        self.process: subprocess.Popen[str] | None = None
        self.cookies: dict[str, str] = {}

    def start(self) -> None:
        """Start it and, the first time, come in by its link.

        Raises:
            RunFailed: it does not answer within two minutes.
        """
        command = [sys.executable, "-m", "labwright.cli", "serve", "--out", str(self.runs), "--port", str(self.port)]
        command += ["--config", str(self._config)] if self._config is not None else []
        variables = {**os.environ}
        if not self._engine:
            variables["DOCKER_HOST"] = f"unix://{self.runs}/no-engine.sock"
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=variables
        )
        assert self.process.stderr is not None  # noqa: S101  (narrowing)
        line = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)(/\S+)", line)
        if found is None:
            raise RunFailed(f"the server did not start: {line.strip()}")
        self.port = int(found[1])
        self._wait()
        if not self.cookies:
            with httpx.Client(base_url=self.address) as client:
                client.get(found[2])
                self.cookies = dict(client.cookies)

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.address}/health").status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise RunFailed(f"the server at {self.address} does not answer")

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)

    def memory_mib(self) -> float:
        """Resident memory of the server's process, MiB."""
        if self.process is None:
            raise RunFailed("the server was not started")
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    def visitor(self) -> httpx.Client:
        """A client with the owner's session."""
        return httpx.Client(base_url=self.address, cookies=self.cookies, timeout=60)


@contextmanager
def served(runs: Path, held: list[str]) -> Iterator[Server]:
    """A server, while this process holds the locks of some runs, so that they look carried and nothing is begun."""
    with ExitStack() as end:
        for name in held:
            end.enter_context(RunStore(runs / name).owned())
        server = Server(runs)
        end.callback(server.stop)
        server.start()
        yield server
