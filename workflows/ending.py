"""The end of a run, whatever ended it: the record brought up to date from the log and the folder, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labwright.domain import TaskResult
from labwright.eval.report import write_report
from labwright.models.calls import CallLog
from labwright.store import RunStore, now
from labwright.workflows.untrusted import kept_passages


def finish(
    store: RunStore,
    log: CallLog,
    ended: tuple[str, str],
    *,
    models: Mapping[str, dict[str, Any]],
    policy: dict[str, Any],
) -> None:
    """Bring the record up to date and write the report, whatever ended the run.

    Args:
        store: the run.
        log: of its calls; closed here.
        ended: status and message.
        models: role to what is known of its backend.
        policy: of the sandbox, as probed.
    """
    status, message = ended
    record = store.record()
    totals = log.totals()
    by_kind = log.spent("kind")
    wall = by_kind.pop("wall", 0.0)
    by_kind["orchestration"] = round(
        max(0.0, wall - sum(by_kind.get(k, 0.0) for k in ("model", "sandbox", "network", "waiting"))), 3
    )
    calls = log.calls()
    calls_valid, calls_made = log.tool_calls()
    results = [store.read(p, TaskResult) for p in sorted((store.folder / "tasks").glob("*/result.json"))]
    passages, n_passages = kept_passages(store)
    if n_passages > len(passages):
        log.note(f"{n_passages} passages look like instructions; the record holds the first {len(passages)}")
    papers = tuple(sorted(p.stem for p in (store.folder / "papers").glob("[!_]*.json")))
    record = record.model_copy(
        update={
            "status": status,
            "message": message,
            "finished_at": now(),
            "papers": papers,
            "reports": tuple(p for p in papers if store.path("reports", f"{p}.json").is_file()),
            "datasets": tuple(sorted(p.stem for p in (store.folder / "datasets").glob("[!_]*.json"))),
            "tasks": {r.task: r.level for r in results},
            "models": dict(models),
            "prompts": {c.prompt: c.prompt_hash for c in calls},
            "calls": totals.calls,
            "prompt_tokens": totals.prompt_tokens,
            "evaluated_tokens": totals.evaluated_tokens,
            "generated_tokens": totals.generated_tokens,
            "usd": round(totals.usd, 6),
            "seconds": round(wall, 3),
            "seconds_by_stage": log.spent("stage"),
            "seconds_by_kind": by_kind,
            "decided": log.shares(),
            "tool_calls": calls_made,
            "tool_calls_valid": calls_valid,
            "sandbox": policy,
            "passages": passages,
            "notes": log.notes(),
        }
    )
    log.close()
    store.save_record(record)
    write_report(store.folder)
