"""Runs with the stack, with the embedded default and with rules alone, judged against the objectives' frozen lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labwright.config import DEFAULT_MODEL, BackendConfig, Config, load_config
from labwright.eval.suites import objectives
from labwright.eval.suites.figures import Row
from labwright.eval.suites.objective_runs import judged
from labwright.eval.suites.stack_build import Stack
from labwright.eval.suites.stack_names import RULES, STACK
from labwright.models.calls import CallLog
from labwright.store import RunStore, list_runs
from labwright.workflows.baselines import Workflow
from labwright.workflows.control import Options, resume, start

Say = Callable[[str], None]
OBJECTIVES = ("metastasis_signature", "er_status_breast", "adjuvant_hormone")


def chosen_objectives() -> tuple[str, ...]:
    """Three of those that are bundled: the named ones where they are there, else the first."""
    bundled = [o.id for o in objectives.bundled()]
    return tuple([*(o for o in OBJECTIVES if o in bundled), *(o for o in bundled if o not in OBJECTIVES)][:3])


def run_row(stack: Stack, objective: str, player: str, home: Path, say: Say) -> Row:
    """Carry a run out, or on, and judge it: level 3, quality, who answered, seconds and tokens.

    Raises:
        SomethingMissing: engine or model is missing.
    """
    asked = next(o for o in objectives.load() if o.id == objective)
    config, workflow = _played(stack, player)
    place = home / player / objective
    options = Options(seed=0, workflow=workflow, say=say)
    begun = [r for r in list_runs(place)[-1:] if r.status != "done"]
    if begun:
        resume(RunStore.open(place, begun[-1].id), options)
    else:
        start(asked.asked, config, place, options)
    made = list_runs(place)[-1]
    folder = place / made.id
    row = {"kind": "stack_run", "name": f"{player}:{objective}", "player": player, "objective": objective,
           **judged(folder, made, asked)}  # fmt: skip
    return {
        **row,
        **answered(folder, stack),
        "lineage": lineage_complete(folder, stack) if player == STACK else None,
    }


def _played(stack: Stack, player: str) -> tuple[Config, Workflow]:
    if player == STACK:
        return load_config(stack.config, environment={}), "labwright"
    default = Config(backends={"embedded": BackendConfig(kind="embedded", model=DEFAULT_MODEL)})
    return default, "rules_only" if player == RULES else "labwright"


def answered(folder: Path, stack: Stack) -> dict[str, Any]:
    """Calls of the stack's roles, and how many of them its backends answered."""
    log = CallLog(folder / "calls.sqlite")
    roles: Mapping[str, str] = {str(role): part for role, part in stack.recipe.roles.items()}
    calls = [c for c in log.calls() if c.role in roles]
    own = sum(c.backend.startswith(f"{roles[c.role]}:") for c in calls)
    shares = log.shares_by_role()
    given = [shares[role] for role in roles if role in shares]
    fallback = sum(share.fallback for share in given)
    asked = sum(share.model for share in given) + fallback
    log.close()
    return {"role_calls": len(calls), "by_stack": own, "fallback": fallback, "decided": asked}


def lineage_complete(folder: Path, stack: Stack) -> bool:
    """The record names for every role of the stack a backend whose stage, or whose members' stages, stack.json holds."""
    record = RunStore(folder).record()
    keys = {name: s["key"] for name, s in stack.record["stages"].items()}
    for role in stack.recipe.roles:
        facts = record.models.get(role, {})
        parts = list(facts.get("members", {}).values()) or [facts]
        # A model that was not tuned here has no stage; at least one part of every backend was, and every local one.
        own = [p["stage"] for p in parts if "stage" in p]
        strange = any("stage" not in p and p.get("kind") != "embedded" for p in parts)
        if strange or not own:
            return False
        if any(keys.get(stage["name"]) != stage["key"] for stage in own):
            return False
    return True
