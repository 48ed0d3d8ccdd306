"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from labwright.errors import TrainingDiverged
from labwright.models.training.config import TrainingConfig
from labwright.models.training.encoding import Batch, Encoding
from labwright.models.training.examples import TrainingData, check
from labwright.models.training.hooks import Hook
from labwright.models.training.order import Plan
from labwright.models.training.preparation import make_optimiser, make_schedule, prepare_model
from labwright.models.training.run import TrainingRun, one_hook_only

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint


@dataclass(frozen=True, slots=True)
class Progress:
    """What is reported while a training runs: a note, or how far it is."""

    note: str = ""
    step: int = 0
    steps: int = 0
    loss: float = math.nan
    tokens_per_s: float = math.nan
    remaining_s: float = math.nan


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a training came to."""

    folder: Path
    steps: int
    loss: float
    heldout_loss: float | None
    tokens: int
    seconds: float
    model: Any = field(repr=False)


def silent(progress: Progress) -> None:
    """A report that shows nothing."""


def train(  # noqa: PLR0913
    checkpoint: Checkpoint,
    dataset: TrainingData,
    config: TrainingConfig,
    folder: Path,
    hooks: Sequence[Hook] = (),
    report: Callable[[Progress], None] = silent,
) -> TrainingResult:
    """Train a model on examples."""
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    for method in ("gradients", "choose_batch"):
        one_hook_only(hooks, method)
    check(dataset)
    accelerator = Accelerator(cpu=config.device == "cpu")
    set_seed(config.seed)
    run = TrainingRun(prepare_model(checkpoint.model, config, hooks), checkpoint.tokenizer, config, accelerator, hooks)
    encoding = run.encode(dataset.train)
    plan = Plan(
        len(encoding.rows),
        config.batch_size * config.accumulate * accelerator.num_processes,
        config.seed,
        config.epochs,
        config.max_steps,
    )
    run.steps = plan.steps
    optimiser = make_optimiser(run.parameters, config)
    schedule = make_schedule(optimiser, config, plan.steps)
    for hook in hooks:
        hook.start(run)
    began, tokens = time.monotonic(), 0
    while run.step < plan.steps:
        batches = next_batches(run, encoding, plan)
        loss = run.step_gradients(batches)
        norm = torch.nn.utils.clip_grad_norm_(run.parameters.values(), config.clip_norm or math.inf)
        if not bool(torch.isfinite(norm)):
            raise TrainingDiverged(
                f"the gradient's norm is {float(norm)}",
                step=run.step + 1,
                examples=tuple(i for b in batches for i in b.ids if b.real),
            )
        optimiser.step()
        schedule.step()
        run.step += 1
        for hook in hooks:
            hook.after_step(run)
        tokens += sum(int(b.attention_mask.sum()) for b in batches)
        report(Progress(step=run.step, steps=run.steps, loss=loss.loss))
    heldout = run.heldout_loss(run.encode(dataset.heldout)) if dataset.heldout else None
    return TrainingResult(folder, run.step, run.last.loss, heldout, tokens, time.monotonic() - began, run.model)


def next_batches(run: TrainingRun, encoding: Encoding, plan: Plan) -> list[Batch]:
    """The micro-batches of this process for the next step."""
    for hook in run.hooks:
        chosen = hook.choose_batch(run, run.step)
        if chosen is not None:
            return list(chosen)
    rows = [encoding.rows[i] for i in plan.rows(run.step)]
    size, world = run.config.batch_size, run.accelerator.num_processes
    # Every process makes the same number of passes: where examples are short of it, fillers stand in.
    passes = math.ceil(len(rows) / (size * world))
    batches = []
    for number in range(passes):
        chunk = rows[number * size * world : (number + 1) * size * world]
        mine = chunk[run.accelerator.process_index :: world]
        batches.append(run.batch(mine) if mine else run.batch(chunk[:1], filler=True))
    return batches
