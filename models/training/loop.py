"""Training a causal language model on examples: from settings and data to a folder that can be loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.errors import TrainingRefused
from labwright.models.extras import require
from labwright.models.training import snapshots
from labwright.models.training.config import TrainingConfig
from labwright.models.training.encoding import Encoding
from labwright.models.training.examples import TrainingData, check, duplicates
from labwright.models.training.files import LOCK, owned
from labwright.models.training.hooks import Hook
from labwright.models.training.memory import available, estimate, require_memory
from labwright.models.training.metrics import FILE
from labwright.models.training.order import Plan
from labwright.models.training.output import weights_sha256, write_model
from labwright.models.training.preparation import make_optimiser, make_schedule, prepare_model
from labwright.models.training.record import Ended, record
from labwright.models.training.results import Progress, TrainingResult, silent
from labwright.models.training.run import TrainingRun, one_hook_only
from labwright.models.training.session import CHECKPOINTS, Session

if TYPE_CHECKING:
    from accelerate import Accelerator

    from labwright.models.checkpoints import Checkpoint


def train(  # noqa: PLR0913  (what a training is made of)
    checkpoint: Checkpoint,
    dataset: TrainingData,
    config: TrainingConfig,
    folder: Path,
    hooks: Sequence[Hook] = (),
    report: Callable[[Progress], None] = silent,
    *,
    resume: bool = False,
) -> TrainingResult:
    """Train a model, and leave it in a folder.

    On the same machine with the same number of threads and on the processor, a training that was killed and resumed
    ends with the same bits as one that was not. On accelerators deterministic kernels are not forced.

    Args:
        checkpoint: what `load_checkpoint` gave; its model is changed.
        dataset: training and held-out examples.
        config: the settings.
        folder: made when absent; holds checkpoints and metrics.jsonl from the start, the model at the end.
        hooks: methods that take part.
        report: called with notes and with the figures of each logged step, in the main process.
        resume: go on from the newest whole checkpoint in `folder`, if there is one.

    Raises:
        TrainingRefused: data, settings or memory do not allow it, or the folder holds another training.
        TrainingDiverged: a loss or gradient is not finite; the last good checkpoint is kept.
        DiskFull: the folder cannot be written.
        KeyboardInterrupt: interrupted, after the step under way was saved.
        SomethingMissing: the extra `local` is not installed.
    """
    require("local", "training")
    from accelerate import Accelerator

    for method in ("gradients", "choose_batch"):
        one_hook_only(hooks, method)
    check(dataset)
    accelerator = Accelerator(cpu=config.device == "cpu")
    main = accelerator.is_main_process
    say = report if main else silent
    with owned(folder) if main else nullcontext():
        start = _start(folder, resume=resume, say=say)
        # Nobody writes before everybody has seen what is there.
        accelerator.wait_for_everyone()
        base = _base_facts(checkpoint, config)
        run = _prepared(checkpoint, config, hooks, accelerator)
        session = _session(run, dataset, folder, base, say)
        _seeded(session, start)
        session.go()
        ended = Ended(
            steps=run.step,
            loss=run.last.loss,
            heldout_loss=session.heldout_loss,
            heldout_before=session.heldout_before,
            tokens=session.tokens,
            seconds=session.seconds,
        )
        facts = record(session, dataset, base, ended)
        if main:
            write_model(run, checkpoint, folder, facts)
        accelerator.wait_for_everyone()
    return TrainingResult(
        folder, ended.steps, ended.loss, ended.heldout_loss, ended.tokens, ended.seconds, facts, run.model
    )


def _prepared(
    checkpoint: Checkpoint, config: TrainingConfig, hooks: Sequence[Hook], accelerator: Accelerator
) -> TrainingRun:
    from accelerate.utils import set_seed

    set_seed(config.seed)  # adapters start from random numbers, alike in all processes
    model = prepare_model(checkpoint.model, config, hooks)
    return TrainingRun(model, checkpoint.tokenizer, config, accelerator, hooks)


def _seeded(session: Session, start: snapshots.Snapshot | None) -> None:
    """Bring a session to its first step: random states, memory, hooks, and the checkpoint where there is one."""
    from accelerate.utils import set_seed

    run = session.run
    if run.config.memory_check:
        longest = max(len(r.input_ids) for r in session.data.rows)
        need = estimate(run.model, run.parameters, run.config, longest)
        require_memory(need, available(run.accelerator.device), run.config)
    set_seed(run.config.seed, device_specific=True)  # dropout differs between processes
    for hook in run.hooks:
        hook.start(run)
    if start is not None:
        snapshots.require_same(start.identity, session.identity, session.folder)
        session.restore(start)


def _start(folder: Path, *, resume: bool, say: Callable[[Progress], None]) -> snapshots.Snapshot | None:
    """The checkpoint to go on from, None to begin; refuses to write over another training."""
    there = folder.is_dir() and any(p.name != LOCK for p in folder.iterdir())
    if not resume:
        if there:
            raise TrainingRefused(f"{folder} is not empty; give --resume to go on with the training in it, or another")
        return None
    if there and not (folder / CHECKPOINTS).is_dir() and not (folder / FILE).is_file():
        raise TrainingRefused(f"{folder} holds no training to resume; give another folder")
    found, damaged = snapshots.newest(folder / CHECKPOINTS)
    for path in damaged:
        say(Progress(f"{path.name} is damaged and is not used"))
    if found is None:
        say(Progress("no whole checkpoint to resume; starting from the first step"))
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        (folder / FILE).unlink(missing_ok=True)
    return found


def _base_facts(checkpoint: Checkpoint, config: TrainingConfig) -> dict[str, Any]:
    """What the training stands on; the hash is of the weights before any adapter of this training."""
    facts = dict(checkpoint.facts)
    if facts.get("adapter") and config.lora is not None and config.save == "adapter":
        raise TrainingRefused(
            "the base has an adapter merged into it, so a new adapter alone would fit no file; set save = merged"
        )
    facts.setdefault("sha256", weights_sha256(checkpoint.model))
    facts["dtype"] = str(next(checkpoint.model.parameters()).dtype).removeprefix("torch.")
    return facts


def _session(
    run: TrainingRun, dataset: TrainingData, folder: Path, base: dict[str, Any], say: Callable[[Progress], None]
) -> Session:
    config, world = run.config, run.accelerator.num_processes
    data = run.encode(dataset.train)
    heldout = run.encode(dataset.heldout) if dataset.heldout else None
    plan = Plan(
        len(data.rows), config.batch_size * config.accumulate * world, config.seed, config.epochs, config.max_steps
    )
    run.steps = plan.steps
    optimiser = make_optimiser(run.parameters, config)
    identity = {
        "config": config.identity(),
        "data": dataset.sha256(),
        "base": {k: base.get(k) for k in ("sha256", "dtype", "adapter")},
        "hooks": {hook.name: dict(hook.settings()) for hook in run.hooks},
        "processes": world,
    }
    _describe(run, data, dataset, say)
    return Session(
        run, optimiser, make_schedule(optimiser, config, plan.steps), plan, data, heldout, folder, identity, say
    )


def _describe(run: TrainingRun, data: Encoding, dataset: TrainingData, say: Callable[[Progress], None]) -> None:
    trained = sum(p.numel() for p in run.parameters.values())
    whole = sum(p.numel() for p in run.model.parameters())
    say(Progress(f"{len(data.rows)} examples, {run.steps} steps; {trained} of {whole} parameters are trained"))
    notes = {
        "repeat an earlier one": duplicates(dataset.train),
        f"lose the end of their answer to max_tokens = {run.config.max_tokens}": data.truncated,
        "are left out: no token of their answer fits": len(data.dropped),
    }
    for what, count in notes.items():
        if count:
            say(Progress(f"{count} examples {what}"))
