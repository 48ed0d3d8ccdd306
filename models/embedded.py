"""The embedded backend: a GGUF model behind llama.cpp on loopback, one server process per model.

Every run of the machine shares the server of a model; :class:`EmbeddedServer` starts it when it is absent
and keeps it alive by holding a shared lock. The chat model on top is the ordinary OpenAI-compatible one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import httpx
import psutil
from filelock import FileLock

from labwright.config import cache_dir
from labwright.errors import ModelMissing
from labwright.models import weights
from labwright.models.server import STARTUP_S

POLL_S = 0.2
SAMPLE_S = 0.5
BUSY_CORES = 0.5
MOST_THREADS = 2


class EmbeddedServer:
    """A running server of one model, shared by all processes of this user.

    Attributes:
        base_url: address of the OpenAI-compatible API, ending in /v1.
        key: the key that the server asks for.
        model: path of the GGUF file.
    """

    def __init__(self, model: str, *, context_tokens: int = 8192, progress: weights.Progress = weights.silent) -> None:
        """Find or start the server.

        Raises:
            ModelMissing: the file cannot be had, or the server does not come up.
            HashMismatch: the file is not the pinned one.
        """
        self.model = weights.resolve(model, progress=progress)
        identity = f"{self.model.resolve()}:{context_tokens}"
        self._folder = cache_dir() / "servers" / hashlib.sha256(identity.encode()).hexdigest()[:16]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._context_tokens = context_tokens
        self._held: IO[str] | None = None
        address = self._join()
        self.base_url = f"http://127.0.0.1:{address['port']}/v1"
        self.key = str(address["key"])
        self.pid = int(address["pid"])

    def close(self) -> None:
        """Let go; the server ends itself a few seconds after its last client."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _join(self) -> dict[str, Any]:
        with FileLock(self._folder / "start.lock"):
            self._held = (self._folder / "clients.lock").open("a")
            fcntl.flock(self._held, fcntl.LOCK_SH)
            address = self._answering()
            return address if address is not None else self._start()

    def _answering(self) -> dict[str, Any] | None:
        path = self._folder / "server.json"
        try:
            address: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        url = f"http://127.0.0.1:{address['port']}"
        try:
            health = httpx.get(f"{url}/health", timeout=5.0)
            models = httpx.get(f"{url}/v1/models", timeout=5.0, headers={"Authorization": f"Bearer {address['key']}"})
        except httpx.HTTPError:
            return None
        return address if health.status_code == 200 and models.status_code == 200 else None

    def _start(self) -> dict[str, Any]:
        (self._folder / "server.json").unlink(missing_ok=True)
        log = self._folder / "server.log"
        command = [sys.executable, "-m", "labwright.models.server", str(self.model), str(self._folder)]
        command += [str(self._context_tokens), str(_threads())]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd="/",
            )
        deadline = time.monotonic() + STARTUP_S
        while time.monotonic() < deadline and process.poll() is None:
            address = self._answering()
            if address is not None:
                return address
            time.sleep(POLL_S)
        if process.poll() is None:
            process.kill()
        tail = log.read_text(encoding="utf-8", errors="replace")[-400:].replace("\n", " ")
        raise ModelMissing(f"the server of {self.model.name} did not come up; {log} ends with: {tail}")


def _threads() -> int:
    """Two threads on an idle machine, one on a busy one.

    Threads meet at barriers: with one other busy process, two of them were measured 10 to 50 times slower,
    while a single one loses only its share. The load average would not do: it remembers a minute of set-up.
    """
    cores = os.cpu_count() or 1
    cores_in_use = psutil.cpu_percent(interval=SAMPLE_S) / 100 * cores
    return 1 if cores_in_use > BUSY_CORES else min(MOST_THREADS, cores)


def running_servers() -> list[dict[str, Any]]:
    """What `server.json` files say, one entry for each server that is alive, without its key."""
    found = []
    for path in sorted((cache_dir() / "servers").glob("*/server.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        if Path(f"/proc/{entry['pid']}").exists():
            found.append({"pid": entry["pid"], "port": entry["port"], "model": Path(entry["model"]).name})
    return found
