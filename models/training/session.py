"""A training between its start and its end: steps, checkpoints, metrics, interrupts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labwright.errors import TrainingDiverged
from labwright.models.training import snapshots
from labwright.models.training.encoding import Batch, Encoding
from labwright.models.training.hooks import HookState
from labwright.models.training.interrupts import Interrupts
from labwright.models.training.metrics import MetricsLog
from labwright.models.training.order import Plan
from labwright.models.training.results import Progress
from labwright.models.training.run import StepLoss, TrainingRun

CHECKPOINTS = "checkpoints"


@dataclass
class Session:
    """The state of a training that is not in its run."""

    run: TrainingRun
    optimiser: torch.optim.Optimizer
    schedule: Any
    plan: Plan
    data: Encoding
    heldout: Encoding | None
    folder: Path
    identity: Mapping[str, Any]
    report: Callable[[Progress], None]
    tokens: int = 0
    seconds: float = 0.0
    """Of earlier invocations and this one, up to the last step."""
    heldout_loss: float | None = None
    """As last measured."""
    heldout_before: float | None = None
    """Before the first step."""
    saved: int = -1
    """Step of the newest checkpoint of this invocation."""
    log: MetricsLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = MetricsLog(self.folder, active=self.run.accelerator.is_main_process)

    def go(self) -> None:
        """Make the remaining steps.

        Raises:
            KeyboardInterrupt: after a signal, once the step under way was finished and saved.
            TrainingDiverged: a loss or gradient is not finite; the weights before that step are saved.
            DiskFull: a checkpoint or the metrics cannot be written; earlier checkpoints are untouched.
        """
        if self.run.step == 0:
            self.heldout_before = self.measure()
        meter = _Meter(self.run.step, self.tokens, self.seconds)
        with Interrupts(self._heard) as interrupts:
            while self.run.step < self.plan.steps:
                try:
                    self._step(meter)
                except TrainingDiverged as error:
                    raise self._stopped(error) from None
                asked = self.run.total(float(interrupts.asked)) > 0
                if asked or self._due(self.run.config.checkpoint_every) or self.run.step == self.plan.steps:
                    self.save()
                if asked and self.run.step < self.plan.steps:
                    raise KeyboardInterrupt

    def _heard(self) -> None:
        self.report(Progress("interrupted: the step under way is finished and saved first; once more stops at once"))

    def _due(self, every: int) -> bool:
        return every > 0 and self.run.step % every == 0

    def _step(self, meter: _Meter) -> None:
        run = self.run
        batches = next_batches(run, self.data, self.plan)
        loss = run.step_gradients(batches)
        norm = torch.nn.utils.clip_grad_norm_(run.parameters.values(), run.config.clip_norm or math.inf)
        if not bool(torch.isfinite(norm)):
            ids = tuple(i for b in batches for i in b.ids if b.real)
            raise TrainingDiverged(f"the gradient's norm is {float(norm)}", step=run.step + 1, examples=ids)
        self.optimiser.step()
        factor = self.optimiser.param_groups[0]["lr"] / self.optimiser.param_groups[0]["initial_lr"]
        self.schedule.step()
        run.step += 1
        for hook in run.hooks:
            hook.after_step(run)
        self.tokens += int(run.total(sum(int(b.attention_mask.sum()) for b in batches if b.real)))
        self.seconds = meter.seconds()
        if self._due(run.config.log_every) or run.step == self.plan.steps:
            self._record(meter, loss, float(norm), factor)
        if self.heldout is not None and (self._due(run.config.heldout_every) or run.step == self.plan.steps):
            self.measure()
            self.seconds = meter.seconds()

    def _record(self, meter: _Meter, loss: StepLoss, norm: float, factor: float) -> None:
        run = self.run
        speed = meter.tokens_per_s(self.tokens)
        found = {k: v for hook in run.hooks for k, v in hook.metrics().items()}
        figures = {k: v if math.isfinite(v) else None for k, v in found.items()}  # JSON has no NaN
        self.log.add(
            step=run.step,
            epoch=round(run.step / self.plan.steps_per_epoch, 4),
            loss=loss.loss,
            terms=loss.terms,
            lr=run.config.learning_rate * factor,
            grad_norm=norm,
            tokens=self.tokens,
            tokens_per_s=round(speed, 1),
            seconds=round(self.seconds, 2),
            **({"figures": figures} if figures else {}),
        )
        left = meter.seconds_a_step(run.step) * (self.plan.steps - run.step)
        self.report(Progress("", run.step, self.plan.steps, loss.loss, self.heldout_loss, speed, left))

    def measure(self) -> float | None:
        """The loss on held-out examples, as it is now; None where there are none."""
        if self.heldout is not None:
            measured = self.run.heldout_loss(self.heldout)
            if not math.isfinite(measured):
                ids = tuple(row.id for row in self.heldout.rows)
                raise TrainingDiverged(f"the held-out loss is {measured}", step=self.run.step, examples=ids)
            self.heldout_loss = measured
            self.log.add(step=self.run.step, heldout_loss=self.heldout_loss)
        return self.heldout_loss

    def _stopped(self, error: TrainingDiverged) -> TrainingDiverged:
        """The error with where and what next; the update was not made, so the weights before it can be kept."""
        run = self.run
        run.zero_gradients()
        kept = "no checkpoint was made"
        if all(bool(torch.isfinite(p).all()) for p in run.parameters.values()):
            self.save()
        if self.saved >= 0:
            kept = f"the checkpoint of step {self.saved} is kept"
        shown = ", ".join(error.examples[:8]) + (" and more" if len(error.examples) > 8 else "")
        return TrainingDiverged(
            f"step {error.step} of {self.plan.steps}: {error}, on {shown}; {kept}. "
            "Lower learning_rate, or look at these examples",
            step=error.step,
            examples=error.examples,
        )

    def save(self) -> None:
        """Write a checkpoint of now, unless there is one."""
        run = self.run
        if self.saved == run.step:
            return
        values, random = snapshots.random_state(run.accelerator.device)
        everyone = _gathered([(values, {k: t.cpu() for k, t in random.items()})])
        if run.accelerator.is_main_process:
            self.log.flush()
            kept = {hook.name: hook.state() for hook in run.hooks}
            snapshot = snapshots.Snapshot(
                run.step,
                self.identity,
                {
                    "tokens": self.tokens,
                    "seconds": self.seconds,
                    "heldout_loss": self.heldout_loss,
                    "heldout_before": self.heldout_before,
                    "loss": run.last.loss,
                    "terms": run.last.terms,
                    "schedule": self.schedule.state_dict(),
                    "rates": [g["lr"] for g in self.optimiser.param_groups],
                    "random": [v for v, _ in everyone],
                    "threads": torch.get_num_threads(),
                    "torch": torch.__version__,
                    "hooks": {name: dict(state.values) for name, state in kept.items()},
                },
                {
                    "weights": run.parameters,
                    "optimiser": snapshots.optimiser_state(self.optimiser, run.parameters),
                    "random": {f"{rank}.{k}": t for rank, (_, ts) in enumerate(everyone) for k, t in ts.items()},
                    **{f"hook-{name}": dict(s.tensors) for name, s in kept.items() if s.tensors},
                },
            )
            snapshots.save(self.folder / CHECKPOINTS, snapshot, run.config.keep_checkpoints)
        run.accelerator.wait_for_everyone()
        self.saved = run.step

    def restore(self, snapshot: snapshots.Snapshot) -> None:
        """Go on from a checkpoint of this same training."""
        run, values = self.run, snapshot.values
        with torch.no_grad():
            for name, parameter in run.parameters.items():
                parameter.copy_(snapshot.tensors["weights"][name])
        snapshots.set_optimiser_state(self.optimiser, run.parameters, snapshot.tensors["optimiser"])
        self.schedule.load_state_dict(values["schedule"])
        for group, rate in zip(self.optimiser.param_groups, values["rates"], strict=True):
            group["lr"] = rate
        for hook in run.hooks:
            tensors: Mapping[str, Tensor] = snapshot.tensors.get(f"hook-{hook.name}", {})
            hook.load_state(HookState(values["hooks"][hook.name], tensors))
        run.step = self.saved = snapshot.step
        run.last = StepLoss(values["loss"], values["terms"])
        self.tokens, self.seconds, self.heldout_loss = values["tokens"], values["seconds"], values["heldout_loss"]
        self.heldout_before = values["heldout_before"]
        self.log.go_back_to(snapshot.step)
        self.report(Progress(f"resumed at step {snapshot.step} of {self.plan.steps}"))
        now = {"threads": torch.get_num_threads(), "torch": torch.__version__}
        for what, value in now.items():
            if values[what] != value:
                self.report(Progress(f"{what}: {values[what]} before, {value} now; the last bits may differ"))
        rank = run.accelerator.process_index
        mine = {k.split(".", 1)[1]: t for k, t in snapshot.tensors["random"].items() if k.startswith(f"{rank}.")}
        snapshots.set_random_state(values["random"][rank], mine, run.accelerator.device)


class _Meter:
    """Seconds and speed of one invocation."""

    def __init__(self, step: int, tokens: int, seconds: float) -> None:
        self._began = self._last = time.monotonic()
        self._step, self._tokens, self._before = step, tokens, seconds

    def seconds(self) -> float:
        """Of earlier invocations and this one."""
        return self._before + time.monotonic() - self._began

    def tokens_per_s(self, tokens: int) -> float:
        """Since the last call."""
        now = time.monotonic()
        speed = (tokens - self._tokens) / max(1e-9, now - self._last)
        self._last, self._tokens = now, tokens
        return speed

    def seconds_a_step(self, step: int) -> float:
        """Mean over this invocation."""
        return (time.monotonic() - self._began) / max(1, step - self._step)


def _gathered(values: list[Any]) -> list[Any]:
    from accelerate.utils import gather_object

    return list(gather_object(values))


def next_batches(run: TrainingRun, encoding: Encoding, plan: Plan) -> list[Batch]:
    """The micro-batches of this process for the next step."""
    for hook in run.hooks:
        chosen = hook.choose_batch(run, run.step)
        if chosen is not None:
            return list(chosen)
    # Of like length together: a step's loss does not depend on how its examples are split, its padding does.
    rows = sorted((encoding.rows[i] for i in plan.rows(run.step)), key=lambda row: len(row.input_ids))
    world = run.accelerator.num_processes
    together = run.config.batch_size * world
    batches = []
    # Every process makes the same number of passes: where examples are short of it, fillers stand in.
    for begin in range(0, len(rows), together):
        chunk = rows[begin : begin + together]
        mine = chunk[run.accelerator.process_index :: world]
        batches.append(run.batch(mine) if mine else run.batch(chunk[:1], filler=True))
    return batches
