"""Commands whose extra is not installed say so in one line, whatever they would import first."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
sys.modules["torch"] = None  # as if it were not installed
from typer.testing import CliRunner
from labwright.cli import app
for line in sys.argv[1:]:
    error = CliRunner().invoke(app, line.split()).exception
    print(type(error).__name__, error)
"""
LINES = {
    "faces": ("privacy enrol Ada x --out k", "privacy protect x --key k --out o", "privacy restore x --key k --out o",
              "privacy audit x"),
    "local": ("models steer extract m --anchors a --out o", "models steer evaluate m --vectors v --items i",
              "models steer use m --vectors v -m hello", "models build r.toml", "bench stack"),
}  # fmt: skip


def test_each_names_the_extra():
    lines = [line for group in LINES.values() for line in group]
    done = subprocess.run([sys.executable, "-c", CODE, *lines], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == len(lines)
    for line, answer in zip(lines, said, strict=True):
        extra = next(name for name, group in LINES.items() if line in group)
        assert answer.startswith("SomethingMissing"), (line, answer)
        assert f"labwright[{extra}]" in answer
