"""The JSON interface under generated requests: no answer may be a server error."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from labwright.errors import RunFailed, SomethingMissing
from labwright.eval.suites.web_server import Server

WALL_S = 1800.0


def measure(server: Server, examples: int, add: Callable[..., Any]) -> None:
    """Let schemathesis send up to so many requests to each operation; adds one row.

    Raises:
        SomethingMissing: schemathesis is not installed.
        RunFailed: it wrote no report.
    """
    command = Path(sys.executable).with_name("schemathesis")
    if not command.is_file() and shutil.which("schemathesis") is None:
        raise SomethingMissing("the part on the interface needs schemathesis: pip install schemathesis")
    with server.visitor() as client:
        csrf = client.get("/api/session").json()["csrf"]
        paths = client.get("/api/openapi.json").json()["paths"]
    cookie = "; ".join(f"{name}={value}" for name, value in server.cookies.items())
    with tempfile.TemporaryDirectory(prefix="labwright-api-") as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [str(command) if command.is_file() else "schemathesis", "run", f"{server.address}/api/openapi.json",
             "--checks", "not_a_server_error", "--max-examples", str(examples), "--seed", "1",
             "--header", f"Cookie: {cookie}", "--header", f"X-CSRF-Token: {csrf}",
             "--report", "junit", "--report-junit-path", str(report)],
            capture_output=True, text=True, timeout=WALL_S, check=False, cwd=folder,
        )  # fmt: skip
        if not report.is_file():
            raise RunFailed(f"schemathesis wrote no report: {(done.stdout + done.stderr)[-300:]}")
        failed = [case for case in ElementTree.parse(report).iter("testcase") if case.find("failure") is not None]  # noqa: S314  (our own child's file)
    operations = sum(len(methods) for methods in paths.values())
    names = [str(case.get("name")) for case in failed]
    add(
        "api",
        "schemathesis",
        {"operations": operations, "examples": examples, "failed": names, "ended": done.returncode},
    )
