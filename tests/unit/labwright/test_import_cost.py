"""`import labwright` and the help load nothing heavy."""

from __future__ import annotations

import subprocess
import sys
import time

HEAVY = ("torch", "langgraph", "langchain_core", "numpy", "scipy", "docker", "httpx", "Bio", "xllamacpp", "tokenizers",
         "cyclonedx")  # fmt: skip


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_package_and_its_command_line_load_no_heavy_module():
    for code in ("import labwright", "import labwright.cli"):
        assert not loaded_by(code) & set(HEAVY), code


def test_figures_are_verified_without_what_models_need():
    assert not loaded_by("import labwright.eval.suites.verify") & {"torch", "transformers", "peft"}


def test_the_help_is_there_at_once():
    """The goal is half a second on an idle machine; the bound leaves room for a busy one."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "labwright.cli", "--help"], capture_output=True, check=True)
        taken.append(time.perf_counter() - started)
    assert b"objective" in done.stdout
    assert min(taken) < 1.5
