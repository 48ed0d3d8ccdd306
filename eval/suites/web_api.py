"""The JSON interface under generated requests: no answer may be a server error."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from labwright.errors import RunFailed, SomethingMissing
from labwright.eval.suites.web_server import Server

WALL_S = 1800.0


def measure(server: Server, runs: Mapping[str, str], examples: int, add: Callable[..., Any]) -> None:
    """Let schemathesis send up to so many requests to each operation; adds a row for each run that is asked about.

    Args:
        server: started.
        runs: name of a row to the id that stands in the addresses; an empty id leaves it to schemathesis.
        examples: requests an operation.
        add: takes kind, name and facts of a row.

    Raises:
        SomethingMissing: schemathesis is not installed.
        RunFailed: it did not come to its end.
    """
    beside = Path(sys.executable).with_name("schemathesis")
    command = str(beside) if beside.is_file() else shutil.which("schemathesis")
    if command is None:
        raise SomethingMissing("the part on the interface needs schemathesis: pip install schemathesis")
    with server.visitor() as client:
        csrf = client.get("/api/session").json()["csrf"]
        paths = client.get("/api/openapi.json").json()["paths"]
    cookie = "; ".join(f"{name}={value}" for name, value in server.cookies.items())
    operations = sum(len(methods) for methods in paths.values())
    for name, run in runs.items():
        arguments = ["--checks", "not_a_server_error", "--max-examples", str(examples), "--seed", "1"]
        arguments += ["--header", f"Cookie: {cookie}", "--header", f"X-CSRF-Token: {csrf}"]
        failed = _failed([command, "run", f"{server.address}/api/openapi.json", *arguments], run)
        add("api", name, {"operations": operations, "examples": examples, "failed": failed})


def _failed(command: Sequence[str], run: str) -> list[str]:
    """Names of the operations that failed, or could not be tried."""
    with tempfile.TemporaryDirectory(prefix="labwright-api-") as folder:
        report = Path(folder) / "report.xml"
        if run:
            (Path(folder) / "schemathesis.toml").write_text(f'[parameters]\n"path.run" = "{run}"\n', encoding="utf-8")
        done = subprocess.run(
            [*command, "--report", "junit", "--report-junit-path", str(report)],
            capture_output=True,
            text=True,
            timeout=WALL_S,
            check=False,
            cwd=folder,
        )
        if done.returncode not in (0, 1) or not report.is_file():
            raise RunFailed(f"schemathesis ended with {done.returncode}: {(done.stdout + done.stderr)[-300:]}")
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314  (our own child's file)
    if not cases:
        raise RunFailed("schemathesis tried nothing")
    return [
        str(case.get("name")) for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
