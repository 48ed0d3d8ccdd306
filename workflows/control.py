"""Run control: start, queue, resume. The command line and the web page stand on these calls, and on `decisions`."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

from labwright.config import ROLES, Config, Role, cache_dir
from labwright.domain import Objective, Picture, RunRecord
from labwright.errors import BudgetExhausted, DiskFull, LabwrightError, WrongUse
from labwright.models.ask import Session
from labwright.models.calls import Allowance, Budget, CallLog
from labwright.models.weights import Progress, silent
from labwright.safety.objective import check_form, judge_harm
from labwright.safety.picture_gate import CLOSED
from labwright.store import RunStore, now
from labwright.workflows.baselines import RUN_WHILE_DECIDING, Workflow, played
from labwright.workflows.data import allowed_cards
from labwright.workflows.decisions import REVIEW, forget_sent_back, is_sent_back
from labwright.workflows.ending import finish
from labwright.workflows.materials import Materials
from labwright.workflows.pictures import gate_of, keep_given
from labwright.workflows.progress import saying, told_node
from labwright.workflows.stopping import forget_stop, heeding_stop, how_stopped, settle_stop

THREAD = "run"
RECURSION = 400
AFTER_REVIEW = "program"
BEFORE_DESIGN = "choose_analyses"
"""The node whose successor designs the protocol: where a protocol that was sent back goes on."""


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
    pictures: tuple[tuple[Picture, bytes], ...] = ()
    """Come with the objective, for the model that reads figures; of `labwright.workflows.pictures.given`."""
    by: str = ""
    """Who asks for the run."""
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
    objective = _checked(objective, options)
    with _equipment(config, options) as equipment:
        store = RunStore.create(runs)
        with _held(store):
            _written(store, objective, config, options, "running")
            options.say(f"run {store.id}")
            _carry(store, config, options, equipment)
    return store


def queue(objective: Objective, config: Config, runs: Path, options: Options) -> RunStore:
    """Write a run down without beginning it; `labwright resume` does that. It is on the disk when this returns.

    Raises:
        WrongUse, ObjectiveRefused: as for :func:`start`.
        DiskFull: the run folder cannot be written.
    """
    checked = _checked(objective, options)
    allowed_cards(config.data.allowed)
    store = RunStore.create(runs)
    _written(store, checked, config, options, "queued")
    return store


def _checked(objective: Objective, options: Options) -> Objective:
    if options.review and options.workflow in RUN_WHILE_DECIDING:
        raise WrongUse(f"{options.workflow} runs its analyses while it decides; there is no protocol to review first")
    if options.pictures and options.workflow == "rules_only":
        raise WrongUse("rules_only asks no model, so nobody would look at the pictures; leave them out")
    objective = objective.model_copy(update={"text": check_form(objective.text)})
    judge_harm(objective.brief(), None).enforce()  # conditions and requirements can ask for harm too
    return objective


def _written(
    store: RunStore, objective: Objective, config: Config, options: Options, status: Literal["queued", "running"]
) -> None:
    """Everything that a process needs to carry the run on; the record last, since a run without one is none."""
    store.write(store.folder / "config.json", config, durable=True)
    keep_given(store, options.pictures)
    if options.literature is not None:
        store.write_text(store.folder / "literature.taken", f"{options.literature.resolve()}\n", durable=True)
    if options.review:
        store.write_text(store.folder / REVIEW, "a person reviews the protocol before it is run\n", durable=True)
    record = RunRecord(
        id=store.id,
        objective=objective,
        status=status,
        workflow=options.workflow,
        version=version("labwright"),
        started_at=now(),
        started_by=options.by,
        seed=options.seed,
    )
    store.save_record(record, durable=True)


def resume(
    store: RunStore,
    options: Options,
    *,
    budget: dict[str, float | None] | None = None,
    only_queued: bool = False,
) -> None:
    """Carry a stopped or queued run on from its last step; finished calls and tasks are not repeated.

    Args:
        store: the run.
        options: how progress is shown; the rest is as the run was started.
        budget: new limits by their name in `[budget]`.
        only_queued: the queue asks, so a run that somebody has paused or cancelled meanwhile is left alone.

    Raises:
        WrongUse: the run is done, waits for a review, is being worked on, or is not queued though it has to be.
    """
    if not store.is_carried():
        forget_stop(store)  # it was meant for a process that has ended; from here on one is meant for this one
    with _held(store):
        record = store.record()
        if only_queued and record.status != "queued":
            raise WrongUse(f"run {store.id} is not queued any more; it is {record.status}")
        if record.status == "done":
            raise WrongUse(f"run {store.id} is done; see `labwright show {store.id}`")
        if record.status == "waiting_for_review":
            raise WrongUse(f"run {store.id} waits for `labwright review {store.id} --approve`")
        config = _config(store, budget or {})
        taken = store.folder / "literature.taken"
        options = replace(
            options,
            seed=record.seed,
            review=(store.folder / REVIEW).exists(),
            workflow=cast("Workflow", record.workflow),
            literature=Path(taken.read_text(encoding="utf-8").strip()) if taken.is_file() else None,
        )
        with _equipped(store, config, options) as equipment:
            store.save_record(record.model_copy(update={"status": "running", "message": ""}))
            _carry(store, config, options, equipment)


def queue_again(store: RunStore, budget: dict[str, float | None]) -> None:
    """Queue a run that has stopped, with new limits where some are given; on the disk when this returns.

    Raises:
        WrongUse: the run is done, waits for a review, is queued, or is being worked on.
    """
    with store.changing():
        record = store.record()
        if record.status in ("done", "waiting_for_review", "queued"):
            raise WrongUse(f"run {store.id} is {record.status}; there is nothing to resume")
        if record.status == "running" and store.is_carried():
            raise WrongUse(f"run {store.id} is being worked on by another process")
        _config(store, budget)
        store.save_record(record.model_copy(update={"status": "queued", "message": ""}), durable=True)


def _config(store: RunStore, budget: dict[str, float | None]) -> Config:
    """The run's configuration; limits that are given take the place of its own, for good."""
    config = Config.model_validate_json((store.folder / "config.json").read_text(encoding="utf-8"))
    if update := {k: v for k, v in budget.items() if v is not None}:
        config = config.model_copy(update={"budget": config.budget.model_copy(update=update)})
        store.write(store.folder / "config.json", config)
    return config


@contextmanager
def _equipped(store: RunStore, config: Config, options: Options) -> Iterator[_Equipment]:
    """Engine and models; a queued run that does not find them says so in its record, and waits for a person."""
    with ExitStack() as end:
        try:
            equipment = end.enter_context(_equipment(config, options))
        except LabwrightError as error:
            record = store.record()
            if record.status == "queued":
                store.save_record(record.model_copy(update={"status": "interrupted", "message": str(error)}))
            raise
        yield equipment


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


@contextmanager
def _held(store: RunStore) -> Iterator[None]:
    """Hold the run for this process; what was asked of it when its work was over is done when it is let go."""
    try:
        with store.owned():
            yield
    finally:
        settle_stop(store)


def _carry(store: RunStore, config: Config, options: Options, equipment: _Equipment) -> None:
    began = time.monotonic()
    with told_node(store, "run", ""):
        budget = Budget(tokens=config.budget.tokens, usd=config.budget.usd, seconds=config.budget.seconds)
        allowance = Allowance(**config.allowance.model_dump())
        log = CallLog(store.folder / "calls.sqlite", budget, allowance)
        status, message = "failed", ""
        try:
            with heeding_stop(store):  # the record and the report are not interrupted
                m = _materials(store, config, options, equipment, log)
                status = invoke(m, review=options.review)
        except BudgetExhausted as error:
            status, message = "stopped_by_budget", str(error)
            raise
        except KeyboardInterrupt:
            status, message = how_stopped(store)
            raise
        except LabwrightError as error:
            message = str(error)
            raise
        except sqlite3.OperationalError as error:
            message = f"cannot write the run folder: {error}; make room, then `labwright resume`"
            raise DiskFull(message) from error
        finally:
            log.spend("", "wall", time.monotonic() - began)
            facts = dict(equipment.backends.facts()) if equipment.backends is not None else {}
            finish(store, log, (status, message), models=facts, policy=equipment.sandbox.policy())


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
        if is_sent_back(m.store):
            graph.update_state(settings, {}, as_node=BEFORE_DESIGN)
            forget_sent_back(m.store)
        begun = graph.get_state(settings).next
        if review and begun == (AFTER_REVIEW,):
            return "waiting_for_review"  # cancelled or rejected there, and resumed: nobody has approved it yet
        graph.invoke(None if begun else {}, settings, durability="sync")
        return "waiting_for_review" if graph.get_state(settings).next else "done"


def _materials(store: RunStore, config: Config, options: Options, equipment: _Equipment, log: CallLog) -> Materials:
    from labwright.models.embedding import CachedEncoder
    from labwright.workflows.literature_sources import check_retractions, open_sources

    encode = CachedEncoder(cache_dir() / "embeddings.sqlite")
    sessions: dict[Role, Session | None] = dict.fromkeys(ROLES)
    if equipment.backends is not None:
        sessions = {role: equipment.backends.session(role, log, options.seed) for role in ROLES}
    eyes = equipment.backends.eyes_session(log, options.seed) if equipment.backends is not None else None
    return Materials(
        objective=store.record().objective,
        config=config,
        store=store,
        log=log,
        sessions=played(options.workflow, sessions),
        eyes=eyes,
        gate=CLOSED if eyes is None else gate_of(config.figures, options.progress),
        encode=encode,
        sources=open_sources(config.literature.sources, encode, config.index, log.note),
        check_retractions=lambda papers: check_retractions(papers, config.literature.sources, log.note),
        cards=allowed_cards(config.data.allowed),
        sandbox=equipment.sandbox,
        seed=options.seed,
        say=saying(store, options.say),
        on_stage=options.on_stage,
        workflow=options.workflow,
        literature=options.literature,
    )
