"""`labwright bench sandbox`: attacks, what is left behind, and the sandbox's times beside a bare `docker run`."""

from __future__ import annotations

import dataclasses
from typing import Any

from labwright.config import load_config
from labwright.errors import EngineMissing
from labwright.eval.suites import sandbox_kills, sandbox_times
from labwright.eval.suites.document import document
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import RAW, Say
from labwright.eval.suites.sandbox_figures import figures_of
from labwright.lease import compute_lease
from labwright.sandbox.attacks import suite
from labwright.sandbox.attacks.leftovers import leftovers
from labwright.sandbox.connect import connect_engine
from labwright.sandbox.docker_engine import DockerSandbox

SECOND_RUNTIME = "runsc"
JOBS, KILLS = 200, 20
QUICK_ATTACKS = 12
QUICK_JOBS, QUICK_KILLS = 10, 2


def measure(*, quick: bool, say: Say) -> dict[str, Any]:
    """Run the suite and return its document; everything is measured anew.

    Args:
        quick: every seventh attack, 10 jobs with 2 kills, 3 pairs of times.
        say: shows progress.

    Raises:
        SomethingMissing: there is no engine, or no `docker` command to compare with.
    """
    RAW.mkdir(parents=True, exist_ok=True)
    name = "sandbox-quick" if quick else "sandbox"
    rows = Rows(RAW / f"{name}.jsonl")
    rows.path.unlink(missing_ok=True)
    with compute_lease():
        sandbox = connect_engine(load_config().sandbox.runtime)
        sandbox_times.measure(sandbox, rows, quick=quick, say=say)
        _attacks(sandbox, rows, quick, say)
        if SECOND_RUNTIME in sandbox.engine.runtimes and sandbox.engine.runtime != SECOND_RUNTIME:
            try:
                _attacks(connect_engine(SECOND_RUNTIME), rows, quick, say)
            except EngineMissing as error:  # no job runs on a runtime that fails the probe, so nothing can be attacked
                rows.add("refused", SECOND_RUNTIME, {"reason": str(error)})
        jobs, kills = (QUICK_JOBS, QUICK_KILLS) if quick else (JOBS, KILLS)
        rows.add("kills", f"{jobs}:{kills}", sandbox_kills.measure(sandbox, jobs, kills, say))
    command = "labwright bench sandbox" + (" --quick" if quick else "")
    return document("sandbox", command, figures_of(rows.all(), f"docs/benchmarks/raw/{name}.jsonl"))


def _attacks(sandbox: DockerSandbox, rows: Rows, quick: bool, say: Say) -> None:
    wanted = suite.attacks()
    wanted = wanted[:: len(wanted) // QUICK_ATTACKS] if quick else wanted
    outcomes = suite.run(sandbox, wanted, lambda o: say(f"{'held' if o.held else 'NOT HELD'}  {o.name}"))
    runtime = sandbox.engine.runtime
    for outcome in outcomes:
        told = dataclasses.asdict(outcome)
        rows.add("attack", f"{runtime}:{told.pop('name')}", {"runtime": runtime, **told})
    rows.add("leftovers", f"attacks:{runtime}", {"left": leftovers(sandbox)})
