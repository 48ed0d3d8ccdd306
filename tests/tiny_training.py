"""Data of a tiny training, and trainings in processes of their own that tests kill, interrupt or run in parallel.

The processes are forked off a server that has imported torch and peft and computed nothing: importing them anew takes
longer than the trainings, and a process whose OpenMP threads have worked must not be forked.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import pytest
import torch

from labwright.errors import TrainingRefused
from labwright.models.checkpoints import load_checkpoint
from labwright.models.training.examples import Example, TrainingData
from labwright.models.training.hooks import Hook
from labwright.models.training.loop import train
from labwright.models.training.preparation import prepare_model
from labwright.models.training.run import TrainingRun

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["accelerate", "peft", "labwright.models.checkpoints", "labwright.models.training.loop"]
)

WORDS = ["gene", "protein", "tumour", "kinase", "receptor", "cohort", "survival", "marker", "ligand", "enzyme", "cell"]
DATA = TrainingData(
    train=tuple(Example(f"Say {w} {n} times", " ".join([w] * n), id=f"{w}{n}") for n in (1, 2) for w in WORDS),
    heldout=(Example("Say tissue once", "tissue", id="held"),),
    source="words",
)


def run_of(base, config, hooks=()):
    """A training of the model in a folder, before its first step."""
    from accelerate import Accelerator

    checkpoint = load_checkpoint(str(base))
    torch.manual_seed(0)
    model = prepare_model(checkpoint.model, config, hooks)
    return TrainingRun(model, checkpoint.tokenizer, config, Accelerator(cpu=True), hooks)


class Pause(Hook):
    """Gives a test the time to strike between two steps."""

    name = "pause"

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def after_step(self, run):
        time.sleep(self.seconds)


class Shrink(Hook):
    """A term that depends on the examples, so that its weight over processes shows."""

    name = "shrink"

    def forward_arguments(self):
        return {"output_hidden_states": True}

    def loss_terms(self, run, batch, outputs):
        mask = batch.attention_mask.unsqueeze(-1)
        return {"shrink": 0.1 * ((outputs.hidden_states[-1] * mask).sum(1) / mask.sum(1)).square().sum(-1).mean()}


def train_words(base, folder, config, hook):
    """Train on the words; runs in a process of its own."""
    return train(load_checkpoint(str(base)), DATA, config, folder, [hook])


def train_as_rank(base, folder, config, rank, port):
    """One of two processes of a training, with the variables that a launcher sets."""
    os.environ.update(
        WORLD_SIZE="2",
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        ACCELERATE_USE_CPU="true",
    )
    assert train_words(base, folder, config, Shrink()).facts["processes"] == 2


def is_refused(base, folder, config):
    """A training of a folder that another process has."""
    with pytest.raises(TrainingRefused, match="another process"):
        train(load_checkpoint(str(base)), DATA, config, folder)


def forked(job: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start `job` in a process; its exit code is 0, 130 after an interrupt, 1 after an error."""
    process = _CONTEXT.Process(target=_run, args=(job, *arguments))
    process.start()
    return process


def _run(job: Callable[..., object], *arguments: object) -> None:
    torch.set_num_threads(1)
    # Where the tests themselves run in the background, children inherit that an interrupt is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    try:
        job(*arguments)
        code = 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001  (the edge of the process)
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(process: BaseProcess) -> int | None:
    """Wait for a process; its exit code, negative for a signal."""
    process.join(120)
    return process.exitcode
