"""Kill a run at random moments, resume it, and count in the model server's request log what was asked twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labwright.errors import RunFailed
from labwright.eval.suites import objectives
from labwright.eval.suites.proxy import LoggingProxy
from labwright.models.embedded import EmbeddedServer

MODEL = "smollm2-135m-instruct"
CONFIG = """\
[backends.logged]
kind = "remote"
base_url = "{url}"
model = "{model}"

[literature]
helpfulness = 1.0
"""
LONGEST_S = 900.0


def measure(kills: int, say: Callable[[str], None], seed: int = 0) -> dict[str, Any]:
    """Kill and resume runs until `kills` kills were made; a run that ends is followed by another.

    Returns:
        kills, runs, requests, repeated (finished and delivered replies that were asked for again) and
        in_flight (replies that no client received).
    """
    rng = random.Random(seed)  # noqa: S311  (moments, not secrets)
    server = EmbeddedServer(MODEL)
    totals: Counter[str] = Counter()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            while totals["kills"] < kills:
                folder = Path(scratch) / str(totals["runs"])
                folder.mkdir()
                totals += _one_run(server, folder, rng, kills - totals["kills"], totals["runs"])
                say(f"{totals['kills']} kills in {totals['runs']} runs, {totals['repeated']} calls repeated")
    finally:
        server.close()
    return {"kills": totals["kills"], **{k: totals[k] for k in ("runs", "requests", "repeated", "in_flight")}}


def _one_run(server: EmbeddedServer, folder: Path, rng: random.Random, most: int, number: int) -> Counter[str]:
    log = folder / "requests.jsonl"
    log.touch()
    proxy = LoggingProxy(server.base_url, server.key, log)
    items = objectives.bundled()
    text = items[number % len(items)].text
    config = folder / "labwright.toml"
    config.write_text(CONFIG.format(url=proxy.base_url, model=MODEL), encoding="utf-8")
    try:
        kills = _kill_until_done(folder, config, text, rng, most)
    finally:
        proxy.close()
    replies = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    delivered = Counter(r["request"] for r in replies if r["delivered"])
    in_flight = sum(not r["delivered"] for r in replies)
    # A kill can fall between the last byte on the wire and the line in the client's log: at most one a kill.
    repeated = sum(n - 1 for n in delivered.values())
    return Counter(kills=kills, runs=1, requests=len(replies), repeated=repeated, in_flight=in_flight)


def _kill_until_done(folder: Path, config: Path, text: str, rng: random.Random, most: int) -> int:
    first = ["run", text, "--config", str(config), "--out", str(folder / "runs")]
    kills = 0
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        made = sorted((folder / "runs").glob("*/record.json"))
        command = ["resume", made[-1].parent.name, "--out", str(folder / "runs")] if made else first
        process = subprocess.Popen(
            [sys.executable, "-m", "labwright.cli", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
        try:
            _, stderr = process.communicate(timeout=rng.uniform(3.0, 14.0) if kills < most else LONGEST_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        if process.returncode in (0, 1):
            return kills
        raise RunFailed(f"labwright {command[0]} ended with {process.returncode}: {stderr.decode()[-300:]}")
    raise RunFailed(f"the run was not done within {LONGEST_S:g} s")
