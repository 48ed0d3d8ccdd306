"""The programming agent: protocol steps to tasks, tasks to scripts, scripts to verified outputs.

A weak model has chosen the operator and its parameters, and the script is rendered from them; a strong one
writes free Python for the same declared outputs. Either way the same checks judge the outputs, in a second,
clean sandbox, against the data. Level 1: exit code 0. Level 2: every declared output exists. Level 3: every
output passes its checks, the kernel saw every declared input being read, and the script made up no data.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from labwright.agents.parameters import repair
from labwright.agents.prompting import prompt
from labwright.domain import Attempt, Check, Level, Objective, OutputSpec, Protocol, Task, TaskResult
from labwright.errors import AnswerInvalid
from labwright.models.ask import Session, ask
from labwright.sandbox.contract import Job, Limits, Result
from labwright.store import RunStore
from labwright.tools.analysis import operator_source
from labwright.tools.analysis.contracts import OPERATORS, render_script
from labwright.tools.analysis.rendering import GENE_SETS

REPAIRS = 3
ERROR_CHARS = 1500
SOURCE_CHARS = 12_000
CHECKER = """\
import json

from labwright.tools.analysis.checks import check

verdicts = check({name!r}, {parameters!r}, {data!r}, "/in/outputs", {upstream!r})
with open("verdicts.json", "w", encoding="utf-8") as out:
    json.dump(verdicts, out)
"""


class CodeAnswer(BaseModel):
    """A free script."""

    model_config = ConfigDict(extra="forbid")
    plan: Annotated[str, StringConstraints(max_length=600)]
    script: Annotated[str, StringConstraints(min_length=20, max_length=40_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What the agent works with; bound by the graph."""

    store: RunStore
    run_job: Callable[[Job, Path], Result]
    data_dir: Callable[[str], Path]
    """Data set id (or the gene sets' id) to its folder."""
    card: Callable[[str], Mapping[str, Any]]
    screen: Callable[[str], Sequence[Any]]
    limits: Limits
    session: Session | None
    seed: int


def plan_tasks(protocol: Protocol, seed: int) -> list[Task]:
    """One task for each dry step, in the order of the protocol; wet steps are none.

    Example of an id: the third step of Part 2 is "Part 2-dry-experiment-3".
    """
    ids = {
        step.id: f"{part.id}-dry-experiment-{number}"
        for part in protocol.parts
        for number, step in enumerate((s for s in part.steps if s.kind != "wet"), start=1)
    }
    tasks = []
    for part in protocol.parts:
        for step in part.steps:
            if step.id not in ids:
                continue
            contract = OPERATORS[step.operator]
            upstream = tuple(ids[i] for i in step.inputs)
            inputs = [*step.datasets, *(["upstream"] if upstream else [])]
            if contract.requires.needs_table_of:
                inputs.append(GENE_SETS)
            tasks.append(
                Task(
                    id=ids[step.id],
                    description=f"{part.title}. {step.details}",
                    part=part.id,
                    step=step.id,
                    operator=step.operator,
                    parameters={**step.parameters, "seed": seed},
                    datasets=step.datasets,
                    inputs=tuple(inputs),
                    upstream=upstream,
                    outputs=tuple(OutputSpec(name=o.name, type=o.type, check=o.check) for o in contract.outputs),
                )
            )
    return tasks


def task_folder(store: RunStore, task_id: str) -> Path:
    """Folder of a task in the run folder."""
    return store.path("tasks", task_id)


def run_task(bench: Workbench, objective: Objective, task: Task) -> TaskResult:
    """Run one task to the end; a finished one is read back, not run again."""
    folder = task_folder(bench.store, task.id)
    done = folder / "result.json"
    if done.is_file():
        return bench.store.read(done, TaskResult)
    bench.store.write(folder / "task.json", task)
    missing = [t for t in task.upstream if _level_of(bench.store, t) < 3]
    if missing:
        result = TaskResult(task=task.id, attempts=(), level=0, skipped=f"its input failed: {', '.join(missing)}")
    else:
        result = _attempts(bench, objective, task, folder)
    bench.store.write(done, result)
    return result


def _level_of(store: RunStore, task_id: str) -> int:
    path = task_folder(store, task_id) / "result.json"
    return store.read(path, TaskResult).level if path.is_file() else 0


def _attempts(bench: Workbench, objective: Objective, task: Task, folder: Path) -> TaskResult:
    attempts: list[Attempt] = []
    tried: list[Task] = []
    script: str | None = _first_script(bench, objective, task)
    while script is not None and len(attempts) <= REPAIRS:
        attempt = _attempt(bench, task, folder, script, len(attempts) + 1)
        attempts.append(attempt)
        tried.append(task)
        if attempt.level == 3:
            break
        if len(attempts) <= REPAIRS:
            task, script = _repaired(bench, objective, task, script, attempt)
    best = max(attempts, key=lambda a: (a.level, a.number))
    _publish(bench.store, folder, best)
    bench.store.write(folder / "task.json", tried[best.number - 1])
    findings = _findings(folder / "outputs") if best.level == 3 else ()
    return TaskResult(task=task.id, attempts=tuple(attempts), level=best.level, findings=findings)


def _first_script(bench: Workbench, objective: Objective, task: Task) -> str:
    if bench.session is not None and bench.session.writes_code:
        written = _write_code(bench, objective, task, "")
        if written is not None:
            return written
    return _rendered(task)


def _rendered(task: Task) -> str:
    upstream = task.upstream[0] if task.upstream else None
    return render_script(OPERATORS[task.operator], task.parameters, task.datasets[0], upstream)


def _write_code(bench: Workbench, objective: Objective, task: Task, previous: str) -> str | None:
    assert bench.session is not None  # noqa: S101  (narrowing; the callers tested it)
    card = bench.card(task.datasets[0])
    columns = {c: v.get("type") for c, v in (card.get("columns") or {}).items()}
    asked = prompt("write_code").render(
        objective=objective.brief(),
        task=task.description,
        inputs="\n".join(f"/in/{i}" for i in task.inputs)
        + f"\nsamples.parquet columns: {columns}; files: {list(card['files'])}",
        outputs="\n".join(f"{o.name} ({o.type}): {o.check}" for o in task.outputs),
        operator=f"{_rendered(task)}\n{operator_source(task.operator)[:SOURCE_CHARS]}",
        previous=previous,
    )
    try:
        return ask(bench.session, asked, CodeAnswer, max_tokens=4096).value.script
    except AnswerInvalid:
        bench.session.log.decide(f"script of {task.id}", "fallback")
        return None


def _repaired(
    bench: Workbench, objective: Objective, task: Task, script: str, attempt: Attempt
) -> tuple[Task, str | None]:
    if bench.session is None:
        return task, None
    if bench.session.writes_code:
        previous = f"Your last script:\n{script[:6000]}\nIt failed:\n{attempt.error[-ERROR_CHARS:]}"
        return task, _write_code(bench, objective, task, previous)
    contract = OPERATORS[task.operator]
    fixed = repair(bench.session, contract, bench.card(task.datasets[0]), task.parameters, attempt.error)
    if fixed is None:
        return task, None
    task = task.model_copy(update={"parameters": fixed})
    return task, _rendered(task)


def _attempt(bench: Workbench, task: Task, folder: Path, script: str, number: int) -> Attempt:
    name = f"attempt-{number}.py"
    bench.store.write_text(folder / name, script)
    out = folder / f"attempt-{number}"
    _clear(out)
    result = bench.run_job(
        Job(script=script, inputs=_inputs(bench, task), limits=bench.limits, run_id=bench.store.id), out
    )
    log = f"# {task.id} {name}: {result.cause}, exit code {result.exit_code}\n{result.stdout}\n{result.stderr}\n"
    bench.store.write_text(folder / f"attempt-{number}.log", log)
    checks, level, error = _judge(bench, task, script, result, out)
    return Attempt(
        number=number,
        script=name,
        origin="operator" if script == _rendered(task) else "free",
        exit_code=result.exit_code,
        cause=result.cause,
        outputs={o.name: o.sha256 for o in result.outputs},
        inputs_read=result.inputs_read,
        duration_s=round(result.duration_s, 3),
        checks=tuple(checks),
        level=level,
        error=error,
    )


def _inputs(bench: Workbench, task: Task) -> dict[str, Path]:
    inputs = {name: bench.data_dir(name) for name in task.inputs if name != "upstream"}
    if task.upstream:
        inputs["upstream"] = task_folder(bench.store, task.upstream[0]) / "outputs"
    return inputs


def _judge(bench: Workbench, task: Task, script: str, result: Result, out: Path) -> tuple[list[Check], Level, str]:
    seen, signs = _screened(bench, script)
    if not result.ok:
        return seen, 0, _error_lines(result) + signs
    present = {o.name for o in result.outputs if o.size > 0}
    missing = [o.name for o in task.outputs if o.name not in present]
    if missing:
        return seen, 1, f"declared outputs were not written: {', '.join(missing)}{signs}"
    checks = _verified(bench, task, out)
    unread = sorted(set(task.inputs) - set(result.inputs_read))
    checks.append(
        Check(
            check="declared inputs were read",
            passed=not unread,
            detail=f"not read: {unread}" if unread else "",
        )
    )
    checks += seen
    failed = [f"{c.check}: {c.detail}" for c in checks if not c.passed]
    return checks, 2 if failed else 3, "; ".join(failed)[:ERROR_CHARS] + (signs if failed else "")


def _screened(bench: Workbench, script: str) -> tuple[list[Check], str]:
    """What the screen of the code found, as checks for the report and as lines for a repair."""
    found = bench.screen(script)
    lines = {f: f"line {f.line}: {f.detail}" for f in found}
    made_up = "; ".join(lines[f] for f in found if f.rule in ("made_up_data", "syntax"))
    others = "; ".join(lines[f] for f in found if f.rule not in ("made_up_data", "syntax"))
    checks = [Check(check="the script can be read and makes up no data", passed=not made_up, detail=made_up)]
    if others:
        checks.append(Check(check="other signs in the code, without a verdict", passed=True, detail=others))
    return checks, f"\nThe screen of the code saw: {'; '.join(lines.values())}"[:ERROR_CHARS] if found else ""


def _verified(bench: Workbench, task: Task, out: Path) -> list[Check]:
    """Verdicts of the operator's checks, made by trusted code in a clean sandbox."""
    upstream = "/in/upstream" if task.upstream else None
    script = CHECKER.format(
        name=task.operator, parameters=task.parameters, data=f"/in/{task.datasets[0]}", upstream=upstream
    )
    inputs = {**_inputs(bench, task), "outputs": out}
    checked = out.with_name(out.name + "-verdicts")
    _clear(checked)
    result = bench.run_job(Job(script=script, inputs=inputs, limits=bench.limits, run_id=bench.store.id), checked)
    path = checked / "verdicts.json"
    if not result.ok or not path.is_file():
        return [Check(check="the checks could be made", passed=False, detail=_error_lines(result))]
    verdicts = json.loads(path.read_text(encoding="utf-8"))
    return [Check(check=v["check"], passed=bool(v["passed"]), detail=str(v.get("detail", ""))) for v in verdicts]


def _error_lines(result: Result) -> str:
    """What a repair needs: how it ended, the last line of our script in the traceback, the error itself."""
    if result.cause != "exit":
        return f"the job was stopped: {result.cause}"
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    where = [line.strip() for line in lines if re.search(r'File ".*script\.py"', line)]
    return "\n".join([f"exit code {result.exit_code}", *where[-1:], *lines[-3:]])[-ERROR_CHARS:]


def _publish(store: RunStore, folder: Path, best: Attempt) -> None:
    """The best attempt becomes the task's script, log and outputs."""
    for target, source in (("script.py", best.script), ("log.txt", f"attempt-{best.number}.log")):
        store.write_text(folder / target, (folder / source).read_text(encoding="utf-8"))
    produced = folder / f"attempt-{best.number}"
    produced.mkdir(exist_ok=True)
    link = folder / "outputs"
    if link.is_symlink() or link.exists():
        link.unlink() if link.is_symlink() else _clear(link)
    produced.rename(link)


def _findings(outputs: Path) -> tuple[dict[str, Any], ...]:
    table = json.loads((outputs / "findings.json").read_text(encoding="utf-8"))
    return tuple(table["findings"])


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
