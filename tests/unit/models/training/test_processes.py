"""Two processes end with the weights of one that sees the same examples in each step."""

from __future__ import annotations

import socket

import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from tiny_training import DATA, Shrink, ended, forked, train_as_rank

from labwright.models.checkpoints import load_checkpoint
from labwright.models.training.config import LoraSettings, TrainingConfig
from labwright.models.training.loop import train

# 22 examples in steps of 8 leave a last step of 6, in which one process has fewer examples than the other.
CONFIG = TrainingConfig(
    epochs=2,
    batch_size=4,
    accumulate=2,
    learning_rate=1e-2,
    template="none",
    device="cpu",
    max_tokens=64,
    lora=LoraSettings(dropout=0.0),
    checkpoint_every=2,
)


@pytest.mark.timeout(120)
def test_two_processes_do_what_one_does(tmp_path):
    base = tiny_models.save(tmp_path / "base", hidden_size=32, intermediate_size=48)
    one = train(load_checkpoint(str(base)), DATA, CONFIG, tmp_path / "one", [Shrink()])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = CONFIG.model_copy(update={"batch_size": 2})
    both = [forked(train_as_rank, base, tmp_path / "two", config, rank, port) for rank in (0, 1)]
    assert [ended(process) for process in both] == [0, 0]
    ours, theirs = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=2e-3, atol=2e-5)
    assert one.facts["result"]["tokens"] > 0
