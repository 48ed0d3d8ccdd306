"""Times of the pages while many watch, and the server's memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx

from labwright.eval.suites.web_folder import Folder
from labwright.eval.suites.web_server import Server

THINK_S = 0.05
"""Between two requests of the one who turns pages while the others watch."""


def pages_of(folder: Folder) -> dict[str, str]:
    """Every kind of page, by name."""
    usual, task = f"/runs/{folder.usual[-1]}", quote("Part 1-dry-experiment-1", safe="")
    run = ("protocol", "tasks", "literature", "data", "facts", "history", "papers/one2001", f"tasks/{task}")
    own = {"run": usual, **{f"run {name.split('/')[0]}{' page' * ('/' in name)}": f"{usual}/{name}" for name in run}}
    return {
        "runs": "/runs",
        "runs, filtered": "/runs?words=survival&status=failed",
        **own,
        "watched run": f"/runs/{folder.live[0]}",
        "review": f"/runs/{folder.waiting}/protocol",
        "new": "/new",
        "compare": f"/compare?first={folder.usual[0]}&second={folder.usual[1]}",
        "benchmarks": "/benchmarks",
        "users": "/users",
        "api runs": "/api/runs",
        "api run": f"/api/runs/{folder.usual[-1]}",
        "api tasks": f"/api/runs/{folder.usual[-1]}/tasks",
    }


def measure(server: Server, folder: Folder, viewers: int, times: int, add: Callable[..., Any]) -> None:
    """Ask for every page `times` times while `viewers` streams are open; adds a row a page, and one of memory.

    Args:
        server: started, over `folder`.
        folder: of runs.
        viewers: open event streams, shared out over the live runs.
        times: of each page; the first request, which fills the caches, is a row's `first_ms` and is counted too.
        add: takes kind, name and facts of a row.
    """
    over, open_now = threading.Event(), threading.Semaphore(0)
    watching = [
        threading.Thread(target=_watch, args=(server, folder.live[n % len(folder.live)], over, open_now), daemon=True)
        for n in range(viewers)
    ]
    for thread in watching:
        thread.start()
    opened = sum(open_now.acquire(timeout=60) for _ in watching)
    most = server.memory_mib()
    with server.visitor() as client:
        for name, address in pages_of(folder).items():
            taken = []
            for _ in range(times):
                began = time.perf_counter()
                answer = client.get(address)
                taken.append(round(1000 * (time.perf_counter() - began), 2))
                answer.raise_for_status()
                most = max(most, server.memory_mib())
                time.sleep(THINK_S)
            add("page", name, {"ms": taken, "first_ms": taken[0], "viewers": opened, "bytes": len(answer.content)})
    over.set()
    add("memory", "server", {"mib": round(most, 1), "viewers": opened})


def _watch(server: Server, run: str, over: threading.Event, opened: threading.Semaphore) -> None:
    try:
        with server.visitor() as client, client.stream("GET", f"/runs/{run}/events", timeout=None) as answer:
            opened.release()
            for _ in answer.iter_lines():
                if over.is_set():
                    return
    except httpx.HTTPError:
        return
