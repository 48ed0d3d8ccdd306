"""Whether the benchmark of objectives can be won by honest work and not by nothing.

Beside each offline objective stands a reference script that answers it without labwright. It runs as one sandbox
job; the operators' own checks over its outputs run as a second, clean one; what passes is judged as any run is.
A reference script must score 1. The same checks see what an agent would leave that does nothing: no files, empty
files, and tables of the right shape whose every column is constant. That must score 0.
"""

from __future__ import annotations

import ast
import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from labwright.config import load_config
from labwright.errors import RunFailed
from labwright.eval.execution import Artefact, Verdicts, verdicts
from labwright.eval.objective_file import ObjectiveFile
from labwright.eval.suites import objectives
from labwright.lease import compute_lease
from labwright.sandbox.connect import connect
from labwright.sandbox.contract import Job, Limits, Result
from labwright.tools.analysis.contracts import OPERATORS, validate_params
from labwright.tools.analysis.rendering import GENE_SETS
from labwright.tools.catalogue.catalogue import card
from labwright.workflows.data import RunJob, data_folder

Row = dict[str, Any]
LIMITS = Limits(wall_s=300)
REAL, EMPTY, CONSTANT = "real", "empty", "constant"
_MODULE = """\
import sys
import types


def _module(name, source):
    made = types.ModuleType(name)
    sys.modules[name] = made
    exec(compile(source, name + ".py", "exec"), made.__dict__)


"""
CHECKER = """\
import json

from labwright.tools.analysis.checks import check

tasks = json.loads({tasks!r})
found = {{name: check(**task) for name, task in tasks.items()}}
with open("verdicts.json", "w", encoding="utf-8") as out:
    json.dump(found, out)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What a reference script says of one folder of its outputs."""

    folder: str
    operator: str
    dataset: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One objective, answered by its reference script and by nothing."""

    reference: Verdicts
    noop: Verdicts
    failed: tuple[str, ...]
    """Checks that outputs of the reference script did not pass, with their details."""


def script_of(objective: str) -> str:
    """The reference script of an objective as one text, the modules that it imports from beside it in front.

    Raises:
        FileNotFoundError: the objective has none.
    """
    folder = files("labwright.eval.suites") / "objectives"
    own = (folder / f"{objective}.py").read_text(encoding="utf-8")
    modules: dict[str, str] = {}
    _collect(own, modules, lambda name: (folder / f"{name}.py").read_text(encoding="utf-8"))
    defined = "".join(f"_module({name!r}, {source!r})\n" for name, source in modules.items())
    return f"{_MODULE}{defined}\n\n{own}"


def _collect(source: str, modules: dict[str, str], read: Callable[[str], str]) -> None:
    """Add the modules that a source imports, each after those that it needs itself."""
    for node in ast.walk(ast.parse(source)):
        name = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if name.startswith("independent") and name not in modules:
            text = read(name)
            _collect(text, modules, read)
            modules[name] = text


def judged(objective: ObjectiveFile, run_job: RunJob, folder: Path) -> Outcome:
    """Run the reference script of an objective and judge it, and what nothing would score.

    Args:
        objective: an offline one.
        run_job: runs a job in a sandbox.
        folder: an empty one, made if absent, for the outputs.

    Raises:
        RunFailed: the script or the checks did not end well, or a table lacks a column of a gold check.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {name: data_folder(name, run_job) for name in objective.datasets_allowed}
    inputs |= {GENE_SETS: data_folder(GENE_SETS, run_job)} if _needs_sets(objective) else {}
    real = folder / REAL
    result = _run(run_job, Job(script=script_of(objective.id), inputs=inputs, limits=LIMITS), real)
    analyses = [_read(path) for path in sorted(real.glob("*/analysis.json"))]
    for analysis in analyses:
        if analysis.dataset not in result.inputs_read:
            raise RunFailed(f"{objective.id}: {analysis.folder} was made without reading {analysis.dataset}")
        _hollow(real / analysis.folder, folder / EMPTY / analysis.folder, lambda text: "")
        _hollow(real / analysis.folder, folder / CONSTANT / analysis.folder, flattened)
    checks = _checked(analyses, inputs, run_job, folder)
    passed = {kind: [a for a in analyses if _good(checks[f"{kind}/{a.folder}"])] for kind in (REAL, EMPTY, CONSTANT)}
    return Outcome(
        reference=verdicts(objective, [_artefact(a, real) for a in passed[REAL]]),
        noop=verdicts(objective, [_artefact(a, folder / kind) for kind in (EMPTY, CONSTANT) for a in passed[kind]]),
        failed=tuple(
            f"{a.folder}: {c['check']}: {c['detail']}"
            for a in analyses
            for c in checks[f"{REAL}/{a.folder}"]
            if not c["passed"]
        ),
    )


def _needs_sets(objective: ObjectiveFile) -> bool:
    return any(OPERATORS[name].requires.needs_table_of for o in objective.required_outputs for name in o.operator)


def _run(run_job: RunJob, job: Job, out: Path) -> Result:
    result = run_job(job, out)
    if not result.ok:
        raise RunFailed(f"a job of the reference failed ({result.cause}): {result.stderr[-800:].strip()}")
    return result


def _read(path: Path) -> Analysis:
    about = json.loads(path.read_text(encoding="utf-8"))
    operator, dataset = about["operator"], about["dataset"]
    parameters = validate_params(OPERATORS[operator], card(dataset), about["parameters"])
    return Analysis(folder=path.parent.name, operator=operator, dataset=dataset, parameters=parameters)


def _checked(
    analyses: Sequence[Analysis], inputs: Mapping[str, Path], run_job: RunJob, folder: Path
) -> dict[str, list[dict[str, Any]]]:
    """Verdicts of the operators' checks over the real folders and the hollow ones, from one clean job."""
    tasks = {f"{kind}/{a.folder}": _task(a, kind, analyses) for kind in (REAL, EMPTY, CONSTANT) for a in analyses}
    mounted = {**inputs, **{kind: folder / kind for kind in (REAL, EMPTY, CONSTANT)}}
    script = CHECKER.format(tasks=json.dumps(tasks))
    _run(run_job, Job(script=script, inputs=mounted, limits=LIMITS), folder / "verdicts")
    found: dict[str, list[dict[str, Any]]] = json.loads((folder / "verdicts" / "verdicts.json").read_text("utf-8"))
    return found


def _task(analysis: Analysis, kind: str, analyses: Sequence[Analysis]) -> dict[str, Any]:
    before = OPERATORS[analysis.operator].requires.needs_table_of
    upstream = next((f"/in/{kind}/{a.folder}" for a in analyses if a.operator in before), None)
    return {
        "name": analysis.operator,
        "params": dict(analysis.parameters),
        "data_dir": f"/in/{analysis.dataset}",
        "out_dir": f"/in/{kind}/{analysis.folder}",
        "upstream_dir": upstream,
    }


def _good(checks: Sequence[Mapping[str, Any]]) -> bool:
    return bool(checks) and all(c["passed"] for c in checks)


def _artefact(analysis: Analysis, root: Path) -> Artefact:
    outputs = root / analysis.folder
    document = json.loads((outputs / "findings.json").read_text(encoding="utf-8"))
    return Artefact(
        operator=analysis.operator,
        dataset=analysis.dataset,
        parameters=analysis.parameters,
        outputs=outputs,
        types=frozenset(spec.type for spec in OPERATORS[analysis.operator].outputs),
        findings=tuple(document["findings"]),
    )


def _hollow(source: Path, target: Path, emptied: Callable[[str], str]) -> None:
    """A copy of a folder of outputs with its tables hollowed out; an empty table leaves nothing else either."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.suffix == ".csv":
            (target / path.name).write_text(emptied(path.read_text(encoding="utf-8")), encoding="utf-8")
        elif emptied("0"):
            shutil.copy(path, target / path.name)
        else:
            (target / path.name).touch()


def flattened(text: str) -> str:
    """A table whose every number is the first number of its column.

    Example:
        >>> flattened("gene,p\\nA,0.1\\nB,0.7\\n")
        'gene,p\\nA,0.1\\nB,0.1\\n'
    """
    head, *rows = list(csv.reader(text.splitlines()))
    first = [next((row[i] for row in rows if _is_number(row[i])), "") for i in range(len(head))]
    flat = [[first[i] if _is_number(cell) else cell for i, cell in enumerate(row)] for row in rows]
    return "".join(",".join(f'"{c}"' if "," in c or '"' in c else c for c in row) + "\n" for row in [head, *flat])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def reference_rows(say: Callable[[str], None]) -> list[Row]:
    """Two rows for each offline objective: what its reference script scores, and what nothing scores.

    Raises:
        EngineMissing: there is no sandbox.
        RunFailed: as for `judged`.
    """
    rows: list[Row] = []
    with compute_lease(), tempfile.TemporaryDirectory() as scratch:
        sandbox = connect(load_config().sandbox)
        for item in (o for o in objectives.load() if not o.online):
            outcome = judged(item, sandbox.run, Path(scratch) / item.id)
            say(f"reference of {item.id}: {outcome.reference.rate:.2f}, nothing {outcome.noop.rate:.2f}")
            for line in outcome.failed:
                say(f"  check failed: {line}")
            rows += [_row("reference", item, outcome.reference), _row("noop", item, outcome.noop)]
    return rows


def _row(kind: str, item: ObjectiveFile, found: Verdicts) -> Row:
    return {"kind": kind, "name": item.id, "level3_gold": found.rate, "outputs": found.outputs, "gold": found.gold}


def reference_score(rows: Sequence[Row]) -> float:
    """The lowest score of a reference script, in [0, 1]; 1 when every objective can be met in full.

    Raises:
        ValueError: there is no row of a reference.
    """
    return min(float(row["level3_gold"]) for row in rows if row["kind"] == "reference")


def noop_score(rows: Sequence[Row]) -> float:
    """The highest score that nothing reaches on an objective, in [0, 1]; 0 when no objective gives points for it.

    Raises:
        ValueError: there is no row of an empty answer.
    """
    return max(float(row["level3_gold"]) for row in rows if row["kind"] == "noop")
