"""A static look at generated code before it runs: a signal for the record, never a boundary.

Finds made-up data, placeholder paths and network use by the syntax tree. Does not find what is obfuscated;
the sandbox is what keeps hostile code in.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

RANDOM = {"normal", "rand", "randn", "randint", "uniform", "random", "standard_normal", "poisson", "exponential",
          "lognormal", "binomial", "negative_binomial", "gamma", "beta"}  # fmt: skip
FRAMES = {"DataFrame", "Series", "AnnData"}
NETWORK = {"requests", "urllib", "httpx", "socket", "aiohttp", "ftplib", "GEOparse"}
PLACEHOLDER = re.compile(r"path/to|/your[_/]|your_(file|data|path)|<[a-z_ ]+>|example\.(csv|tsv|txt)", re.IGNORECASE)
LITERALS = 12
"""A table typed into a script with at least so many constants counts as made up."""


@dataclass(frozen=True, slots=True)
class CodeFinding:
    """One thing the screen found."""

    rule: str
    line: int
    detail: str


def screen_code(script: str) -> list[CodeFinding]:
    """Findings in a script, in the order of its lines; a script that does not parse is one finding."""
    try:
        tree = ast.parse(script)
    except SyntaxError as error:
        return [CodeFinding("syntax", error.lineno or 0, str(error.msg))]
    except (ValueError, RecursionError, MemoryError) as error:  # lone surrogates; nesting past the parser's stack
        return [CodeFinding("syntax", 0, f"cannot be parsed ({type(error).__name__})")]
    found = [f for node in ast.walk(tree) for f in _look(node)]
    return sorted(found, key=lambda f: f.line)


def _look(node: ast.AST) -> list[CodeFinding]:
    if isinstance(node, ast.Call):
        return _call(node)
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        used = [n for n in names if n.split(".")[0] in NETWORK]
        return [CodeFinding("network", node.lineno, f"imports {n}") for n in used]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and PLACEHOLDER.search(node.value):
        return [CodeFinding("placeholder", node.lineno, f"placeholder path {node.value[:60]!r}")]
    return []


def _call(node: ast.Call) -> list[CodeFinding]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name.startswith("make_") and name not in ("make_pipeline", "make_scorer", "make_column_transformer"):
        return [CodeFinding("made_up_data", node.lineno, f"{name} generates data")]
    if name in RANDOM and isinstance(node.func, ast.Attribute):
        return [CodeFinding("made_up_data", node.lineno, f"{name} draws random values")]
    if name in FRAMES:
        # Cells only: keys and column names stand in every table that was computed, too.
        shown = [n for a in node.args for n in ast.walk(a)]
        cells = [c for n in shown for c in (n.values if isinstance(n, ast.Dict) else getattr(n, "elts", ()))]
        constants = sum(isinstance(c, ast.Constant | ast.UnaryOp) for c in cells)
        if constants >= LITERALS:
            return [CodeFinding("made_up_data", node.lineno, f"a table of {constants} typed-in values")]
    return []
