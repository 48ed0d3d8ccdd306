"""A training that was killed, interrupted or damaged ends with the same bits as one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from tiny_training import DATA, Pause, ended, forked, train_words

from labwright.errors import DiskFull, TrainingRefused
from labwright.models.checkpoints import load_checkpoint
from labwright.models.training import snapshots
from labwright.models.training.config import LoraSettings, TrainingConfig
from labwright.models.training.examples import TrainingData
from labwright.models.training.hooks import Hook, HookState
from labwright.models.training.loop import train

SETTINGS = {
    "epochs": 4,
    "batch_size": 2,
    "accumulate": 2,
    "learning_rate": 1e-2,
    "template": "none",
    "warmup_steps": 3,
    "schedule": "cosine",
    "checkpoint_every": 3,
    "device": "cpu",
    "max_tokens": 64,
}
CONFIG = TrainingConfig.model_validate(SETTINGS)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp("base"), hidden_size=32, intermediate_size=48)


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    """The weights and metrics of an uninterrupted training."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "out"
    train(load_checkpoint(str(base)), DATA, CONFIG, folder, [Pause()])
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k].view(torch.int32), b[k].view(torch.int32)) for k in a)


def losses(folder: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(r["step"], r.get("loss", r.get("heldout_loss"))) for r in rows]


def started(base: Path, folder: Path) -> BaseProcess:
    return forked(train_words, base, folder, CONFIG, Pause(0.05))


def wait_for_lines(folder: Path, lines: int, process: BaseProcess) -> None:
    path, until = folder / "metrics.jsonl", time.monotonic() + 120
    while not path.is_file() or path.read_text().count("\n") < lines:
        assert process.is_alive()
        assert time.monotonic() < until
        time.sleep(0.01)


def test_killed_at_any_step_and_resumed_it_ends_with_the_same_bits(base, whole, tmp_path):
    step = random.randrange(4, 19)
    folder = tmp_path / "out"
    process = started(base, folder)
    wait_for_lines(folder, step, process)
    os.kill(process.pid, signal.SIGKILL)
    assert ended(process) == -signal.SIGKILL
    assert not (folder / "training.json").exists()
    notes = []
    train(load_checkpoint(str(base)), DATA, CONFIG, folder, [Pause()], lambda p: notes.append(p.note), resume=True)
    assert any(note.startswith("resumed at step") for note in notes), (step, notes)
    assert same_bits(weights(folder), weights(whole)), step
    assert losses(folder) == losses(whole), step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_the_step_under_way(base, whole, tmp_path, number):
    folder = tmp_path / "out"
    process = started(base, folder)
    wait_for_lines(folder, 4, process)
    os.kill(process.pid, number)
    assert ended(process) == 130
    snapshot, damaged = snapshots.newest(folder / "checkpoints")
    assert snapshot is not None
    assert damaged == []
    assert 4 <= snapshot.step == losses(folder)[-1][0] < 24
    train(load_checkpoint(str(base)), DATA, CONFIG, folder, [Pause()], resume=True)
    assert same_bits(weights(folder), weights(whole))
    assert losses(folder) == losses(whole)


class Strike(Hook):
    """Raises after a step, once; and keeps a state that the loss depends on."""

    name = "strike"

    def __init__(self, step: int | None, error: type[BaseException] = RuntimeError) -> None:
        self.step = step
        self.error = error
        self.pull = torch.zeros(())
        self.count = 0

    def loss_terms(self, run, batch, outputs):
        return {"pull": self.pull * sum(p.square().sum() for p in run.parameters.values())}

    def after_step(self, run):
        self.pull = self.pull + 0.01
        self.count += 1
        if run.step == self.step:
            raise self.error

    def state(self):
        return HookState({"count": self.count}, {"pull": self.pull})

    def load_state(self, state):
        self.count, self.pull = state.values["count"], state.tensors["pull"]


@pytest.mark.parametrize("lora", [LoraSettings(dropout=0.2), None])
def test_the_state_of_hooks_and_of_dropout_is_kept(base, tmp_path, lora):
    config = CONFIG.model_copy(update={"lora": lora, "epochs": 2.0, "weight_decay": 0.1})
    first, second = tmp_path / "first", tmp_path / "second"
    straight = train(load_checkpoint(str(base)), DATA, config, first, [Strike(None)])
    with pytest.raises(RuntimeError):
        train(load_checkpoint(str(base)), DATA, config, second, [Strike(8)])
    hook = Strike(None)
    resumed = train(load_checkpoint(str(base)), DATA, config, second, [hook], resume=True)
    assert hook.count == straight.steps
    ours, theirs = dict(resumed.model.named_parameters()), dict(straight.model.named_parameters())
    assert same_bits({k: v.detach() for k, v in ours.items()}, {k: v.detach() for k, v in theirs.items()})
    assert (resumed.loss, resumed.heldout_loss, resumed.tokens) == (
        straight.loss,
        straight.heldout_loss,
        straight.tokens,
    )


def struck(base: Path, folder: Path, step: int = 8) -> None:
    with pytest.raises(RuntimeError):
        train(load_checkpoint(str(base)), DATA, CONFIG, folder, [Strike(step)])


def resume(base: Path, folder: Path, *, config=CONFIG, data=DATA, hooks=None, notes=None):
    say = (lambda p: notes.append(p.note)) if notes is not None else (lambda p: None)
    hooks = [Strike(None)] if hooks is None else hooks
    return train(load_checkpoint(str(base)), data, config, folder, hooks, say, resume=True)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(base, tmp_path):
    folder = tmp_path / "out"
    struck(base, folder)
    kept = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert kept == ["step-00000003", "step-00000006"]
    damaged = folder / "checkpoints" / kept[-1] / "optimiser.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(bytes(content))
    notes = []
    resume(base, folder, notes=notes)
    assert "step-00000006 is damaged and is not used" in notes
    assert "resumed at step 3 of 24" in notes


def test_a_checkpoint_of_another_training_is_refused_with_the_difference(base, tmp_path):
    folder = tmp_path / "out"
    struck(base, folder)
    with pytest.raises(TrainingRefused, match=r"config\.learning_rate: 0\.01 in the checkpoint, 0\.5 now"):
        resume(base, folder, config=CONFIG.model_copy(update={"learning_rate": 0.5}))
    other = TrainingData(DATA.train[:-1], DATA.heldout, DATA.source)
    with pytest.raises(TrainingRefused, match="data: "):
        resume(base, folder, data=other)
    with pytest.raises(TrainingRefused, match="hooks"):
        resume(base, folder, hooks=[Pause()])
    second = tiny_models.save(tmp_path / "second", seed=1, hidden_size=32, intermediate_size=48)
    with pytest.raises(TrainingRefused, match=r"base\.sha256: "):
        resume(second, folder)
    assert resume(base, folder, config=CONFIG.model_copy(update={"log_every": 5})).steps == 24


def test_a_folder_with_something_in_it_is_not_written_over(base, tmp_path):
    (tmp_path / "mine.txt").write_text("thesis")
    with pytest.raises(TrainingRefused, match="not empty"):
        train(load_checkpoint(str(base)), DATA, CONFIG, tmp_path)
    with pytest.raises(TrainingRefused, match="no training to resume"):
        train(load_checkpoint(str(base)), DATA, CONFIG, tmp_path, resume=True)
    assert [p.name for p in tmp_path.iterdir() if p.name != ".lock"] == ["mine.txt"]


def test_a_full_disk_is_one_line_and_leaves_the_checkpoints_whole(base, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    real = os.fsync
    written = []

    def full(handle):
        written.append(handle)
        if len(written) > 12:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="make room, then --resume"):
        train(load_checkpoint(str(base)), DATA, CONFIG, folder, [Strike(None)])
    monkeypatch.undo()
    snapshot, damaged = snapshots.newest(folder / "checkpoints")
    assert damaged == []
    assert snapshot is not None
    assert resume(base, folder).steps == 24
