"""The table of CONTRIBUTING.md, enforced; and the packaging table, whole."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("models", "tools", "sandbox", "safety", "agents", "eval", "workflows", "web")
MAY = {
    "labwright": set(),
    "models": set(),
    "tools": {"models"},
    "sandbox": set(),
    "safety": {"models"},
    "agents": {"models", "tools", "sandbox"},
    "eval": {"models", "tools"},
    "workflows": {"models", "tools", "sandbox", "safety", "agents", "eval"},
    "web": {"models", "tools", "sandbox", "safety", "agents", "eval", "workflows"},
    "suites": {"models", "tools", "sandbox", "safety", "agents", "eval", "workflows", "web", "suites"},
}
ONLY_CONTRACT = {("agents", "sandbox"): {"labwright.sandbox.contract"}}


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return "suites" if parts[:2] == ("eval", "suites") else parts[0]


def sources() -> list[Path]:
    return [p for folder in (*FOLDERS, "labwright") for p in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path, *, top_only: bool) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else list(ast.walk(tree))
    names = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.Import):
            names += [a.name for a in node.names]
    return [n for n in names if n.startswith("labwright.")]


def target(name: str) -> str:
    parts = name.split(".")
    if parts[1:3] == ["eval", "suites"]:
        return "suites"
    return parts[1] if parts[1] in FOLDERS else "labwright"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_arrow_against_the_table(path: Path) -> None:
    here = room(path)
    for name in imported(path, top_only=here == "labwright"):
        there = target(name)
        if there in ("labwright", here):
            continue
        assert there in MAY[here], f"{here} may not import {name}"
        allowed = ONLY_CONTRACT.get((here, there))
        if allowed is not None:
            assert any(name == a or name.startswith(f"{a}.") for a in allowed) or name == "labwright.sandbox"


SCRIPTS = ROOT / "eval" / "suites" / "objectives"
"""Reference scripts: they run in the sandbox as they stand, and nothing imports them."""


def test_every_folder_with_python_is_packaged_and_linked() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = set(table["packages"])
    for path in sources():
        if path.parent == SCRIPTS:
            continue
        folder = path.parent.relative_to(ROOT)
        dotted = ".".join(folder.parts)
        name = dotted if dotted.startswith("labwright") else f"labwright.{dotted}"
        assert name in packages, f"{folder} holds Python but is not in [tool.setuptools] packages"
    for name, folder in table["package-dir"].items():
        if name != "labwright":
            assert (ROOT / ".typing" / "labwright" / folder).resolve() == ROOT / folder
    for path in (ROOT / "labwright").iterdir():
        if path.suffix in (".py", ".typed"):
            assert (ROOT / ".typing" / "labwright" / path.name).resolve() == path


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, labwright.cli; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pydantic", "docker", "langgraph", "openai", "httpx", "xllamacpp"} & set(loaded)


def test_the_operators_can_be_described_without_the_analysis_stack() -> None:
    code = "import sys, labwright.tools.analysis.contracts; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "numpy", "scipy", "matplotlib"} & set(loaded)
