"""`labwright bench stack`: stacks built, what their models are worth, how far the hardening holds, and runs that they drive.

Parts: `roles`, held-out questions of the roles; `choices`, the written objectives; `harm`, replies to the forbidden topic;
`runs`, three bundled objectives. Each builds what it needs: hours where nothing was built yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labwright.config import cache_dir
from labwright.eval.suites import stack_harm, stack_roles, stack_runs
from labwright.eval.suites.document import document
from labwright.eval.suites.parts import command, refuse_unknown
from labwright.eval.suites.rows import Rows
from labwright.eval.suites.run import RAW
from labwright.eval.suites.stack_build import ensure
from labwright.eval.suites.stack_figures import figures_of
from labwright.eval.suites.stack_names import ALONE, BASE, HARDENED, PLAYERS, UNHARDENED
from labwright.models.extras import require

Say = Callable[[str], None]


def _roles(rows: Rows, say: Say) -> None:
    for name in (HARDENED, UNHARDENED):
        stack = ensure(name, say)
        wanted = stack_roles.measured_backends(stack) if name == HARDENED else ("fused",)
        for backend in wanted:
            if not rows.has("stack_roles", f"{name}:{backend}"):
                rows.put_once(stack_roles.role_row(stack, backend, say))


def _choices(rows: Rows, say: Say) -> None:
    stack = ensure(HARDENED, say)
    for backend in (BASE, "tuned-helpful", "ensemble", ALONE):
        if not rows.has("stack_choices", f"{HARDENED}:{backend}"):
            rows.put_once(stack_roles.choice_row(stack, backend, say))


def _harm(rows: Rows, say: Say) -> None:
    for name in (HARDENED, UNHARDENED):
        stack = ensure(name, say)
        for backend in stack_harm.judged_backends(stack):
            if not rows.has("stack_harm", f"{name}:{backend}"):
                rows.put_once(stack_harm.harm_row(stack, backend, say))


def _runs(rows: Rows, say: Say) -> None:
    stack = ensure(HARDENED, say)
    home = cache_dir() / "bench" / "stack" / "runs"
    for objective in stack_runs.chosen_objectives():
        for player in PLAYERS:
            if not rows.has("stack_run", f"{player}:{objective}"):
                rows.put_once(stack_runs.run_row(stack, objective, player, home, say))


PARTS: Mapping[str, Callable[[Rows, Say], None]] = {
    "roles": _roles,
    "choices": _choices,
    "harm": _harm,
    "runs": _runs,
}


def measure(*, parts: Sequence[str], say: Say) -> dict[str, Any]:
    """Run the suite and return its document; rows that are there already are not measured again.

    Args:
        parts: of PARTS; none means all.
        say: shows progress.

    Raises:
        WrongUse: an unknown part.
        SomethingMissing: the extra `local`, the alignment data, engine or a model is missing.
    """
    refuse_unknown(parts, PARTS)
    require("local", "the benchmark of stacks")
    RAW.mkdir(parents=True, exist_ok=True)
    rows = Rows(RAW / "stack.jsonl")
    for part in parts or tuple(PARTS):
        PARTS[part](rows, say)
    return document(
        "stack", command("stack", parts, quick=False), figures_of(rows.all(), "docs/benchmarks/raw/stack.jsonl")
    )
