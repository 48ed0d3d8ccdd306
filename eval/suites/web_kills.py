"""The server is killed at random moments while people write; what was confirmed must be there afterwards."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from labwright.domain import Protocol
from labwright.eval.suites.web_folder import Folder
from labwright.eval.suites.web_server import Server
from labwright.store import RunStore
from labwright.workflows.comments import comments
from labwright.workflows.edits import versions

QUESTION = "Does hormone therapy change the time to recurrence of patients with node-positive breast cancer? Case {}."
LONGEST_S = 2.0


def measure(server: Server, folder: Folder, kills: int, add: Callable[..., Any], say: Callable[[str], None]) -> None:
    """Write comments, edits and runs, kill, start again, look; adds a row a kill."""
    rng = random.Random(11)  # noqa: S311  (moments, not secrets)
    confirmed = Confirmed()
    for number in range(kills):
        over = threading.Event()
        writers = [
            threading.Thread(target=write, args=(server, folder, confirmed, over)) for write in (_say, _edit, _ask)
        ]
        for thread in writers:
            thread.start()
        time.sleep(rng.uniform(0.05, LONGEST_S))
        server.kill()
        over.set()
        for thread in writers:
            thread.join()
        server.start()
        lost = confirmed.lost(server, folder)
        add("kill", f"{number:03d}", {"confirmed": confirmed.count, "lost": lost})
        say(f"kill {number + 1} of {kills}: {confirmed.count} confirmed, {len(lost)} lost")


class Confirmed:
    """What the server said that it keeps."""

    def __init__(self) -> None:
        self.comments: list[str] = []
        self.logics: list[str] = []
        self.runs: list[str] = []

    @property
    def count(self) -> int:
        """All of it."""
        return len(self.comments) + len(self.logics) + len(self.runs)

    def lost(self, server: Server, folder: Folder) -> list[str]:
        """What is not on the disk, or not shown."""
        store = RunStore(folder.runs / folder.waiting)
        said = {one.text for one in comments(store)}
        written = {protocol.logic for protocol in versions(store).values()}
        with server.visitor() as client:
            listed = {record["id"] for record in client.get("/api/runs").json()}
        gone = [f"comment {text}" for text in self.comments if text not in said]
        gone += [f"edit {text}" for text in self.logics if text not in written]
        return gone + [f"run {name}" for name in self.runs if name not in listed]


def _until_killed(server: Server, over: threading.Event, send: Callable[[httpx.Client, dict[str, str]], None]) -> None:
    try:
        with server.visitor() as client:
            headers = {"x-csrf-token": client.get("/api/session").json()["csrf"]}
            while not over.is_set():
                send(client, headers)
    except httpx.HTTPError:
        return  # killed; what was not answered was not confirmed


def _say(server: Server, folder: Folder, confirmed: Confirmed, over: threading.Event) -> None:
    def send(client: httpx.Client, headers: dict[str, str]) -> None:
        text = secrets.token_hex(8)
        answer = client.post(f"/api/runs/{folder.waiting}/comments", json={"text": text}, headers=headers)
        if answer.status_code == 201:
            confirmed.comments.append(text)

    _until_killed(server, over, send)


def _edit(server: Server, folder: Folder, confirmed: Confirmed, over: threading.Event) -> None:
    def send(client: httpx.Client, headers: dict[str, str]) -> None:
        at = f"/api/runs/{folder.waiting}/protocol"
        now = Protocol.model_validate(client.get(at).json())
        edited = now.model_copy(update={"logic": secrets.token_hex(8)})
        answer = client.put(at, json=edited.model_dump(mode="json"), headers=headers)
        if answer.status_code == 200:
            confirmed.logics.append(edited.logic)
        time.sleep(0.05)

    _until_killed(server, over, send)


def _ask(server: Server, folder: Folder, confirmed: Confirmed, over: threading.Event) -> None:
    def send(client: httpx.Client, headers: dict[str, str]) -> None:
        asked = {"objective": QUESTION.format(secrets.token_hex(3)), "workflow": "rules_only"}
        answer = client.post("/api/runs", json=asked, headers=headers)
        if answer.status_code == 201:
            confirmed.runs.append(answer.json()["id"])
        time.sleep(0.1)

    _until_killed(server, over, send)
