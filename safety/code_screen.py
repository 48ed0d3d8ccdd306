"""A static look at generated code before it runs: a signal for the record, never a boundary.

Finds made-up data, placeholder paths, network use and writes outside the output folder by the syntax tree. Does not
find what is obfuscated; the sandbox is what keeps hostile code in.
"""

from __future__ import annotations

import ast
import posixpath
import re
from dataclasses import dataclass

RANDOM = {"normal", "rand", "randn", "randint", "uniform", "random", "standard_normal", "poisson", "exponential",
          "lognormal", "binomial", "negative_binomial", "gamma", "beta"}  # fmt: skip
FRAMES = {"DataFrame", "Series", "AnnData"}
NETWORK = {"requests", "urllib", "httpx", "socket", "aiohttp", "ftplib", "GEOparse"}
PLACEHOLDER = re.compile(r"path/to|/your[_/]|your_(file|data|path)|<[a-z_ ]+>|example\.(csv|tsv|txt)", re.IGNORECASE)
WRITERS = {"to_csv", "to_parquet", "to_json", "to_excel", "to_pickle", "to_feather", "to_hdf", "savefig", "savetxt",
           "save", "savez", "dump", "write_h5ad", "write_text", "write_bytes", "mkdir", "makedirs",
           "touch"}  # fmt: skip
"""Functions that write where they are told."""
WRITABLE = ("/out", "/tmp", "/dev/shm", "/dev/null")  # noqa: S108 - places inside the sandbox
WRITE_MODES = set("wax+")
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
    outside = _written_path(node, name)
    if outside:
        return [CodeFinding("outside_write", node.lineno, f"writes to {outside[:60]!r}, outside the output folder")]
    if name in FRAMES:
        # Cells only: keys and column names stand in every table that was computed, too.
        shown = [n for a in node.args for n in ast.walk(a)]
        cells = [c for n in shown for c in (n.values if isinstance(n, ast.Dict) else getattr(n, "elts", ()))]
        constants = sum(isinstance(c, ast.Constant | ast.UnaryOp) for c in cells)
        if constants >= LITERALS:
            return [CodeFinding("made_up_data", node.lineno, f"a table of {constants} typed-in values")]
    return []


def _written_path(node: ast.Call, name: str) -> str:
    """The literal path outside the writable folders that a call writes to; empty when it names none."""
    if name == "open":
        modes = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")]
        if not any(isinstance(m, ast.Constant) and WRITE_MODES & set(str(m.value)) for m in modes):
            return ""
    elif name not in WRITERS:
        return ""
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    # Path("/x").write_text(...) names its place in front, everything else in its arguments.
    named = owner.args if isinstance(owner, ast.Call) else [*node.args, *(k.value for k in node.keywords)]
    for value in named:
        path = value.value if isinstance(value, ast.Constant) else None
        if isinstance(path, str) and _is_outside(path):
            return path
    return ""


def _is_outside(path: str) -> bool:
    """An absolute path, or one that climbs, that ends outside the writable folders; the script starts in /out."""
    if not (path.startswith("/") or "../" in path):
        return False
    whole = posixpath.normpath(posixpath.join("/out", path))
    return not any(whole == place or whole.startswith(f"{place}/") for place in WRITABLE)
