"""Run control: start, resume, review. The command line and the web page stand on these calls."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from labwright.config import ROLES, Config, Role, cache_dir
from labwright.domain import Objective, Protocol, RunRecord, TaskResult
from labwright.errors import BudgetExhausted, DiskFull, LabwrightError, WrongUse
from labwright.models.ask import Session
from labwright.models.calls import Allowance, Budget, CallLog
from labwright.models.weights import Progress, silent
from labwright.safety.objective import check_form, judge_harm
from labwright.store import RunStore, now
from labwright.tools.catalogue.catalogue import all_cards
from labwright.workflows.baselines import RUN_WHILE_DECIDING, Workflow, played
from labwright.workflows.interventions import changed_steps, record_intervention
from labwright.workflows.materials import Materials
from labwright.workflows.untrusted import kept_passages

THREAD = "run"
RECURSION = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is carried out, beside its objective."""

    seed: int = 0
    """Permutes options and samples text."""
    review: bool = False
    """Stop after the design, for a person."""
    workflow: Workflow = "labwright"
    """Ours, or one to compare with."""
    literature: Path | None = None
    """Run folder whose papers and reports are taken over instead of searching and reading."""
    say: Callable[[str], None] = lambda text: None
    """Shows progress."""
    on_stage: Callable[[str, CallLog], None] = lambda stage, log: None
    """Told when a stage of the run is entered; the log says what was spent."""
    progress: Progress = silent
    """Shows a download."""


def start(objective: Objective, config: Config, runs: Path, options: Options) -> RunStore:
    """Start a run and carry it to its end, to the review, or to what stops it.

    Args:
        objective: what is asked; its form is checked before anything is made.
        config: backends, budget, sources.
        runs: folder that receives the run folder.
        options: seed, review, workflow, and how progress is shown.

    Raises:
        LabwrightError: as named by its class; the run folder keeps what was finished, and its record
            says how it ended.
    """
    if options.review and options.workflow in RUN_WHILE_DECIDING:
        raise WrongUse(f"{options.workflow} runs its analyses while it decides; there is no protocol to review first")
    objective = objective.model_copy(update={"text": check_form(objective.text)})
    judge_harm(objective.brief(), None).enforce()  # conditions and requirements can ask for harm too
    with _equipment(config, options) as equipment:
        store = RunStore.create(runs)
        store.save_record(
            RunRecord(
                id=store.id,
                objective=objective,
                status="running",
                workflow=options.workflow,
                version=version("labwright"),
                started_at=now(),
                seed=options.seed,
            )
        )
        store.write(store.folder / "config.json", config)
        if options.literature is not None:
            store.write_text(store.folder / "literature.taken", f"{options.literature.resolve()}\n")
        options.say(f"run {store.id}")
        _carry(store, config, options, equipment)
    return store


def resume(store: RunStore, options: Options, *, budget: dict[str, float | None] | None = None) -> None:
    """Carry a stopped run on from its last step; finished calls and tasks are not repeated.

    Raises:
        WrongUse: the run is done, waits for a review, or is being worked on.
    """
    record = store.record()
    if record.status == "done":
        raise WrongUse(f"run {store.id} is done; see `labwright show {store.id}`")
    if record.status == "waiting_for_review":
        raise WrongUse(f"run {store.id} waits for `labwright review {store.id} --approve`")
    config = Config.model_validate_json((store.folder / "config.json").read_text(encoding="utf-8"))
    if budget:
        update = {k: v for k, v in budget.items() if v is not None}
        config = config.model_copy(update={"budget": config.budget.model_copy(update=update)})
    review = (store.folder / "review.wanted").exists()
    taken = store.folder / "literature.taken"
    literature = Path(taken.read_text(encoding="utf-8").strip()) if taken.is_file() else None
    workflow = cast("Workflow", record.workflow)
    options = replace(options, seed=record.seed, review=review, workflow=workflow, literature=literature)
    with _equipment(config, options) as equipment:
        store.save_record(record.model_copy(update={"status": "running", "message": ""}))
        _carry(store, config, options, equipment)


def approve(store: RunStore, options: Options, edited: Path | None = None) -> None:
    """Approve the protocol, as it is or as a person edited it, and carry the run on.

    Raises:
        WrongUse: the run does not wait for a review, or the edited protocol does not hold together.
    """
    _waiting(store)
    if edited is None:
        record_intervention(store, "approve")
    else:
        from labwright.workflows.edits import accept_edit

        before = protocol_of(store)
        record_intervention(store, "edit", steps=changed_steps(before, accept_edit(store, edited)))
    (store.folder / "review.wanted").unlink(missing_ok=True)
    record = store.record()
    store.save_record(record.model_copy(update={"status": "interrupted"}))
    resume(store, options)


def reject(store: RunStore, reason: str) -> None:
    """End a run whose protocol a person rejects.

    Raises:
        WrongUse: the run does not wait for a review.
    """
    _waiting(store)
    record_intervention(store, "reject", detail=reason)
    record = store.record()
    store.save_record(
        record.model_copy(update={"status": "failed", "message": f"protocol rejected: {reason}", "finished_at": now()})
    )
    _report(store)


def _waiting(store: RunStore) -> None:
    if store.record().status != "waiting_for_review":
        raise WrongUse(f"run {store.id} does not wait for a review; it is {store.record().status}")


@dataclass(frozen=True, slots=True)
class _Equipment:
    sandbox: Any
    backends: Any


@contextmanager
def _equipment(config: Config, options: Options) -> Iterator[_Equipment]:
    """Engine and models, found before anything is written."""
    from labwright.sandbox.connect import connect, warmed
    from labwright.workflows.backends import Backends

    with ExitStack() as end:
        sandbox = end.enter_context(warmed(connect(config.sandbox), config.sandbox))
        backends = None if options.workflow == "rules_only" else Backends(config, options.progress)
        if backends is not None:
            end.callback(backends.close)
        yield _Equipment(sandbox, backends)


def _carry(store: RunStore, config: Config, options: Options, equipment: _Equipment) -> None:
    if options.review:
        store.write_text(store.folder / "review.wanted", "a person reviews the protocol before it is run\n")
    began = time.monotonic()
    with store.owned():
        budget = Budget(tokens=config.budget.tokens, usd=config.budget.usd, seconds=config.budget.seconds)
        allowance = Allowance(**config.allowance.model_dump())
        log = CallLog(store.folder / "calls.sqlite", budget, allowance)
        status, message = "failed", ""
        try:
            m = _materials(store, config, options, equipment, log)
            status = invoke(m, review=options.review)
        except BudgetExhausted as error:
            status, message = "stopped_by_budget", str(error)
            raise
        except KeyboardInterrupt:
            status, message = "interrupted", "interrupted; `labwright resume` goes on"
            raise
        except LabwrightError as error:
            message = str(error)
            raise
        except sqlite3.OperationalError as error:
            message = f"cannot write the run folder: {error}; make room, then `labwright resume`"
            raise DiskFull(message) from error
        finally:
            log.spend("", "wall", time.monotonic() - began)
            _finish(store, log, equipment, (status, message))


def invoke(m: Materials, *, review: bool) -> str:
    """Carry the graph on from its last checkpoint; returns the status it ends with."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    from labwright.workflows.graph import build

    with SqliteSaver.from_conn_string(str(m.store.folder / "checkpoints.sqlite")) as saver:
        graph = build(m, saver, review=review)
        settings: Any = {
            "configurable": {"thread_id": THREAD},
            "max_concurrency": 1,
            "recursion_limit": RECURSION,
        }
        begun = bool(graph.get_state(settings).next)
        graph.invoke(None if begun else {}, settings, durability="sync")
        return "waiting_for_review" if graph.get_state(settings).next else "done"


def _materials(store: RunStore, config: Config, options: Options, equipment: _Equipment, log: CallLog) -> Materials:
    from labwright.models.embedding import CachedEncoder
    from labwright.workflows.literature_sources import check_retractions, open_sources

    encode = CachedEncoder(cache_dir() / "embeddings.sqlite")
    sessions: dict[Role, Session | None] = dict.fromkeys(ROLES)
    if equipment.backends is not None:
        sessions = {role: equipment.backends.session(role, log, options.seed) for role in ROLES}
    return Materials(
        objective=store.record().objective,
        config=config,
        store=store,
        log=log,
        sessions=played(options.workflow, sessions),
        encode=encode,
        sources=open_sources(config.literature.sources, encode, config.index, log.note),
        check_retractions=lambda papers: check_retractions(papers, config.literature.sources, log.note),
        cards={card["id"]: card for card in all_cards()},
        sandbox=equipment.sandbox,
        seed=options.seed,
        say=options.say,
        on_stage=options.on_stage,
        workflow=options.workflow,
        literature=options.literature,
    )


def _finish(store: RunStore, log: CallLog, equipment: _Equipment, ended: tuple[str, str]) -> None:
    """Bring the record up to date and write the report, whatever ended the run."""
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
            "models": dict(equipment.backends.facts()) if equipment.backends is not None else {},
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
            "sandbox": equipment.sandbox.policy(),
            "passages": passages,
            "notes": log.notes(),
        }
    )
    log.close()
    store.save_record(record)
    _report(store)


def _report(store: RunStore) -> None:
    from labwright.eval.report import write_report

    write_report(store.folder)


def protocol_of(store: RunStore) -> Protocol:
    """The run's protocol.

    Raises:
        RunFailed: the run has none.
    """
    return store.read(store.folder / "protocol.json", Protocol)
