"""A whole run whose designer and reviewer are the fused model; everything else is the embedded default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from labwright.config import DEFAULT_MODEL, BackendConfig, Config, Role
from labwright.eval.suites import objectives
from labwright.eval.suites.figures import Row
from labwright.eval.suites.fusion_models import Work, ensure
from labwright.eval.suites.fusion_scores import FUSED
from labwright.eval.suites.run_row import judged
from labwright.models.calls import CallLog
from labwright.store import RunStore, list_runs
from labwright.workflows.control import Options, resume, start

ROLES: tuple[Role, ...] = ("design", "reviewer")
OBJECTIVE = "metastasis_signature"


def run_row(work: Work, say: Callable[[str], None]) -> Row:
    """Carry the run out, or on, and say who answered what.

    Raises:
        SomethingMissing: engine or model is missing.
    """
    fused = ensure(work, FUSED)
    home = work.folder / "runs"
    asked = next(o for o in objectives.bundled() if o.id == OBJECTIVE)
    options = Options(seed=work.seed, say=say)
    begun = [r for r in list_runs(home)[-1:] if r.status != "done"]
    if begun:
        resume(RunStore.open(home, begun[-1].id), options)
    else:
        start(asked.asked, played_by(fused), home, options)
    store = RunStore(home / list_runs(home)[-1].id)
    log = CallLog(store.folder / "calls.sqlite")
    calls = [c for c in log.calls() if c.role in ROLES]
    shares = log.shares_by_role()
    fields = ("status", "level3_gold", "level3_tasks", "model_share", "seconds")
    row = judged(store, asked)
    return {
        "kind": "fusion_run",
        "name": f"{work.seed}:{OBJECTIVE}",
        "seed": work.seed,
        "roles": list(ROLES),
        **{name: row[name] for name in fields},
        "calls": len(calls),
        "decided": {role: shares[role].model_dump() for role in ROLES if role in shares},
        "generated_tokens": sum(c.generated_tokens for c in calls),
        "call_seconds": round(sum(c.seconds for c in calls), 1),
    }


def played_by(fused: Path) -> Config:
    """The fused model designs and reviews, the embedded one does the rest."""
    return Config(
        backends={
            "embedded": BackendConfig(kind="embedded", model=DEFAULT_MODEL),
            FUSED: BackendConfig(kind="h3fusion", model=str(fused), dtype="bfloat16"),
        },
        roles=dict.fromkeys(ROLES, FUSED),
    )
