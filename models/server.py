"""The process that serves one embedded model on loopback, and ends itself when nobody uses it any more.

Started by :mod:`labwright.models.embedded`, never by hand. It owns a folder of the cache:

- `server.json`  {pid, port, key, model}: written when the model answers, removed at the end
- `clients.lock` every client holds it shared for as long as it lives; the kernel releases it also on kill -9

Once a second the server tries to take `clients.lock` exclusively. When that works for `GRACE_S` in a row,
no client is left, and it exits while it still holds the lock, so that none can slip in.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import sys
import time
from pathlib import Path

GRACE_S = 5.0
STARTUP_S = 120.0


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(model: Path, folder: Path, context_tokens: int, threads: int) -> None:
    """Load `model`, publish the address in `folder`, and stay until no client holds the lock."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames = ["127.0.0.1"]
    params.port = free_port()
    key = secrets.token_urlsafe(24)
    params.api_keys = [key]
    params.n_ctx = context_tokens
    params.n_parallel = 1
    params.use_jinja = True
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # Spinning at barriers starves whatever else runs; see embedded models in docs/decisions.
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    server = xllamacpp.Server(params)  # returns when the model is loaded; serves in threads of its own
    _publish(folder / "server.json", params.port, key, model)
    _wait_for_the_last_client(folder)
    (folder / "server.json").unlink(missing_ok=True)
    del server
    os._exit(0)


def _publish(path: Path, port: int, key: str, model: Path) -> None:
    text = json.dumps({"pid": os.getpid(), "port": port, "key": key, "model": str(model)})
    scratch = path.with_suffix(".tmp")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    scratch.replace(path)


def _wait_for_the_last_client(folder: Path) -> None:
    free_since: float | None = None
    with (folder / "clients.lock").open("w") as lock:
        while True:
            time.sleep(1.0)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free_since = None
                continue
            free_since = free_since or time.monotonic()
            if time.monotonic() - free_since >= GRACE_S:
                return
            fcntl.flock(lock, fcntl.LOCK_UN)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
